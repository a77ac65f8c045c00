/* Replies as the server would give them. */

import type { Graph, RunChange, RunSummary, Status, WorkerState } from "../src/api";

export function worker(name: string, status: Status = "created", more: Partial<WorkerState> = {}): WorkerState {
  return {
    name,
    group: null,
    status,
    phase: status === "created" ? "waiting" : status,
    reason: "",
    message: "",
    attempt: status === "created" ? 0 : 1,
    attempts_allowed: 1,
    code: null,
    signal: null,
    pid: null,
    started_at: null,
    ended_at: null,
    reused_from: "",
    stale: false,
    ...more,
  };
}

export function summary(status: Status = "running"): RunSummary {
  return {
    address: "etl@1",
    workflow: "etl",
    number: 1,
    status,
    phase: status,
    reason: "",
    cause: "",
    created_at: 1,
    started_at: 1,
    completed_at: null,
    counts: {},
    origin: "",
    overhead: 0,
  };
}

export function change(workers: WorkerState[], more: Partial<RunChange> = {}): RunChange {
  return { run: summary(), workers, seq: 1, first: false, limit: 0, run_dir: "", warnings: [], ...more };
}

/** Nodes by name; an edge is `a>b`. Layers are given by the order: `x` is the place in `columns`. */
export function graph(columns: string[][], edges: string[]): Graph {
  return {
    workflow: "etl",
    nodes: columns.flatMap((names, x) =>
      names.map((name, y) => ({
        name,
        instances: 1,
        status: "created" as const,
        counts: {},
        x,
        y,
        kind: "command",
        stale: false,
      })),
    ),
    edges: edges.map((edge) => {
      const [source = "", target = ""] = edge.split(">");
      return { source, target, ports: [], stream: false };
    }),
  };
}
