/* One worker of a run: its log, what goes in and comes out, its attempts, what it is. */

import { Component } from "preact";
import {
  Refusal,
  type Attempt,
  type PortDetail,
  type Source,
  type WorkerDetail,
  type WorkerMetrics,
  type WorkerState,
} from "../api";
import { stripped } from "../ansi";
import { decoded } from "../model/log";
import { isFinal, lookOf, reasonText, word } from "../model/status";
import { bytes, clock, duration, plain } from "../text";
import { Action, Copy } from "./buttons";
import { workerCaption } from "./dag";
import { LogView } from "./log";
import { Mark } from "./mark";
import { Preview } from "./preview";

const METRICS_MS = 2000;
export type Tab = "log" | "data" | "attempts" | "definition";
const TABS: [Tab, string][] = [
  ["log", "Log"],
  ["data", "In and out"],
  ["attempts", "Attempts"],
  ["definition", "Definition"],
];

interface Props {
  source: Source;
  run: string;
  name: string;
  state: WorkerState | null;
  runFinal: boolean;
  now: number;
  tab: Tab;
  onTab: (tab: Tab) => void;
  onClose: () => void;
  onPick: (worker: string) => void;
  act: (what: "stop" | "restart" | "rerun", worker: string) => Promise<void>;
}

interface State {
  detail: WorkerDetail | null;
  metrics: WorkerMetrics | null;
  error: Refusal | null;
}

export class Detail extends Component<Props, State> {
  override state: State = { detail: null, metrics: null, error: null };
  private timer = 0;
  private over = false;

  override componentDidMount(): void {
    void this.look();
    this.timer = window.setInterval(() => void this.measure(), METRICS_MS);
    void this.measure();
  }

  override componentDidUpdate(before: Props): void {
    const [old, own] = [before.state, this.props.state];
    const other = before.name !== this.props.name || before.run !== this.props.run;
    if (other) this.setState({ detail: null, metrics: null, error: null });
    if (other || old?.phase !== own?.phase || old?.attempt !== own?.attempt) {
      void this.look();
      void this.measure(true);
    }
  }

  override componentWillUnmount(): void {
    this.over = true;
    clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    const { source, run, name } = this.props;
    try {
      const detail = await source.ask("get_worker", { workflow: run, worker: name });
      if (!this.over && name === this.props.name) this.setState({ detail, error: null });
    } catch (error) {
      if (!this.over && error instanceof Refusal && error.code !== "snapshot") this.setState({ error });
    }
  }

  private async measure(once = false): Promise<void> {
    const { source, run, name, state } = this.props;
    if (!source.live || (!once && !["running", "stopping"].includes(state?.phase ?? ""))) return;
    try {
      const metrics = await source.ask("get_worker_metrics", { workflow: run, worker: name });
      if (!this.over && name === this.props.name) this.setState({ metrics });
    } catch {
      /* figures are not worth a message */
    }
  }

  override render(props: Props, { detail, metrics, error }: State) {
    const { source, run, name, state, onTab, onClose, now } = props;
    const tab = props.tab === "log" && !state ? "definition" : props.tab;
    return (
      <aside class="detail" aria-label={`Worker ${plain(name)}`}>
        <header>
          {state && <Mark look={lookOf(state)} />}
          <h3 title={name}>{plain(name)}</h3>
          <span class="dim">{state ? stateText(state, now) : ""}</span>
          <span class="spring" />
          <Buttons {...props} />
          <button type="button" class="small" aria-label="Close" title="Close" onClick={onClose}>
            ✕
          </button>
        </header>
        <Strip metrics={metrics} attempts={detail?.attempts ?? []} />
        {error && (
          <p class="problem" role="alert">
            {error.message} {error.hint}
          </p>
        )}
        <div class="tabs" role="tablist">
          {TABS.map(([key, label]) => (
            <button type="button" role="tab" aria-selected={tab === key} onClick={() => onTab(key)}>
              {label}
            </button>
          ))}
        </div>
        {tab === "log" && (
          <LogView
            source={source}
            run={run}
            worker={name}
            {...(state && !state.attempt ? { idle: idleText(state) } : {})}
          />
        )}
        {tab === "data" && <Data {...props} detail={detail} />}
        {tab === "attempts" && (
          <Attempts source={source} run={run} name={name} attempts={detail?.attempts ?? []} now={now} />
        )}
        {tab === "definition" && <Definition detail={detail} />}
      </aside>
    );
  }
}

