/* What the server says, as `wattle/core/replies.py` has it (a test compares the fields), and the operations that the
   views ask. Times are seconds since the epoch, durations seconds, sizes bytes. */

export type Status = "created" | "running" | "completed" | "failed" | "cancelled";
export type Counts = Partial<Record<Status, number>>;

export interface RunSummary {
  address: string;
  workflow: string;
  number: number;
  status: Status;
  phase: string;
  reason: string;
  cause: string;
  created_at: number;
  started_at: number | null;
  completed_at: number | null;
  counts: Counts;
  origin: string;
  overhead: number;
}

export interface WorkflowSummary {
  name: string;
  status: Status;
  workers: number;
  description: string;
  source: string;
  tags: string[];
  created_at: number;
  updated_at: number;
  run: RunSummary | null;
}

export interface WorkflowList {
  workflows: WorkflowSummary[];
  total: number;
}

export interface WorkflowDetail extends WorkflowSummary {
  document: Record<string, unknown>;
  working_dir: string;
  revision: number;
  etag: string;
  warnings: string[];
}

export interface RunList {
  runs: RunSummary[];
  next: number | null;
}

export interface WorkerState {
  name: string;
  group: string | null;
  status: Status;
  phase: string;
  reason: string;
  message: string;
  attempt: number;
  attempts_allowed: number;
  code: number | null;
  signal: number | null;
  pid: number | null;
  started_at: number | null;
  ended_at: number | null;
  reused_from: string;
  stale: boolean;
}

export interface RunDetail extends RunSummary {
  workers: WorkerState[];
  seq: number;
  params: Record<string, unknown>;
  working_dir: string;
  run_dir: string;
  limit: number;
  warnings: string[];
}

export interface RunChange {
  run: RunSummary;
  workers: WorkerState[];
  seq: number;
  first: boolean;
  limit: number;
  run_dir: string;
  warnings: string[];
}

export interface GraphNode {
  name: string;
  instances: number;
  status: Status;
  counts: Counts;
  x: number;
  y: number;
  kind: string;
  stale: boolean;
}

export interface GraphEdge {
  source: string;
  target: string;
  ports: string[];
  stream: boolean;
}

export interface Graph {
  workflow: string;
  nodes: GraphNode[];
  edges: GraphEdge[];
}

export interface TimelineBar {
  name: string;
  group: string | null;
  attempt: number;
  status: Status;
  ready_at: number | null;
  launched_at: number | null;
  started_at: number | null;
  ended_at: number | null;
  critical: boolean;
}

export interface Timeline {
  run: RunSummary;
  bars: TimelineBar[];
}

export interface WorkerProgress {
  name: string;
  fraction: number | null;
  text: string;
  at: number;
}

export interface RunProgress {
  workers: WorkerProgress[];
}

export interface Attempt {
  attempt: number;
  status: Status;
  phase: string;
  reason: string;
  message: string;
  code: number | null;
  signal: number | null;
  pid: number | null;
  executable: string;
  launched_at: number | null;
  started_at: number | null;
  ended_at: number | null;
  cpu_user: number;
  cpu_system: number;
  max_rss: number;
  log: Record<string, string>;
  log_size: Record<string, number>;
}

export interface PortDetail {
  name: string;
  type: string;
  variable: string;
  source: string[];
  path: string;
}

export interface WorkerDetail {
  workflow: string;
  name: string;
  definition: Record<string, unknown>;
  run: RunSummary | null;
  state: WorkerState | null;
  command: string[];
  working_dir: string;
  attempts: Attempt[];
  inputs: PortDetail[];
  outputs: PortDetail[];
  instances: string[];
}

export interface WorkerMetrics {
  workflow: string;
  name: string;
  cpu_percent: number | null;
  rss: number | null;
  processes: number | null;
  cpu_user: number;
  cpu_system: number;
  max_rss: number;
}

export interface LogChunk {
  worker: string;
  attempt: number;
  stream: string;
  from_offset: number;
  to_offset: number;
  text: string | null;
  base64: string | null;
  skipped: number;
  position: string;
  end: string;
  reason: string;
  code: number | null;
  signal: number | null;
}

export interface LogChunks {
  chunks: LogChunk[];
  attempt: number;
  sizes: Record<string, number>;
  complete: boolean;
}

export interface OutputDetail {
  address: string;
  port: string;
  type: string;
  path: string;
  exists: boolean;
  size: number;
  modified_at: number | null;
  value: unknown;
}

export interface OutputList {
  outputs: OutputDetail[];
}

export interface OutputPreview {
  address: string;
  port: string;
  path: string;
  exists: boolean;
  size: number;
  kind: string;
  media: string;
  text: string | null;
  base64: string | null;
  truncated: boolean;
}

export interface EventLine {
  seq: number;
  address: string;
  type: string;
  at: number;
  worker: string | null;
  event: Record<string, unknown>;
}

export interface TopicItem {
  topic: string;
  event: string;
  id: string;
  data: unknown;
  position: string;
}

export interface DocumentProblem {
  path: string;
  message: string;
  hint: string;
  line: number;
  column: number;
}

export interface Validation {
  valid: boolean;
  name: string;
  workers: number;
  problems: DocumentProblem[];
  warnings: string[];
  graph: Graph | null;
}

