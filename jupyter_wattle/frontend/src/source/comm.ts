/* Answers of a kernel over the messages of a widget, where the page cannot reach the server (VS Code, Colab). Pictures
   of the run are pushed as state; all else is asked and answered. */

import {
  Refusal,
  type Follower,
  type LogChunks,
  type Operation,
  type ReplyOf,
  type RequestOf,
  type RunDetail,
  type Source,
} from "../api";
import type { Snapshot } from "../view/run";

const ANSWER_MS = 30000;
const POLL_MS = 1000;
const TAIL = 2000;

/** The part of an anywidget model that is used here. */
export interface WidgetModel {
  get(name: string): unknown;
  on(event: string, listener: (...values: never[]) => void): void;
  off(event: string, listener: (...values: never[]) => void): void;
  send(content: unknown): void;
}

interface Answer {
  id: number;
  reply: unknown;
  error: { code: string; message: string; hint: string } | null;
}

export class CommSource implements Source {
  readonly live = true;
  readonly note = "";
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private count = 0;
  private readonly heard = (answer: Answer) => this.waiting.get(answer.id)?.(answer);

  constructor(
    private readonly model: WidgetModel,
    private readonly address: string,
  ) {
    model.on("msg:custom", this.heard as never);
  }

  end(): void {
    this.model.off("msg:custom", this.heard as never);
  }

  ask<O extends Operation>(operation: O, request: RequestOf<O>): Promise<ReplyOf<O>> {
    const id = ++this.count;
    return new Promise((done, refuse) => {
      const alarm = setTimeout(() => {
        this.waiting.delete(id);
        refuse(new Refusal("unreachable", "The kernel does not answer.", "it may be busy, or gone"));
      }, ANSWER_MS);
      this.waiting.set(id, ({ reply, error }) => {
        clearTimeout(alarm);
        this.waiting.delete(id);
        if (error) refuse(new Refusal(error.code, error.message, error.hint));
        else done(reply as ReplyOf<O>);
      });
      this.model.send({ call: operation, request, id });
    });
  }

  follow(topic: string, follower: Follower): () => void {
    if (topic === `run:${this.address}`) return this.pushed(follower);
    if (topic.startsWith("run:")) return this.asked(topic.slice(4), follower);
    if (topic.startsWith("log:")) return this.log(topic.slice(4), follower);
    return () => undefined;
  }

  /** The run of this widget: the kernel pushes it. */
  private pushed(follower: Follower): () => void {
    const take = () => {
      const { snapshot } = this.model.get("state") as { snapshot: Snapshot | null };
      if (snapshot?.run?.workers.length) tell(snapshot.run, follower);
    };
    this.model.on("change:state", take);
    take();
    return () => this.model.off("change:state", take);
  }

  /** Another run, as after a rerun. */
  private asked(address: string, follower: Follower): () => void {
    return repeat(async () => {
      const run = await this.ask("list_workers", { workflow: address });
      tell(run, follower);
      return run.completed_at === null;
    }, follower);
  }

  private log(address: string, follower: Follower): () => void {
    const [workflow = "", worker = ""] = address.split("/");
    const reader = new LogReader((request) => this.ask("read_logs", { workflow, worker, ...request }), follower);
    return repeat(() => reader.step(), follower);
  }
}

/** A log that is asked for again and again: its tail first, then what was added, attempt after attempt. */
export class LogReader {
  private offsets: Record<string, number> | null = null;
  private attempt = 0;

  constructor(
    private readonly read: (request: {
      tail?: number;
      stream?: string;
      attempt?: number;
      offset?: number;
    }) => Promise<LogChunks>,
    private readonly follower: Follower,
  ) {}

  /** One look. False when there will be no more. */
  async step(): Promise<boolean> {
    if (!this.offsets) {
      const first = await this.read({ tail: TAIL });
      this.attempt = first.attempt;
      this.offsets = Object.fromEntries(Object.keys(first.sizes).map((stream) => [stream, 0]));
      this.take(first);
      return !first.complete || this.behind(first);
    }
    let more = false;
    for (const stream of Object.keys(this.offsets)) {
      const reply = await this.read({ stream, attempt: this.attempt, offset: this.offsets[stream] ?? 0 });
      this.take(reply);
      more ||= !reply.complete || this.behind(reply);
    }
    if (more) return true;
    const newest = await this.read({ tail: 0 });
    if (newest.attempt === this.attempt) return false;
    [this.attempt, this.offsets] = [
      this.attempt + 1,
      Object.fromEntries(Object.keys(newest.sizes).map((stream) => [stream, 0])),
    ];
    return true;
  }

  private take(reply: LogChunks): void {
    for (const chunk of reply.chunks) {
      if (this.offsets) this.offsets[chunk.stream] = chunk.to_offset;
      this.follower.message(chunk, "");
    }
  }

  private behind(reply: LogChunks): boolean {
    return reply.chunks.some((chunk) => chunk.to_offset < (reply.sizes[chunk.stream] ?? 0));
  }
}

function tell(run: RunDetail, follower: Follower): void {
  const { workers, seq, limit, run_dir, warnings } = run;
  follower.message({ run, workers, seq, first: true, limit, run_dir, warnings }, String(seq));
}

/** Ask again and again until there is no more, or nobody follows. */
function repeat(look: () => Promise<boolean>, follower: Follower): () => void {
  let over = false;
  let timer: ReturnType<typeof setTimeout>;
  const step = async (): Promise<void> => {
    try {
      if (!(await look())) return follower.ended({});
      follower.connected?.(true);
    } catch (error) {
      if (error instanceof Refusal && error.code !== "unreachable") return follower.failed(error);
      follower.connected?.(false);
    }
    if (!over) timer = setTimeout(() => void step(), POLL_MS);
  };
  void step();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
