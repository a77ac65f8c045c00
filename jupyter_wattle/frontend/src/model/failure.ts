/* What a failed worker said last: the same lines that the command line shows (`wattle/cli/conclusion.py`). Pure. */

import { stripped } from "../ansi";

const MOST = 6;
const FRAME = /^\s*File "(.+)", line (\d+)(?:, in .*)?$/;
const LIBRARY = /\/lib\/python[\d.]*\/|\/(?:site|dist)-packages\/|^<frozen /;

/** The end of a log; of a Python traceback the innermost line of the person's own code, and the error. */
export function lastWords(log: string, worker: string): string[] {
  const lines = log
    .split("\n")
    .map((line) => stripped(line).trimEnd())
    .filter((line) => line.trim());
  const start = lines.findLastIndex(
    (line) => line.startsWith("Traceback (most recent call last)") || line.startsWith("  + Exception Group Traceback"),
  );
  if (start < 0) return lines.slice(-MOST);
  const trace = lines.slice(start + 1);
  const plain = trace.findIndex((line) => !line.startsWith(" "));
  const end = plain < 0 ? trace.length : plain;
  const error = trace.slice(end, end + 3);
  const frames = trace
    .slice(0, end)
    .map((line, at) => ({ at, match: FRAME.exec(line) }))
    .filter((frame) => frame.match);
  const own = frames.filter((frame) => !LIBRARY.test(frame.match?.[1] ?? ""));
  const frame = (own.length ? own : frames).at(-1);
  if (!frame?.match || !error.length) return trace.slice(-MOST);
  const next = trace[frame.at + 1] ?? "";
  const code = frame.at + 1 < end && !FRAME.test(next) ? next.trim() : "";
  const file = (frame.match[1] ?? "").split("/").at(-1) ?? "";
  const where = `${file.startsWith("script.") || file.startsWith("cell.") ? worker : file}, line ${frame.match[2]}`;
  return [code ? `${where}:  ${code}` : where, ...error];
}
