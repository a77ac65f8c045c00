/* Answers of a server over HTTP, below a base URL and under its own login. One object per server and page: every view
   on the page shares its stream. */

import {
  OPERATIONS,
  Refusal,
  type Follower,
  type Health,
  type Operation,
  type ReplyOf,
  type RequestOf,
  type Source,
} from "../api";
import { Stream } from "./stream";

export class RestSource implements Source {
  readonly live = true;
  readonly note = "";
  private readonly stream: Stream;
  private asked: { at: number; health: Promise<Health> } | null = null;

  constructor(
    readonly baseUrl: string,
    private readonly token = "",
  ) {
    this.stream = new Stream((query, signal, headers) => this.open(query, signal, headers));
  }

  async ask<O extends Operation>(operation: O, request: RequestOf<O>): Promise<ReplyOf<O>> {
    const [verb, pattern] = OPERATIONS[operation];
    const [path, rest] = filled(pattern, request);
    const options: RequestInit = { method: verb, headers: this.headers({ Accept: "application/json" }) };
    let url = this.baseUrl.replace(/\/$/, "") + path;
    if (verb === "GET" || verb === "DELETE") {
      const query = new URLSearchParams();
      for (const [name, value] of Object.entries(rest)) if (value !== undefined) query.set(name, String(value));
      if ([...query].length) url += `?${query.toString()}`;
    } else {
      options.body = JSON.stringify(rest);
      (options.headers as Record<string, string>)["Content-Type"] = "application/json";
    }
    let answer: Response;
    try {
      answer = await fetch(url, { ...options, credentials: "same-origin", cache: "no-store" });
    } catch {
      throw new Refusal("unreachable", "The server does not answer.", "is it still running?");
    }
    if (!answer.ok) throw await refused(answer);
    return (await answer.json()) as ReplyOf<O>;
  }

  /** Who answers; many views that ask at once ask once. */
  health(): Promise<Health> {
    if (!this.asked || performance.now() - this.asked.at > 3000)
      this.asked = { at: performance.now(), health: this.ask("get_health", {}) };
    return this.asked.health;
  }

  follow(topic: string, follower: Follower): () => void {
    return this.stream.follow(topic, follower);
  }

  private open(query: URLSearchParams, signal: AbortSignal, headers: Record<string, string>): Promise<Response> {
    const url = `${this.baseUrl.replace(/\/$/, "")}/api/wattle/stream?${query.toString()}`;
    return fetch(url, { signal, headers: this.headers(headers), credentials: "same-origin", cache: "no-store" });
  }

  private headers(more: Record<string, string>): Record<string, string> {
    const xsrf = cookie("_xsrf");
    return {
      ...more,
      ...(this.token ? { Authorization: `token ${this.token}` } : {}),
      ...(xsrf ? { "X-XSRFToken": xsrf } : {}),
    };
  }
}

/** The path with its names filled in, and the fields that are left. */
export function filled(pattern: string, request: object): [string, Record<string, unknown>] {
  const rest: Record<string, unknown> = { ...request };
  const path = pattern.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = String(rest[name] ?? "");
    delete rest[name];
    return encodeURIComponent(value).replace(/%40/g, "@");
  });
  return [path, rest];
}

/** An answer that is no yes, as the error that it holds. */
export async function refused(answer: Response): Promise<Refusal> {
  try {
    const told = (await answer.json()) as Partial<Refusal>;
    if (told.message) return new Refusal(String(told.code ?? answer.status), told.message, told.hint ?? "");
  } catch {
    /* a proxy's page */
  }
  if (answer.status === 404)
    return new Refusal("not-found", "This server has no Wattle.", "pip install jupyter-wattle");
  if (answer.status === 401 || answer.status === 403)
    return new Refusal("forbidden", "You are not logged in here.", "reload the page and log in");
  return new Refusal(String(answer.status), `The server answered ${answer.status}.`, "");
}

function cookie(name: string): string {
  const found = document.cookie.match(new RegExp(`(?:^|; )${name}=([^;]*)`));
  return found?.[1] ? decodeURIComponent(found[1]) : "";
}

const KEY = Symbol.for("wattle.sources");

/** The source of a server, one per page however often this module is loaded. */
export function restSource(baseUrl: string, token = ""): RestSource {
  const page = globalThis as { [KEY]?: Map<string, RestSource> };
  const known = (page[KEY] ??= new Map<string, RestSource>());
  const found = known.get(baseUrl) ?? new RestSource(baseUrl, token);
  known.set(baseUrl, found);
  return found;
}
