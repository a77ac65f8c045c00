import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogChunk } from "../src/api";
import { LogModel, decoded, TEXT_ROOM } from "../src/model/log";

function chunk(from: number, text: string, more: Partial<LogChunk> = {}): LogChunk {
  const size = new TextEncoder().encode(text).length;
  return {
    worker: "a",
    attempt: 1,
    stream: "stdout",
    from_offset: from,
    to_offset: from + size,
    text,
    base64: null,
    skipped: 0,
    position: "",
    end: "",
    reason: "",
    code: null,
    signal: null,
    ...more,
  };
}

const all = (log: LogModel) => Array.from({ length: log.rows }, (_, at) => log.row(at)?.text);

test("chunks that cut a line in two show one line", () => {
  const log = new LogModel();
  log.append(chunk(0, "one\ntw"));
  log.append(chunk(6, "o\nthree"));
  assert.deepEqual(all(log), ["one", "two", "three"]);
  assert.equal(log.bytes, 13);
});

test("what was seen already is not shown twice, and what is missing is a gap", () => {
  const log = new LogModel();
  log.append(chunk(100, "tail\n"));
  log.append(chunk(100, "tail\n"));
  assert.deepEqual(
    log.pieces.map((piece) => [piece.kind, piece.from, piece.to]),
    [
      ["gap", 0, 100],
      ["text", 100, 105],
    ],
  );
});

test("of a chunk that was seen in part only the rest is shown", () => {
  const log = new LogModel();
  log.append(chunk(0, "über\n"));
  log.append(chunk(0, "über\nuns\n"));
  assert.deepEqual(all(log), ["über", "uns"]);
  assert.equal(log.bytes, 10);
});

test("a range fills the end of a gap from a whole line on, and the rest stays a gap", () => {
  const log = new LogModel();
  log.append(chunk(100, "tail\n"));
  const gap = log.pieces[0];
  assert.ok(gap);
  log.fill(gap, chunk(90, "rt\nübers\n"));
  assert.deepEqual(
    log.pieces.map((piece) => [piece.kind, piece.from, piece.to]),
    [
      ["gap", 0, 93],
      ["text", 93, 100],
      ["text", 100, 105],
    ],
  );
  assert.deepEqual(all(log), ["", "übers", "tail"]);
  const rest = log.pieces[0];
  assert.ok(rest);
  log.fill(rest, chunk(0, "first\n" + "x".repeat(86) + "\n"));
  assert.equal(log.row(0)?.text, "first");
  assert.equal(log.pieces[0]?.kind, "text");
});

test("two streams are shown in the order in which they came", () => {
  const log = new LogModel();
  log.append(chunk(0, "out 1\n"));
  log.append(chunk(0, "err 1\n", { stream: "stderr" }));
  log.append(chunk(6, "out 2\n"));
  assert.deepEqual(all(log), ["out 1", "err 1", "out 2"]);
  assert.equal(log.row(1)?.piece.stream, "stderr");
});

test("the next attempt is marked", () => {
  const log = new LogModel();
  log.append(chunk(0, "first\n"));
  log.append(chunk(0, "second\n", { attempt: 2 }));
  assert.deepEqual(
    log.pieces.map((piece) => piece.kind),
    ["text", "attempt", "text"],
  );
});

test("bytes that are no text are shown as such; Latin-1 is text", () => {
  const log = new LogModel();
  log.append({ ...chunk(0, ""), to_offset: 4, text: null, base64: btoa("\x00\x01\x02\x03") });
  assert.equal(log.pieces[0]?.kind, "binary");
  assert.equal(decoded({ text: null, base64: btoa("caf\xe9 au lait\n") }).text, "caf\ufffd au lait\n");
  assert.equal(decoded({ text: "a\0b", base64: null }).text, null);
});

test("a million lines are held, found by number and searched, and their text is given back when there is too much", () => {
  const log = new LogModel();
  const line = `${"x".repeat(199)}\n`;
  const block = line.repeat(500);
  for (let at = 0; at < 2000; at++) log.append(chunk(at * block.length, block));
  assert.equal(log.rows, 1_000_000);
  const held = log.pieces.reduce((sum, piece) => sum + (piece.text?.length ?? 0), 0);
  assert.ok(held <= TEXT_ROOM, `${held}`);
  assert.equal(log.row(999_999)?.text.length, 199);
  const given = log.pieces.find((piece) => piece.kind === "text" && piece.text === null);
  assert.ok(given, "something was given back");
  assert.equal(log.rows, 1_000_000, "and nothing moved");
  const first = log.first(given);
  log.fill(given, chunk(given.from, block.repeat((given.to - given.from) / block.length)));
  assert.equal(log.row(first)?.text.length, 199);
});

test("hits are rows, in order, whatever their case", () => {
  const log = new LogModel();
  log.append(chunk(0, "one Error\ntwo\nerror error\n"));
  assert.deepEqual(log.find("ERROR"), [0, 2]);
  assert.deepEqual(log.find(""), []);
});
