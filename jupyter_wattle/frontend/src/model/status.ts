/* What a state looks like and is called. A look is a status, or what says more than the status: each has a colour and a
   shape of its own, so that no one has to tell colours apart. */

import type { Counts, RunSummary, Status, WorkerState } from "../api";

export type Look = Status | "ready" | "starting" | "stopping" | "retrying" | "reused" | "lost";

export const ORDER: Status[] = ["completed", "running", "failed", "cancelled", "created"];

/** The look of a worker. */
export function lookOf(worker: WorkerState): Look {
  if (worker.reused_from) return "reused";
  if (worker.reason === "lost") return "lost";
  if (["ready", "starting", "stopping", "retrying"].includes(worker.phase)) return worker.phase as Look;
  return worker.status;
}

/** One look for a group: what needs attention first, as the server's `group_status` has it. */
export function groupLook(counts: Counts): Status {
  for (const status of ["failed", "running", "cancelled"] as const) if (counts[status]) return status;
  if (counts.completed && !counts.created) return "completed";
  return counts.completed ? "running" : "created";
}

export function total(counts: Counts): number {
  return ORDER.reduce((sum, status) => sum + (counts[status] ?? 0), 0);
}

export function isFinal(status: string): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

const REASONS: Record<string, string> = {
  timeout: "ran out of time",
  "could-not-start": "could not be started",
  "input-missing": "an input is missing",
  "output-missing": "did not write an output",
  lost: "lost: nobody saw how it ended",
  stopped: "stopped",
  "upstream-failed": "one before it failed",
  "run-failed": "the run failed",
};

const SIGNALS: Record<number, string> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
};

/** Why a worker is where it is, in a few words. */
export function reasonText(worker: Pick<WorkerState, "reason" | "code" | "signal">): string {
  if (worker.reason === "exit") return `exit ${worker.code ?? "?"}`;
  if (worker.reason === "signal") return SIGNALS[worker.signal ?? 0] ?? `signal ${worker.signal ?? "?"}`;
  return REASONS[worker.reason] ?? worker.reason;
}

/** The word for a state. */
export function word(look: Look): string {
  return look === "created" ? "waiting" : look;
}

/** `7 completed, 2 running, 1 waiting`. */
export function countsText(counts: Counts): string {
  return ORDER.filter((status) => counts[status])
    .map((status) => `${counts[status]} ${word(status)}`)
    .join(", ");
}

export function canStop(run: RunSummary): boolean {
  return !isFinal(run.status) && run.phase !== "stopping";
}