function stateText(state: WorkerState, now: number): string {
  const caption = workerCaption(state, now);
  const said = word(lookOf(state));
  return plain(caption.startsWith(said) ? caption : [said, caption].filter(Boolean).join(" · "));
}

function idleText(state: WorkerState): string {
  if (state.reused_from) return `It did not run again: its results are those of ${state.reused_from}.`;
  return isFinal(state.status) ? `It never started: ${reasonText(state)}.` : "It has not started yet.";
}

function Buttons({ source, name, state, runFinal, act }: Props) {
  if (!source.live || !state) return null;
  const busy = ["running", "starting", "retrying", "stopping"].includes(state.phase);
  if (busy)
    return (
      <>
        <Action
          label="Stop"
          kind="danger"
          question={`End ${plain(name)} and its processes?`}
          act={() => act("stop", name)}
          disabled={state.phase === "stopping"}
        />
        <Action
          label="Restart"
          question={`End this attempt of ${plain(name)} and begin the next?`}
          confirm="Restart"
          act={() => act("restart", name)}
        />
      </>
    );
  if (!runFinal) return null;
  return (
    <Action
      label="Rerun from here"
      title="A new run: this worker and all after it; the rest is taken over"
      act={() => act("rerun", state.group ?? name)}
    />
  );
}

