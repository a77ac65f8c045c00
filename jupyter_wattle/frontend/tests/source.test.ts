import assert from "node:assert/strict";
import { test } from "node:test";
import { OPERATIONS, type Follower } from "../src/api";
import { filled } from "../src/source/rest";
import { FrameReader } from "../src/source/sse";
import { queryOf } from "../src/source/stream";

test("frames come whole however the bytes were cut", () => {
  const reader = new FrameReader();
  const text = 'retry: 2000\n: wattle\n\nid: 5\ndata: {"a":1}\n\nevent: end\ndata: {}\n\n: alive\n\n';
  const frames = [...text].flatMap((char) => reader.push(char));
  assert.deepEqual(frames, [
    { event: "message", id: "5", data: '{"a":1}' },
    { event: "end", id: "", data: "{}" },
  ]);
});

test("a path is filled in and encoded, and the rest goes beside it", () => {
  const [path, rest] = filled(OPERATIONS.read_logs[1], { workflow: "fr\u00fch@2", worker: "a b", offset: 3 });
  assert.equal(path, "/api/workers/fr%C3%BCh@2/a%20b/logs");
  assert.deepEqual(rest, { offset: 3 });
});

test("a stream is asked for in the server's order, each topic from its own place", () => {
  const at = (...places: string[]) => new Set(places.map((place) => ({ place: () => place }) as Follower));
  const topics = new Map([
    ["run:etl@1", at("9", "")],
    ["log:etl@1/a", at("1.5.0")],
    ["events", at("77")],
  ]);
  const query = queryOf(["run:etl@1", "log:etl@1/a", "events"], topics);
  assert.equal(query.get("runs"), "etl@1");
  assert.equal(query.get("logs"), "etl@1/a");
  assert.equal(query.get("events"), "true");
  assert.equal(query.get("position"), ",1.5.0,77", "who came late needs the whole run");
});