export interface Health {
  version: string;
  store_id: string;
  home: string;
  rank: string;
  pid: number;
  epoch: number;
  started_at: number;
  ready: boolean;
  supervisor_pid: number | null;
  supervisor_state: string;
  unfinished_runs: number;
  running_workers: number;
  loop_lag_ms: number;
  settings: Record<string, string[]>;
}

export interface Done {
  message: string;
}

/** Each operation that the views ask: its verb, its path, and its request and reply (types only). */
interface Asked {
  get_health: [Record<string, never>, Health];
  list_workflows: [{ limit?: number }, WorkflowList];
  get_workflow: [{ workflow: string }, WorkflowDetail];
  create_workflow: [{ document: unknown; name?: string; replace?: boolean }, WorkflowDetail];
  replace_workflow: [{ workflow: string; document: unknown; if_match?: string }, WorkflowDetail];
  delete_workflow: [{ workflow: string }, Done];
  start_workflow: [{ workflow: string; params?: Record<string, unknown>; stale?: boolean; key?: string }, RunDetail];
  stop_workflow: [{ workflow: string }, RunDetail];
  rerun_workflow: [{ workflow: string; from_worker?: string; failed?: boolean; key?: string }, RunDetail];
  list_runs: [{ workflow: string; limit?: number; before?: number }, RunList];
  list_all_runs: [{ limit?: number; before?: number; active?: boolean }, RunList];
  list_workers: [{ workflow: string }, RunDetail];
  get_graph: [{ workflow: string }, Graph];
  get_timeline: [{ workflow: string }, Timeline];
  get_progress: [{ workflow: string }, RunProgress];
  get_worker: [{ workflow: string; worker: string }, WorkerDetail];
  get_worker_metrics: [{ workflow: string; worker: string }, WorkerMetrics];
  stop_worker: [{ workflow: string; worker: string }, RunDetail];
  restart_worker: [{ workflow: string; worker: string; key?: string }, RunDetail];
  read_logs: [
    {
      workflow: string;
      worker: string;
      stream?: string;
      attempt?: number;
      offset?: number;
      limit?: number;
      tail?: number;
    },
    LogChunks,
  ];
  list_outputs: [{ workflow: string; worker: string }, OutputList];
  preview_output: [{ workflow: string; worker: string; port: string }, OutputPreview];
  validate_document: [{ document: unknown; draw?: boolean }, Validation];
}

export type Operation = keyof Asked;
export type RequestOf<O extends Operation> = Asked[O][0];
export type ReplyOf<O extends Operation> = Asked[O][1];

/** Verb and path, as in `wattle/core/operations.py`. */
export const OPERATIONS: Record<Operation, [string, string]> = {
  get_health: ["GET", "/api/wattle/health"],
  list_workflows: ["GET", "/api/workflows"],
  get_workflow: ["GET", "/api/workflows/{workflow}"],
  create_workflow: ["POST", "/api/workflows"],
  replace_workflow: ["PUT", "/api/workflows/{workflow}"],
  delete_workflow: ["DELETE", "/api/workflows/{workflow}"],
  start_workflow: ["POST", "/api/workflows/{workflow}/start"],
  stop_workflow: ["POST", "/api/workflows/{workflow}/stop"],
  rerun_workflow: ["POST", "/api/workflows/{workflow}/rerun"],
  list_runs: ["GET", "/api/workflows/{workflow}/runs"],
  list_all_runs: ["GET", "/api/wattle/runs"],
  list_workers: ["GET", "/api/workflows/{workflow}/workers"],
  get_graph: ["GET", "/api/workflows/{workflow}/graph"],
  get_timeline: ["GET", "/api/workflows/{workflow}/timeline"],
  get_progress: ["GET", "/api/workflows/{workflow}/progress"],
  get_worker: ["GET", "/api/workers/{workflow}/{worker}"],
  get_worker_metrics: ["GET", "/api/workers/{workflow}/{worker}/metrics"],
  stop_worker: ["POST", "/api/workers/{workflow}/{worker}/stop"],
  restart_worker: ["POST", "/api/workers/{workflow}/{worker}/restart"],
  read_logs: ["GET", "/api/workers/{workflow}/{worker}/logs"],
  list_outputs: ["GET", "/api/workers/{workflow}/{worker}/outputs"],
  preview_output: ["GET", "/api/workers/{workflow}/{worker}/outputs/{port}/preview"],
  validate_document: ["POST", "/api/wattle/validate"],
};

/** A refusal in the form that every face of Wattle has. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** Where answers come from: a server over HTTP, a kernel over its comm, or nobody (a saved picture). */
export interface Source {
  /** Ask an operation. Rejects with a `Refusal`. */
  ask<O extends Operation>(operation: O, request: RequestOf<O>): Promise<ReplyOf<O>>;
  /** Follow `run:etl@12`, `log:etl@12/clean` or `events`. Returns what ends it. */
  follow(topic: string, follower: Follower): () => void;
  /** Whether it can be asked at all, and the word that says why not. */
  readonly live: boolean;
  readonly note: string;
}

/** Who follows a topic. `place` is asked whenever the stream is taken up (again). */
export interface Follower {
  place: () => string;
  tail?: number;
  message: (data: unknown, id: string) => void;
  ended: (data: unknown) => void;
  failed: (error: Refusal) => void;
  /** The connection is there, or it is being looked for. */
  connected?: (there: boolean) => void;
}
