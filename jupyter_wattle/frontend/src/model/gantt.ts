/* Where the time of a run went, as bars on an axis. Pure. */

import type { Timeline, TimelineBar } from "../api";
import { duration } from "../text";

export interface Span {
  kind: "wait" | "start" | "run";
  from: number;
  to: number;
}

export interface GanttRow {
  name: string;
  bars: { bar: TimelineBar; spans: Span[] }[];
  critical: boolean;
}

export interface Gantt {
  rows: GanttRow[];
  from: number;
  to: number;
}

/** Rows in the order in which workers began, each with the bars of its attempts. `now` ends what is not over. */
export function gantt(timeline: Timeline, now: number): Gantt {
  const { run } = timeline;
  const from = Math.min(run.started_at ?? run.created_at, ...timeline.bars.map((bar) => first(bar) ?? Infinity));
  const to = Math.max(run.completed_at ?? now, ...timeline.bars.map((bar) => bar.ended_at ?? 0));
  const rows = new Map<string, GanttRow>();
  for (const bar of timeline.bars) {
    const row = rows.get(bar.name) ?? { name: bar.name, bars: [], critical: false };
    row.bars.push({ bar, spans: spans(bar, run.completed_at ?? now) });
    row.critical ||= bar.critical;
    rows.set(bar.name, row);
  }
  const sorted = [...rows.values()].sort((one, other) => begin(one) - begin(other));
  return { rows: sorted, from, to: Math.max(to, from + 0.001) };
}

function first(bar: TimelineBar): number | null {
  return bar.ready_at ?? bar.launched_at ?? bar.started_at;
}

function begin(row: GanttRow): number {
  const bar = row.bars[0]?.bar;
  return bar ? (bar.launched_at ?? first(bar) ?? 0) : 0;
}

function spans(bar: TimelineBar, now: number): Span[] {
  const found: Span[] = [];
  const add = (kind: Span["kind"], from: number | null, to: number | null) => {
    if (from !== null && to !== null && to > from) found.push({ kind, from, to });
  };
  add("wait", bar.ready_at, bar.launched_at);
  add("start", bar.launched_at, bar.started_at ?? bar.ended_at ?? now);
  add("run", bar.started_at, bar.ended_at ?? now);
  return found;
}

/** What the pointer is told of a bar. */
export function facts(bar: TimelineBar, now: number): string[] {
  const lines = [`${bar.name}${bar.attempt > 1 ? `, attempt ${bar.attempt}` : ""}: ${bar.status}`];
  const between = (what: string, from: number | null, to: number | null) => {
    if (from !== null && to !== null) lines.push(`${what} ${precise(Math.max(0, to - from))}`);
  };
  between("waited", bar.ready_at, bar.launched_at);
  between("start-up", bar.launched_at, bar.started_at);
  between("ran", bar.started_at, bar.ended_at ?? now);
  if (bar.critical) lines.push("on the critical path");
  return lines;
}

function precise(seconds: number): string {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : duration(seconds);
}

/** Round places on an axis of so many seconds: at most `most` of them. */
export function ticks(seconds: number, most: number): { at: number; label: string }[] {
  const steps = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400,
  ];
  const step = steps.find((size) => seconds / size <= most) ?? Math.ceil(seconds / most / 86400) * 86400;
  const found = [];
  for (let number = 0; number * step <= seconds * 1.0001; number++)
    found.push({ at: number * step, label: tick(number * step, step) });
  return found;
}

function tick(at: number, step: number): string {
  if (step < 1) return `${at.toFixed(step < 0.1 ? 2 : 1)} s`;
  if (at < 60 || step < 60) return at < 120 ? `${at} s` : `${Math.floor(at / 60)}:${String(at % 60).padStart(2, "0")}`;
  if (step < 3600)
    return at < 7200
      ? `${Math.round(at / 60)} min`
      : `${Math.floor(at / 3600)}:${String(Math.round(at / 60) % 60).padStart(2, "0")} h`;
  return `${Math.round(at / 3600)} h`;
}
