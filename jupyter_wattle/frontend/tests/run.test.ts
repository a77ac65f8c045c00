import assert from "node:assert/strict";
import { test } from "node:test";
import { RunModel } from "../src/model/run";
import { groupLook, lookOf, reasonText } from "../src/model/status";
import { change, graph, worker } from "./replies";

function model(): RunModel {
  const made = new RunModel();
  made.setGraph(graph([["a"], ["t"], ["z"]], ["a>t", "t>z"]));
  made.apply(
    change(
      [worker("a"), worker("t.1", "created", { group: "t" }), worker("t.2", "created", { group: "t" }), worker("z")],
      { first: true },
    ),
  );
  return made;
}

test("a change makes a new view of the nodes that it touches, and of no other", () => {
  const run = model();
  const [a, t] = [run.view("a"), run.view("t")];
  run.apply(change([worker("t.1", "running", { group: "t" })], { seq: 2 }));
  assert.equal(run.view("a"), a);
  assert.notEqual(run.view("t"), t);
  assert.deepEqual(run.view("t")?.counts, { running: 1, created: 1 });
  assert.equal(run.view("t")?.look, "running");
});

test("the first picture replaces everything, also after a reconnect", () => {
  const run = model();
  run.apply(change([worker("a", "completed"), worker("z", "running")], { first: true, seq: 9 }));
  assert.equal(run.workers.length, 2);
  assert.equal(run.view("a")?.look, "completed");
  assert.equal(run.seq, 9);
});

test("a graph that comes after the states shows them", () => {
  const run = new RunModel();
  run.apply(change([worker("a", "failed")], { first: true }));
  run.setGraph(graph([["a"]], []));
  assert.equal(run.view("a")?.look, "failed");
});

test("progress is shown while a worker runs and forgotten when it ends", () => {
  const run = model();
  run.apply(change([worker("a", "running")]));
  run.report({ workers: [{ name: "a", fraction: 0.4, text: "epoch 4", at: 1 }] });
  assert.equal(run.view("a")?.progress?.fraction, 0.4);
  const version = run.version;
  run.report({ workers: [{ name: "a", fraction: 0.4, text: "epoch 4", at: 2 }] });
  assert.equal(run.version, version, "nothing new to draw");
  run.apply(change([worker("a", "completed")]));
  assert.equal(run.view("a")?.progress, null);
});

test("who listens is told once per change", () => {
  const run = model();
  let told = 0;
  const leave = run.listen(() => (told += 1));
  run.apply(change([worker("a", "running"), worker("z", "running")]));
  leave();
  run.apply(change([worker("a", "completed")]));
  assert.equal(told, 1);
});

test("a look says more than the status, and a group's what needs attention first", () => {
  assert.equal(lookOf(worker("a", "running", { phase: "retrying" })), "retrying");
  assert.equal(lookOf(worker("a", "failed", { reason: "lost" })), "lost");
  assert.equal(lookOf(worker("a", "completed", { reused_from: "etl@1" })), "reused");
  assert.equal(groupLook({ completed: 3, failed: 1, running: 1 }), "failed");
  assert.equal(groupLook({ completed: 3, created: 1 }), "running");
  assert.equal(groupLook({}), "created");
  assert.equal(reasonText({ reason: "signal", code: null, signal: 9 }), "SIGKILL");
  assert.equal(reasonText({ reason: "exit", code: 3, signal: null }), "exit 3");
});
