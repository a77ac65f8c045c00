/* Where the time of a run went: waiting, start-up and work of every worker, and the chain that made it so long. */

import { Component } from "preact";
import type { Source, Timeline } from "../api";
import { facts, gantt, ticks, type Gantt, type GanttRow } from "../model/gantt";
import type { RunModel } from "../model/run";
import { duration, plain, shorten } from "../text";
import { VirtualList } from "./virtual";

const ROW = 24;
const NAMES = 168;
const REFRESH_MS = 1000;

interface Props {
  source: Source;
  model: RunModel;
  run: string;
  now: number;
  saved: Timeline | null;
  selected: string;
  fill: boolean;
  onPick: (worker: string) => void;
}

interface State {
  timeline: Timeline | null;
  width: number;
  tip: { lines: string[]; x: number; y: number } | null;
  error: string;
}

export class GanttView extends Component<Props, State> {
  override state: State = { timeline: this.props.saved, width: 0, tip: null, error: "" };
  private host: HTMLElement | null = null;
  private sizes: ResizeObserver | null = null;
  private timer = 0;
  private seen = -1;
  private over = false;

  override componentDidMount(): void {
    this.sizes = new ResizeObserver(() => this.setState({ width: this.host?.clientWidth ?? 0 }));
    if (this.host) this.sizes.observe(this.host);
    void this.refresh();
  }

  override componentDidUpdate(before: Props): void {
    if (before.run !== this.props.run) {
      this.seen = -1;
      this.setState({ timeline: this.props.saved });
    }
    if (this.props.model.version !== this.seen && !this.timer)
      this.timer = window.setTimeout(() => void this.refresh(), REFRESH_MS);
  }

  override componentWillUnmount(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.sizes?.disconnect();
  }

  private async refresh(): Promise<void> {
    this.timer = 0;
    this.seen = this.props.model.version;
    if (!this.props.source.live) return;
    try {
      const timeline = await this.props.source.ask("get_timeline", { workflow: this.props.run });
      if (!this.over) this.setState({ timeline, error: "" });
    } catch (error) {
      if (!this.over) this.setState({ error: (error as Error).message });
    }
  }

  override render({ now, selected, onPick, run, fill }: Props, { timeline, width, tip, error }: State) {
    const chart = timeline ? gantt(timeline, now) : null;
    return (
      <section
        class={`gantt${fill ? " filling" : ""}`}
        aria-label={`Timeline of ${plain(run)}`}
        ref={(found) => void (this.host = found)}
        onMouseLeave={() => this.setState({ tip: null })}
      >
        {error && (
          <p class="problem" role="alert">
            {error}
          </p>
        )}
        {chart?.rows.length ? (
          <>
            <Axis chart={chart} width={Math.max(120, width - NAMES - 24)} />
            <div class="rows" style={fill ? {} : { height: `${Math.min(380, chart.rows.length * ROW + 6)}px` }}>
              <VirtualList
                rows={chart.rows.length}
                rowHeight={ROW}
                label="Workers"
                render={(at) => {
                  const row = chart.rows[at];
                  return row ? (
                    <Row
                      key={row.name}
                      row={row}
                      chart={chart}
                      width={Math.max(120, width - NAMES - 24)}
                      now={now}
                      selected={selected === row.name}
                      onPick={onPick}
                      onTip={(found) => this.setState({ tip: found })}
                    />
                  ) : null;
                }}
              />
            </div>
            <p class="legend">
              <span>
                <i class="wait" /> waiting for a slot
              </span>
              <span>
                <i class="start" /> start-up
              </span>
              <span>
                <i class="run" /> running
              </span>
              {chart.rows.some((row) => row.critical) && (
                <span>
                  <i class="critical" /> critical path
                </span>
              )}
              <span class="spring" />
              <span>{duration(chart.to - chart.from)} in all</span>
            </p>
          </>
        ) : (
          !error && (
            <p class="hint middle">
              {this.props.source.live || timeline
                ? "Nothing has started yet."
                : "The timeline is not in this snapshot."}
            </p>
          )
        )}
        {tip && (
          <div
            class="tip"
            role="tooltip"
            style={{ left: `${Math.min(tip.x, Math.max(0, width - 220))}px`, top: `${tip.y}px` }}
          >
            {tip.lines.map((line) => (
              <div>{plain(line)}</div>
            ))}
          </div>
        )}
      </section>
    );
  }
}

function Axis({ chart, width }: { chart: Gantt; width: number }) {
  const all = chart.to - chart.from;
  return (
    <svg class="axis" width={NAMES + width + 24} height="22" aria-hidden="true">
      {ticks(all, Math.max(2, Math.floor(width / 90))).map(({ at, label }) => (
        <g transform={`translate(${NAMES + (width * at) / all} 0)`}>
          <line y1="16" y2="22" />
          <text y="12" text-anchor={at === 0 ? "start" : "middle"}>
            {label}
          </text>
        </g>
      ))}
    </svg>
  );
}

interface RowProps {
  row: GanttRow;
  chart: Gantt;
  width: number;
  now: number;
  selected: boolean;
  onPick: (worker: string) => void;
  onTip: (tip: State["tip"]) => void;
}

function Row({ row, chart, width, now, selected, onPick, onTip }: RowProps) {
  const scale = (at: number) => NAMES + ((at - chart.from) / (chart.to - chart.from)) * width;
  const last = row.bars.at(-1)?.bar;
  const told = last ? facts(last, now).join(", ") : row.name;
  const tip = (event: MouseEvent, lines: string[]) => {
    const edge = (event.currentTarget as Element).closest(".gantt")?.getBoundingClientRect();
    onTip({ lines, x: event.clientX - (edge?.left ?? 0) + 12, y: event.clientY - (edge?.top ?? 0) + 14 });
  };
  return (
    <div class={`row${selected ? " selected" : ""}${row.critical ? " critical" : ""}`} role="listitem">
      <svg
        width={NAMES + width + 24}
        height={ROW}
        role="button"
        tabindex={0}
        aria-label={plain(told)}
        onClick={() => onPick(row.name)}
        onKeyDown={(event) => (event.key === "Enter" || event.key === " ") && onPick(row.name)}
      >
        <text class="name" x="10" y="16">
          {shorten(plain(row.name), 22)}
        </text>
        {row.bars.map(({ bar, spans }) => (
          <g class={bar.status} onMouseMove={(event) => tip(event, facts(bar, now))} onMouseLeave={() => onTip(null)}>
            {spans.map((span) => {
              const [from, to] = [scale(span.from), scale(span.to)];
              const tall = span.kind === "run";
              return (
                <rect
                  class={span.kind}
                  x={from}
                  y={tall ? 5 : 9}
                  width={Math.max(tall ? 2 : 0.5, to - from)}
                  height={tall ? 14 : 6}
                  rx={tall ? 3 : 0}
                />
              );
            })}
          </g>
        ))}
      </svg>
    </div>
  );
}
