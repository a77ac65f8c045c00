/* One connection for everything that a page follows.

   Laws: each topic has its own place, so the connection can be opened anew with other topics, or after it broke, and
   nothing is missed or seen twice. Where a proxy holds a stream back, the same events are asked for by long poll. A
   page that nobody sees gives its connection back: browsers have six per server. */

import { Refusal, type Follower, type TopicItem } from "../api";
import { FrameReader, type Frame } from "./sse";

const TOPICS = 32;
const GATHER_MS = 30;
const FIRST_BYTE_MS = 8000;
const SILENCE_MS = 45000;
const HIDDEN_MS = 20000;
const LOG_TAIL = 2000;

/** Who follows what. Two views of one run share its topic; one that comes late has it begin anew for both. */
export type Topics = Map<string, Set<Follower>>;
export type Open = (query: URLSearchParams, signal: AbortSignal, headers: Record<string, string>) => Promise<Response>;

export class Stream {
  private readonly topics: Topics = new Map();
  private links: Link[] = [];
  private timer = 0;
  private asleep = 0;
  polling = false;

  constructor(private readonly open: Open) {
    document.addEventListener("visibilitychange", () => this.seen());
  }

  follow(topic: string, follower: Follower): () => void {
    const followers = this.topics.get(topic) ?? new Set<Follower>();
    followers.add(follower);
    this.topics.set(topic, followers);
    this.later();
    return () => {
      followers.delete(follower);
      if (followers.size || this.topics.get(topic) !== followers) return;
      this.topics.delete(topic);
      this.later();
    };
  }

  private later(): void {
    if (!this.timer) this.timer = window.setTimeout(() => this.renew(), GATHER_MS);
  }

  /** Open connections for exactly the topics there are. */
  private renew(): void {
    this.timer = 0;
    for (const link of this.links) link.close();
    const names = [...this.topics.keys()].sort(byKind);
    this.links = [];
    if (this.asleep < 0) return;
    for (let at = 0; at < names.length; at += TOPICS)
      this.links.push(new Link(names.slice(at, at + TOPICS), this.topics, this.open, this));
  }

  private seen(): void {
    clearTimeout(this.asleep);
    if (document.visibilityState === "visible") {
      const slept = this.asleep < 0;
      this.asleep = 0;
      if (slept) this.later();
    } else if (this.asleep >= 0) {
      this.asleep = window.setTimeout(() => {
        this.asleep = -1;
        this.renew();
      }, HIDDEN_MS);
    }
  }
}

/** The server names the places in this order: runs, logs, events. */
function byKind(one: string, other: string): number {
  const rank = (topic: string) => (topic.startsWith("run:") ? 0 : topic.startsWith("log:") ? 1 : 2);
  return rank(one) - rank(other) || (one < other ? -1 : 1);
}

/** Query of a set of topics, in the server's order, each from its follower's place. */
export function queryOf(names: string[], topics: Topics): URLSearchParams {
  const query = new URLSearchParams();
  const of = (kind: string) => names.filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length));
  if (of("run:").length) query.set("runs", of("run:").join(","));
  if (of("log:").length) query.set("logs", of("log:").join(","));
  if (names.includes("events")) query.set("events", "true");
  const places = names.map((name) => {
    const all = [...(topics.get(name) ?? [])].map((follower) => follower.place());
    return all.includes("") ? "" : (all[0] ?? "");
  });
  if (places.some(Boolean)) query.set("position", places.join(","));
  if (of("log:").length) query.set("tail", String(LOG_TAIL));
  return query;
}

/** One connection, kept up until it is closed or every topic has ended. */
class Link {
  private readonly abort = new AbortController();
  private over = false;
  private failures = 0;

  constructor(
    private readonly names: string[],
    private readonly topics: Topics,
    private readonly open: Open,
    private readonly stream: Stream,
  ) {
    void this.run();
  }

  close(): void {
    this.over = true;
    this.abort.abort();
  }