/** Processor and memory, in a line. */
function Strip({ metrics, attempts }: { metrics: WorkerMetrics | null; attempts: Attempt[] }) {
  const cpu =
    (metrics?.cpu_user ?? 0) + (metrics?.cpu_system ?? 0) ||
    attempts.reduce((sum, one) => sum + one.cpu_user + one.cpu_system, 0);
  const peak = Math.max(metrics?.max_rss ?? 0, ...attempts.map((one) => one.max_rss));
  const facts: [string, string][] = [];
  if (metrics?.cpu_percent != null) facts.push(["CPU", `${Math.round(metrics.cpu_percent)} %`]);
  if (metrics?.rss != null) facts.push(["memory", bytes(metrics.rss)]);
  if (metrics?.processes != null && metrics.processes > 1) facts.push(["processes", String(metrics.processes)]);
  if (cpu) facts.push(["CPU time", duration(cpu)]);
  if (peak) facts.push(["peak memory", bytes(peak)]);
  if (!facts.length) return null;
  return (
    <dl class="strip">
      {facts.map(([what, value]) => (
        <div>
          <dt>{what}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Data({ source, run, name, state, detail, onPick }: Props & { detail: WorkerDetail | null }) {
  if (!detail) return <p class="hint middle">{source.live ? "Looking…" : "Not in this snapshot."}</p>;
  const version = `${state?.status}.${state?.attempt}`;
  return (
    <div class="scroll">
      <h4>Inputs</h4>
      {detail.inputs.length ? (
        detail.inputs.map((port) => <Input key={port.name} source={source} run={run} port={port} onPick={onPick} />)
      ) : (
        <p class="dim">none</p>
      )}
      <h4>Outputs</h4>
      {detail.outputs.length ? (
        detail.outputs.map((port) => (
          <details key={port.name} open={detail.outputs.length < 4}>
            <summary>
              <b>{plain(port.name)}</b> <span class="dim">{port.type}</span>
            </summary>
            {port.type === "stream" ? (
              <p class="dim">live, not kept</p>
            ) : (
              <Preview source={source} run={run} worker={name} port={port.name} version={version} />
            )}
          </details>
        ))
      ) : (
        <p class="dim">none</p>
      )}
    </div>
  );
}

function Input({
  source,
  run,
  port,
  onPick,
}: {
  source: Source;
  run: string;
  port: PortDetail;
  onPick: (worker: string) => void;
}) {
  return (
    <details>
      <summary>
        <b>{plain(port.name)}</b> <span class="dim">from {port.source.map(plain).join(", ")}</span>
      </summary>
      {port.source.map((address) => {
        const [worker, output] = address.split("/");
        if (address.startsWith("/") || !worker || !output)
          return (
            <p class="dim">
              <code>{plain(address)}</code>
            </p>
          );
        return (
          <>
            <p>
              <button type="button" class="small" onClick={() => onPick(worker)}>
                {plain(worker)}
              </button>
            </p>
            <Preview source={source} run={run} worker={worker} port={output} version="" />
          </>
        );
      })}
    </details>
  );
}

interface AttemptsProps {
  source: Source;
  run: string;
  name: string;
  attempts: Attempt[];
  now: number;
}

function Attempts({ source, run, name, attempts, now }: AttemptsProps) {
  if (!attempts.length) return <p class="hint middle">Nothing was started yet.</p>;
  return (
    <div class="scroll">
      {[...attempts].reverse().map((one) => (
        <dl class="facts" key={one.attempt}>
          <h4>
            Attempt {one.attempt}: {one.status}
            {one.reason ? `, ${reasonText(one)}` : ""}
          </h4>
          {one.message && <Fact what="said" value={one.message} />}
          {one.started_at && <Fact what="started" value={clock(one.started_at, now)} />}
          {one.started_at && <Fact what="took" value={duration((one.ended_at ?? now) - one.started_at)} />}
          {one.launched_at && one.started_at && (
            <Fact what="start-up" value={`${Math.round((one.started_at - one.launched_at) * 1000)} ms`} />
          )}
          {one.max_rss > 0 && <Fact what="peak memory" value={bytes(one.max_rss)} />}
          {one.pid && <Fact what="process" value={String(one.pid)} />}
          {one.executable && <Fact what="program" value={one.executable} copy />}
          {Object.entries(one.log).map(([stream, path]) => (
            <Fact what={`${stream}, ${bytes(one.log_size[stream] ?? 0)}`} value={path} copy />
          ))}
          {source.live && attempts.length > 1 && one.attempt > 0 && (
            <AttemptLog key={`${run}/${name}`} source={source} run={run} name={name} attempt={one.attempt} />
          )}
        </dl>
      ))}
    </div>
  );
}

/** The end of what an earlier attempt said, when somebody wants to see it. */
class AttemptLog extends Component<
  { source: Source; run: string; name: string; attempt: number },
  { text: string | null }
> {
  override state = { text: null as string | null };

  private readonly look = async (): Promise<void> => {
    const { source, run, name, attempt } = this.props;
    try {
      const reply = await source.ask("read_logs", { workflow: run, worker: name, attempt, tail: 200 });
      this.setState({
        text:
          reply.chunks.map((chunk) => (decoded(chunk).text ?? "").split("\n").map(stripped).join("\n")).join("") ||
          "It wrote nothing.",
      });
    } catch (error) {
      this.setState({ text: (error as Error).message });
    }
  };

  override render(_: unknown, { text }: { text: string | null }) {
    return text === null ? (
      <button type="button" class="small" onClick={() => void this.look()}>
        What it said
      </button>
    ) : (
      <pre>{text}</pre>
    );
  }
}

function Fact({ what, value, copy }: { what: string; value: string; copy?: boolean }) {
  return (
    <div>
      <dt>{what}</dt>
      <dd title={value}>
        {plain(value)} {copy && <Copy text={value} />}
      </dd>
    </div>
  );
}

function Definition({ detail }: { detail: WorkerDetail | null }) {
  if (!detail) return <p class="hint middle">Looking…</p>;
  const { script, cell } = detail.definition as { script?: string; cell?: string };
  const rest = Object.fromEntries(
    Object.entries(detail.definition).filter(([key, value]) => key !== "script" && key !== "cell" && !empty(value)),
  );
  return (
    <div class="scroll">
      {(script ?? cell) && <pre>{script ?? cell}</pre>}
      <pre>{JSON.stringify(rest, null, 2)}</pre>
      <p class="dim path">
        in <code>{plain(detail.working_dir)}</code>
      </p>
    </div>
  );
}

function empty(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    value === "" ||
    value === false ||
    (Array.isArray(value) && !value.length) ||
    (typeof value === "object" && value !== null && !Object.keys(value).length)
  );
}
