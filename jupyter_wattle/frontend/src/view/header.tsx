/* The line above a run: what it is, how it stands, what can be done about it. */

import type { RunSummary } from "../api";
import { canStop, countsText, isFinal, ORDER, total, type Look } from "../model/status";
import { count, duration, plain } from "../text";
import { Action } from "./buttons";
import { Mark } from "./mark";

interface Props {
  address: string;
  run: RunSummary | null;
  /** What is shown is a definition, which may have run. */
  definition: boolean;
  workers: number;
  now: number;
  live: boolean;
  there: boolean;
  /** Some of its results are no longer what would be made. */
  stale: boolean;
  act: (what: "run" | "run-stale" | "stop" | "rerun" | "rerun-failed") => Promise<void>;
  onEdit: (() => void) | null;
}

export function Header({ address, run, definition, stale, workers, now, live, there, act, onEdit }: Props) {
  const look = run ? runLook(run) : "created";
  const took = run?.started_at ? duration((run.completed_at ?? now) - run.started_at) : "";
  return (
    <header class="head">
      <Mark look={look} />
      <h2>{plain(run?.address ?? address)}</h2>
      <span class={`word ${look}`} role="status">
        {run ? look : definition ? "" : "not run yet"}
      </span>
      <span class="dim facts">
        {run ? runFacts(run, took) : `${count(workers)} worker${workers === 1 ? "" : "s"}`}
        {live && !there ? " · reconnecting…" : ""}
      </span>
      <span class="spring" />
      {live && (
        <>
          {onEdit && (
            <button type="button" onClick={onEdit}>
              Edit
            </button>
          )}
          {!run && stale && (
            <Action
              label="Run what is stale"
              title="wattle run --stale: takes over what would come out the same"
              act={() => act("run-stale")}
            />
          )}
          {!run && <Action label="Run" kind="primary" act={() => act("run")} />}
          {run && canStop(run) && (
            <Action
              label="Stop"
              kind="danger"
              question={`Stop ${plain(run.address)} and every process of it?`}
              act={() => act("stop")}
            />
          )}
          {run && isFinal(run.status) && run.status !== "completed" && (
            <Action
              label="Rerun failed"
              title="A new run that takes over what completed"
              act={() => act("rerun-failed")}
            />
          )}
          {run && isFinal(run.status) && (
            <Action label="Rerun" title="A new run like this one" act={() => act("rerun")} />
          )}
        </>
      )}
      {run && <Meter run={run} />}
    </header>
  );
}

function runLook(run: RunSummary): Look {
  return run.phase === "stopping" && !isFinal(run.status) ? "stopping" : run.status;
}

function runFacts(run: RunSummary, took: string): string {
  const all = total(run.counts);
  const done = ORDER.filter(isFinal).reduce((sum, status) => sum + (run.counts[status] ?? 0), 0);
  const parts = [
    isFinal(run.status) ? `${count(all)} worker${all === 1 ? "" : "s"}` : `${count(done)} of ${count(all)} done`,
  ];
  if (run.counts.running) parts.push(`${count(run.counts.running)} running`);
  if (run.counts.failed) parts.push(`${count(run.counts.failed)} failed`);
  if (took) parts.push(took);
  if (run.reason && run.status === "cancelled") parts.push(run.reason);
  if (run.overhead >= 0.0005) parts.push(`Wattle itself ${cost(run.overhead)}`);
  return parts.join(" · ");
}

function cost(seconds: number): string {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : duration(seconds);
}

/** Workers by status as parts of a line. */
export function Meter({ run }: { run: RunSummary }) {
  const all = total(run.counts);
  if (!all) return null;
  return (
    <div class="meter" role="img" aria-label={countsText(run.counts)} title={countsText(run.counts)}>
      {ORDER.filter((status) => run.counts[status]).map((status) => (
        <i key={status} class={status} style={{ width: `${(100 * (run.counts[status] ?? 0)) / all}%` }} />
      ))}
    </div>
  );
}
