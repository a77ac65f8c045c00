import assert from "node:assert/strict";
import { test } from "node:test";
import { Refusal, type Follower, type LogChunk, type LogChunks } from "../src/api";
import { CommSource, LogReader, type WidgetModel } from "../src/source/comm";
import { change, summary, worker } from "./replies";

class FakeModel implements WidgetModel {
  sent: { call: string; request: unknown; id: number }[] = [];
  values: Record<string, unknown> = {};
  private listeners = new Map<string, Set<(...values: never[]) => void>>();

  get(name: string): unknown {
    return this.values[name];
  }
  on(event: string, listener: (...values: never[]) => void): void {
    this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(listener));
  }
  off(event: string, listener: (...values: never[]) => void): void {
    this.listeners.get(event)?.delete(listener);
  }
  send(content: unknown): void {
    this.sent.push(content as (typeof this.sent)[number]);
  }
  tell(event: string, value: unknown): void {
    for (const listener of this.listeners.get(event) ?? []) listener(value as never);
  }
}

test("an answer goes to whoever asked, and a refusal is one", async () => {
  const model = new FakeModel();
  const source = new CommSource(model, "etl@1");
  const [good, bad] = [source.ask("get_health", {}), source.ask("stop_workflow", { workflow: "etl@1" })];
  assert.deepEqual(
    model.sent.map(({ call, id }) => [call, id]),
    [
      ["get_health", 1],
      ["stop_workflow", 2],
    ],
  );
  model.tell("msg:custom", { id: 2, reply: null, error: { code: "conflict", message: "It has ended.", hint: "" } });
  model.tell("msg:custom", { id: 1, reply: { ready: true }, error: null });
  assert.deepEqual(await good, { ready: true });
  await assert.rejects(bad, (error) => error instanceof Refusal && error.message === "It has ended.");
});

test("the kernel's pictures are changes of the run", () => {
  const model = new FakeModel();
  const seen: unknown[] = [];
  const state = (status: "running" | "completed") => ({
    seq: 1,
    snapshot: { run: { ...summary(status), ...change([worker("a", status)]) } },
  });
  model.values["state"] = state("running");
  const follower: Follower = {
    place: () => "",
    message: (data) => seen.push((data as { workers: { status: string }[] }).workers[0]?.status),
    ended: () => undefined,
    failed: () => undefined,
  };
  const leave = new CommSource(model, "etl@1").follow("run:etl@1", follower);
  model.values["state"] = state("completed");
  model.tell("change:state", null);
  leave();
  model.tell("change:state", null);
  assert.deepEqual(seen, ["running", "completed"]);
});

test("a log is read from its tail on, through the next attempt, to its end", async () => {
  const files = new Map([["1", "one\ntwo\n"]]);
  let [attempt, ended] = [1, false];
  const read = async (request: { tail?: number; attempt?: number; offset?: number }): Promise<LogChunks> => {
    const number = request.attempt ?? attempt;
    const text = files.get(String(number)) ?? "";
    const from = request.offset ?? (request.tail === 0 ? text.length : 0);
    const chunk = {
      stream: "stdout",
      attempt: number,
      from_offset: from,
      to_offset: text.length,
      text: text.slice(from),
    } as LogChunk;
    return {
      chunks: from < text.length ? [chunk] : [],
      attempt: number,
      sizes: { stdout: text.length },
      complete: ended || number < attempt,
    };
  };
  const seen: string[] = [];
  const reader = new LogReader(read, {
    place: () => "",
    message: (data) => seen.push((data as LogChunk).text ?? ""),
    ended: () => undefined,
    failed: () => undefined,
  });
  assert.equal(await reader.step(), true);
  files.set("1", "one\ntwo\nthree\n");
  attempt = 2;
  files.set("2", "again\n");
  assert.equal(await reader.step(), true);
  ended = true;
  assert.equal(await reader.step(), false);
  assert.deepEqual(seen, ["one\ntwo\n", "three\n", "again\n"]);
});
