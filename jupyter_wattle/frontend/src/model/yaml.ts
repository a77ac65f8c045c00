/* Values as YAML that a person would write: blocks, bare words where they mean themselves, texts of several lines as
   such. Everything else in JSON's own form, which YAML understands. Pure. */

const BARE = /^[A-Za-z_./][\w ./@+-]*$/;
const WORDS = /^(?:true|false|yes|no|on|off|y|n|null|~|nan|inf|\.nan|\.inf)$/i;

/** A mapping as a document. */
export function yaml(values: Record<string, unknown>): string {
  return block(values, "");
}

function block(values: Record<string, unknown>, indent: string): string {
  return Object.entries(values)
    .map(([key, value]) => entry(scalar(key), value, indent))
    .join("");
}

function entry(key: string, value: unknown, indent: string): string {
  if (typeof value === "string" && canBlock(value)) return `${indent}${key}: |\n${lines(value, `${indent}  `)}`;
  if (isMapping(value)) {
    const flow = inline(value);
    const small =
      flow.length + indent.length + key.length < 76 &&
      !Object.values(value).some((one) => isMapping(one) || (typeof one === "string" && canBlock(one)));
    // Workers stand as blocks, however small.
    if (!Object.keys(value).length || (small && indent.length >= 4)) return `${indent}${key}: ${flow}\n`;
    return `${indent}${key}:\n${block(value, `${indent}  `)}`;
  }
  return `${indent}${key}: ${inline(value)}\n`;
}

/** Whether a text can stand as lines below its key, ending with exactly one line end. */
function canBlock(text: string): boolean {
  return /[^\n]\n$/.test(text) && !/^[\s]/.test(text) && !/[\r\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ufeff]/.test(text);
}

function lines(text: string, indent: string): string {
  return text
    .slice(0, -1)
    .split("\n")
    .map((line) => (line ? `${indent}${line}\n` : "\n"))
    .join("");
}

function inline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (isMapping(value))
    return `{${Object.entries(value)
      .map(([key, one]) => `${scalar(key)}: ${inline(one)}`)
      .join(", ")}}`;
  return typeof value === "string" ? scalar(value) : JSON.stringify(value);
}

function scalar(text: string): string {
  return BARE.test(text) && !WORDS.test(text) && !text.endsWith(" ") && !/^[.+-]?\d/.test(text)
    ? text
    : JSON.stringify(text);
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
