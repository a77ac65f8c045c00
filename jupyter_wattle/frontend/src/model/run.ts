/* A run as it is known in the browser: made from replies, changed by what a stream says, drawn by the views.

   Laws: a view of a node is a new object exactly when something in it has changed, so that drawing may compare
   identities; a change touches only what it names. */

import type {
  Counts,
  Graph,
  GraphNode,
  RunChange,
  RunDetail,
  RunProgress,
  RunSummary,
  WorkerProgress,
  WorkerState,
} from "../api";
import { groupLook, isFinal, lookOf, type Look } from "./status";

/** A worker or a group in the picture. */
export interface NodeView {
  readonly node: GraphNode;
  readonly look: Look;
  readonly counts: Counts;
  /** The only instance, where there is one. */
  readonly worker: WorkerState | null;
  readonly progress: WorkerProgress | null;
  /** Its result is no longer what would be made. */
  readonly stale: boolean;
}

export class RunModel {
  run: RunSummary | null = null;
  workers: WorkerState[] = [];
  graph: Graph = { workflow: "", nodes: [], edges: [] };
  warnings: string[] = [];
  runDir = "";
  limit = 0;
  seq = 0;
  /** Grows with every change; who has drawn this version is up to date. */
  version = 0;
  private index = new Map<string, number>();
  private members = new Map<string, number[]>();
  private nodes = new Map<string, NodeView>();
  private progress = new Map<string, WorkerProgress>();
  private readonly listeners = new Set<() => void>();

  /** Be told of changes. Returns what ends it. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The whole run, as a reply or a snapshot has it. */
  load(detail: RunDetail | null, graph: Graph): void {
    this.graph = graph;
    if (detail) {
      this.run = detail;
      this.warnings = detail.warnings;
      this.runDir = detail.run_dir;
      this.limit = detail.limit;
      this.seq = detail.seq;
      this.workers = detail.workers;
    }
    this.reindex();
    this.tell();
  }

  setGraph(graph: Graph): void {
    this.graph = graph;
    this.reindex();
    this.tell();
  }

  /** One step of a watched run. */
  apply(change: RunChange): void {
    this.run = change.run;
    this.seq = change.seq;
    if (change.run_dir) this.runDir = change.run_dir;
    if (change.limit) this.limit = change.limit;
    if (change.first || change.warnings.length) this.warnings = change.warnings;
    if (change.first) {
      this.workers = change.workers;
      this.reindex();
    } else {
      const touched = new Set<string>();
      for (const worker of change.workers) {
        const at = this.index.get(worker.name);
        if (at === undefined) continue;
        this.workers[at] = worker;
        touched.add(nodeOf(worker));
        if (isFinal(worker.status)) this.progress.delete(worker.name);
      }
      for (const name of touched) this.refresh(name);
    }
    this.tell();
  }

  /** What the running workers say of themselves. */
  report(progress: RunProgress): void {
    const before = this.progress;
    this.progress = new Map(progress.workers.map((one) => [one.name, one]));
    let changed = false;
    for (const name of new Set([...before.keys(), ...this.progress.keys()])) {
      const [one, other] = [before.get(name), this.progress.get(name)];
      if (one?.fraction === other?.fraction && one?.text === other?.text) continue;
      const worker = this.worker(name);
      if (worker) this.refresh(nodeOf(worker));
      changed = true;
    }
    if (changed) this.tell();
  }

  worker(name: string): WorkerState | null {
    const at = this.index.get(name);
    return at === undefined ? null : (this.workers[at] ?? null);
  }

  progressOf(name: string): WorkerProgress | null {
    return this.progress.get(name) ?? null;
  }

  view(name: string): NodeView | null {
    return this.nodes.get(name) ?? null;
  }

  /** The instances of a worker or group. */
  instances(name: string): WorkerState[] {
    return (this.members.get(name) ?? []).map((at) => this.workers[at]).filter((one): one is WorkerState => !!one);
  }

  failed(): WorkerState[] {
    return this.workers.filter((worker) => worker.status === "failed");
  }

  get final(): boolean {
    return this.run !== null && isFinal(this.run.status);
  }

  private reindex(): void {
    this.index = new Map(this.workers.map((worker, at) => [worker.name, at]));
    this.members = new Map();
    this.workers.forEach((worker, at) => {
      const name = nodeOf(worker);
      const known = this.members.get(name);
      if (known) known.push(at);
      else this.members.set(name, [at]);
    });
    const before = this.nodes;
    this.nodes = new Map();
    for (const node of this.graph.nodes) {
      const old = before.get(node.name);
      if (old) this.nodes.set(node.name, old);
      this.refresh(node.name, node);
    }
  }

  private refresh(name: string, node?: GraphNode): void {
    const old = this.nodes.get(name);
    const shape = node ?? old?.node;
    if (!shape) return;
    const members = this.members.get(name) ?? [];
    const counts: Counts = {};
    for (const at of members) {
      const status = this.workers[at]?.status;
      if (status) counts[status] = (counts[status] ?? 0) + 1;
    }
    const only = members.length === 1 ? (this.workers[members[0] ?? 0] ?? null) : null;
    const worker = only && only.group === null ? only : null;
    const known = members.length ? counts : shape.counts;
    const look = worker ? lookOf(worker) : members.length || Object.keys(known).length ? groupLook(known) : "created";
    const progress = worker ? this.progressOf(worker.name) : null;
    const stale = members.length ? members.some((at) => this.workers[at]?.stale) : shape.stale;
    this.nodes.set(name, { node: shape, look, counts: known, worker, progress, stale });
  }

  private tell(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}

/** The node that an instance belongs to. */
export function nodeOf(worker: WorkerState): string {
  return worker.group ?? worker.name;
}