  private async run(): Promise<void> {
    while (!this.over) {
      const names = this.names.filter((name) => this.topics.has(name));
      if (!names.length) return;
      try {
        await (this.stream.polling ? this.poll(names) : this.read(names));
      } catch (error) {
        if (this.over) return;
        if (error instanceof Refusal && this.refuse(names, error)) return;
        this.failures += 1;
        this.each(names, (follower) => follower.connected?.(false));
      }
      if (!this.over) await pause(Math.min(8000, 250 * 2 ** Math.min(this.failures, 5)));
    }
  }

  /** One stream, to its end. */
  private async read(names: string[]): Promise<void> {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    this.abort.signal.addEventListener("abort", stop);
    let alarm = window.setTimeout(() => {
      this.stream.polling = true; // not even the first comment came through: something on the way holds it back
      stop();
    }, FIRST_BYTE_MS);
    try {
      const answer = await this.open(queryOf(names, this.topics), attempt.signal, { Accept: "text/event-stream" });
      if (!answer.ok || !answer.body) throw await streamRefused(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const frames = new FrameReader();
      for (;;) {
        const { value, done } = await reader.read();
        clearTimeout(alarm);
        if (done) return;
        alarm = window.setTimeout(stop, SILENCE_MS);
        this.good(names);
        for (const frame of frames.push(value)) if (!this.take(frame.event, JSON.parse(frame.data))) return;
      }
    } finally {
      clearTimeout(alarm);
      this.abort.signal.removeEventListener("abort", stop);
    }
  }

  /** One long poll. */
  private async poll(names: string[]): Promise<void> {
    const query = queryOf(names, this.topics);
    query.set("poll", "1");
    const answer = await this.open(query, this.abort.signal, { Accept: "application/json" });
    if (!answer.ok) throw await streamRefused(answer);
    const { events } = (await answer.json()) as { events: (Omit<Frame, "data"> & { data: unknown })[] };
    this.good(names);
    for (const event of events) if (!this.take(event.event, event.data)) return;
  }

  private good(names: string[]): void {
    if (this.failures || !this.told) this.each(names, (follower) => follower.connected?.(true));
    this.failures = 0;
    this.told = true;
  }
  private told = false;

  /** Hand an event on. False when the stream is at its end. */
  private take(event: string, data: unknown): boolean {
    if (this.over) return false;
    if (event === "error") throw asRefusal(data);
    if (event !== "message") return false;
    const item = data as TopicItem;
    const followers = [...(this.topics.get(item.topic) ?? [])];
    if (item.event !== "message") this.topics.delete(item.topic);
    for (const follower of followers) {
      if (item.event === "message") follower.message(item.data, item.id);
      else if (item.event === "end") follower.ended(item.data);
      else follower.failed(asRefusal(item.data));
    }
    return true;
  }

  /** A refusal that will not go away ends the topics; it is not known whose fault it is. True when it has. */
  private refuse(names: string[], error: Refusal): boolean {
    if (["unreachable", "too-many-streams", "500", "502", "503", "504"].includes(error.code)) return false;
    const followers = names.flatMap((name) => [...(this.topics.get(name) ?? [])]);
    for (const name of names) this.topics.delete(name);
    for (const follower of followers) follower.failed(error);
    return true;
  }

  private each(names: string[], tell: (follower: Follower) => void): void {
    for (const name of names) for (const follower of this.topics.get(name) ?? []) tell(follower);
  }
}

async function streamRefused(answer: Response): Promise<Refusal> {
  if (answer.status >= 500 || answer.status === 429) return new Refusal("unreachable", "The server is busy.", "");
  try {
    return asRefusal(await answer.json());
  } catch {
    return new Refusal(String(answer.status), `The server answered ${answer.status}.`, "");
  }
}

function asRefusal(data: unknown): Refusal {
  const told = (data ?? {}) as { code?: string; message?: string; hint?: string };
  return new Refusal(told.code ?? "error", told.message ?? "The stream failed.", told.hint ?? "");
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => window.setTimeout(done, milliseconds));
}
