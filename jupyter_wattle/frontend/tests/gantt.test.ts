import assert from "node:assert/strict";
import { test } from "node:test";
import type { TimelineBar } from "../src/api";
import { facts, gantt, ticks } from "../src/model/gantt";
import { summary } from "./replies";

const bar = (name: string, more: Partial<TimelineBar> = {}): TimelineBar => ({
  name,
  group: null,
  attempt: 1,
  status: "completed",
  ready_at: 10,
  launched_at: 11,
  started_at: 11.05,
  ended_at: 13,
  critical: false,
  ...more,
});

test("a bar is waiting, start-up and work, and ends now when it is not over", () => {
  const made = gantt(
    { run: { ...summary(), started_at: 10 }, bars: [bar("a"), bar("b", { ended_at: null, status: "running" })] },
    20,
  );
  assert.deepEqual(
    made.rows[0]?.bars[0]?.spans.map((span) => span.kind),
    ["wait", "start", "run"],
  );
  assert.equal(made.rows[1]?.bars[0]?.spans.at(-1)?.to, 20);
  assert.deepEqual([made.from, made.to], [10, 20]);
});

test("attempts share a row, and rows stand in the order in which they began", () => {
  const made = gantt(
    {
      run: summary(),
      bars: [bar("late", { launched_at: 15 }), bar("a"), bar("a", { attempt: 2, launched_at: 14, critical: true })],
    },
    20,
  );
  assert.deepEqual(
    made.rows.map((row) => [row.name, row.bars.length, row.critical]),
    [
      ["a", 2, true],
      ["late", 1, false],
    ],
  );
});

test("facts say how long each part took", () => {
  assert.deepEqual(facts(bar("a", { critical: true }), 0), [
    "a: completed",
    "waited 1.0 s",
    "start-up 50 ms",
    "ran 1.9 s",
    "on the critical path",
  ]);
});

test("an axis has round numbers, few of them", () => {
  assert.deepEqual(
    ticks(10, 6).map((tick) => tick.label),
    ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"],
  );
  assert.deepEqual(
    ticks(0.05, 5).map((tick) => tick.label),
    ["0.00 s", "0.01 s", "0.02 s", "0.03 s", "0.04 s", "0.05 s"],
  );
  assert.deepEqual(
    ticks(7200, 4).map((tick) => tick.label),
    ["0 s", "30 min", "60 min", "90 min", "2:00 h"],
  );
  assert.ok(ticks(3e6, 5).length <= 6);
});
