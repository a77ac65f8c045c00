/* Colours of a terminal in a line of a log. Only colours and weights are taken from escape sequences; everything else
   that would drive a terminal is dropped. What comes out is text and class names, never markup. */

export interface Span {
  text: string;
  classes: string;
  /** A colour beyond the sixteen, as `rgb(…)`. */
  color?: string;
  background?: string;
}

const SEQUENCE =
  // eslint-disable-next-line no-control-regex
  /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

interface Pen {
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  inverse: boolean;
  fore: string;
  back: string;
}

const CLEAN: Pen = { bold: false, dim: false, italic: false, underline: false, inverse: false, fore: "", back: "" };

/** Whether a line has anything to interpret at all: most have not. */
export function isPlain(line: string): boolean {
  SEQUENCE.lastIndex = 0;
  return !SEQUENCE.test(line);
}

/** The line as a person would read it: no escape sequences; of a line that was overwritten, what stood last. */
export function stripped(line: string): string {
  return overwritten(line).replace(SEQUENCE, "");
}

/** After a carriage return a terminal writes over the line. */
export function overwritten(line: string): string {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  const last = text.lastIndexOf("\r");
  return last < 0 ? text : text.slice(last + 1);
}

/** A line as spans. */
export function spans(line: string): Span[] {
  const text = overwritten(line);
  const found: Span[] = [];
  let pen = CLEAN;
  let from = 0;
  SEQUENCE.lastIndex = 0;
  for (let match = SEQUENCE.exec(text); match; match = SEQUENCE.exec(text)) {
    if (match.index > from) found.push(span(text.slice(from, match.index), pen));
    from = match.index + match[0].length;
    if (match[1] !== undefined) pen = drawn(pen, match[1]);
  }
  if (from < text.length) found.push(span(text.slice(from), pen));
  return found;
}

function span(text: string, pen: Pen): Span {
  const [fore, back] = pen.inverse ? [pen.back || "inv", pen.fore || "inv"] : [pen.fore, pen.back];
  const classes: string[] = [];
  if (pen.bold) classes.push("b");
  if (pen.dim) classes.push("d");
  if (pen.italic) classes.push("i");
  if (pen.underline) classes.push("u");
  const result: Span = { text, classes: "" };
  if (fore.startsWith("rgb")) result.color = fore;
  else if (fore) classes.push(`f${fore}`);
  if (back.startsWith("rgb")) result.background = back;
  else if (back) classes.push(`g${back}`);
  result.classes = classes.join(" ");
  return result;
}

function drawn(before: Pen, codes: string): Pen {
  const pen = { ...before };
  const numbers = codes.split(/[;:]/).map((code) => Number(code || "0"));
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at] ?? 0;
    if (code === 0) Object.assign(pen, CLEAN);
    else if (code === 1) pen.bold = true;
    else if (code === 2) pen.dim = true;
    else if (code === 3) pen.italic = true;
    else if (code === 4) pen.underline = true;
    else if (code === 7) pen.inverse = true;
    else if (code === 22) pen.bold = pen.dim = false;
    else if (code === 23) pen.italic = false;
    else if (code === 24) pen.underline = false;
    else if (code === 27) pen.inverse = false;
    else if (code >= 30 && code <= 37) pen.fore = String(code - 30);
    else if (code >= 90 && code <= 97) pen.fore = String(code - 82);
    else if (code >= 40 && code <= 47) pen.back = String(code - 40);
    else if (code >= 100 && code <= 107) pen.back = String(code - 92);
    else if (code === 39) pen.fore = "";
    else if (code === 49) pen.back = "";
    else if (code === 38 || code === 48) {
      const [color, used] = extended(numbers.slice(at + 1));
      if (code === 38) pen.fore = color;
      else pen.back = color;
      at += used;
    }
  }
  return pen;
}

/** `5;n` and `2;r;g;b`. Returns the colour and how many numbers it took. */
function extended(numbers: number[]): [string, number] {
  const byte = (value: number | undefined) => Math.min(255, Math.max(0, Math.trunc(value ?? 0)));
  if (numbers[0] === 2) return [`rgb(${byte(numbers[1])}, ${byte(numbers[2])}, ${byte(numbers[3])})`, 4];
  if (numbers[0] !== 5) return ["", numbers.length];
  const index = byte(numbers[1]);
  if (index < 16) return [String(index), 2];
  if (index >= 232)
    return [
      `rgb(${Array(3)
        .fill(8 + (index - 232) * 10)
        .join(", ")})`,
      2,
    ];
  const level = (value: number) => (value ? 55 + value * 40 : 0);
  const cube = index - 16;
  const parts = [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map(level);
  return [`rgb(${parts.join(", ")})`, 2];
}
