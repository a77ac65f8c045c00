/* A run: its picture, where its time went, and one worker of it. The same in a page, a notebook and a panel. */

import { Component } from "preact";
import { Refusal, type Graph, type RunDetail, type Source, type Timeline } from "../api";
import { Frame } from "../frame";
import { FollowedRun } from "../model/follow";
import { plan, type Box, type Plan } from "../model/fold";
import { isFinal } from "../model/status";
import { count, plain } from "../text";
import { Dag } from "./dag";
import { Detail, type Tab } from "./detail";
import { Failure } from "./failure";
import { GanttView } from "./gantt";
import { Header } from "./header";
import { Members } from "./members";

const TICK_MS = 1000;
const FAILURES_SHOWN = 3;

export interface Snapshot {
  run: RunDetail | null;
  graph: Graph;
  timeline?: Timeline | null;
}

export interface RunViewProps {
  source: Source;
  address: string;
  worker?: string;
  snapshot?: Snapshot | null;
  view?: "graph" | "gantt" | "logs";
  /** The workflow as it is written is meant, not its latest run. */
  definition?: boolean;
  /** Fill the room there is, as in a page, instead of taking what is needed, as in a notebook. */
  fill?: boolean;
  /** The window's title says how the run stands. */
  titled?: boolean;
  /** Another run is to be shown; without it this view shows it itself. */
  onRun?: (address: string, worker: string) => void;
  onEdit?: (workflow: string) => void;
}

interface State {
  address: string;
  shown: "graph" | "gantt";
  box: string;
  worker: string;
  tab: Tab;
  now: number;
  version: number;
  error: Refusal | null;
}

export class RunView extends Component<RunViewProps, State> {
  override state: State = {
    address: this.props.address,
    shown: this.props.view === "gantt" ? "gantt" : "graph",
    box: "",
    worker: this.props.worker ?? "",
    tab: "log",
    now: Date.now() / 1000,
    version: 0,
    error: null,
  };
  private readonly frame = new Frame(() =>
    this.setState((state) => ({ version: state.version + 1, now: Date.now() / 1000 })),
  );
  private followed = this.begin(this.props.address);
  private timer = 0;
  private planned: { graph: Graph; plan: Plan } | null = null;

  override componentDidMount(): void {
    if (this.props.snapshot) this.followed.model.load(this.props.snapshot.run, this.props.snapshot.graph);
    void this.followed.start();
    this.timer = window.setInterval(() => {
      if (this.followed.model.run && !this.followed.model.final) this.frame.ask();
    }, TICK_MS);
  }

  override componentDidUpdate(before: RunViewProps): void {
    const own = this.props;
    if (own.titled) document.title = title(this.followed);
    if (before.address !== own.address) this.turnTo(own.address, own.worker ?? "");
    // A saved view has become a live one: what somebody has opened meanwhile stays open.
    else if (before.source !== own.source) this.turnTo(this.state.address, this.state.worker, this.state.box);
    else if (before.snapshot !== own.snapshot && own.snapshot && !own.source.live)
      this.followed.model.load(own.snapshot.run, own.snapshot.graph);
    else if (before.worker !== own.worker && own.worker !== undefined && own.worker !== this.state.worker)
      this.setState({ worker: own.worker });
  }

  override componentWillUnmount(): void {
    if (this.props.titled) document.title = "Wattle";
    clearInterval(this.timer);
    this.followed.end();
    this.frame.end();
  }

  private begin(address: string): FollowedRun {
    return new FollowedRun(
      this.props.source,
      address,
      () => this.frame.ask(),
      !!this.props.definition && !address.includes("@"),
    );
  }

  private turnTo(address: string, worker: string, box = ""): void {
    this.followed.end();
    this.followed = this.begin(address);
    if (this.props.snapshot && address === this.props.address)
      this.followed.model.load(this.props.snapshot.run, this.props.snapshot.graph);
    this.setState({ address, worker, box, error: null });
    void this.followed.start();
  }

  private plan(): Plan {
    const { graph } = this.followed.model;
    if (this.planned?.graph !== graph) this.planned = { graph, plan: plan(graph) };
    return this.planned.plan;
  }

  private readonly pickBox = (box: Box): void => {
    const { model } = this.followed;
    const members = box.nodes.flatMap((name) => model.instances(name));
    const single = box.nodes.length === 1 && members.length <= 1;
    if (this.state.box === box.key) this.show("", "");
    else this.show(box.key, single ? (members[0]?.name ?? box.nodes[0] ?? "") : "");
  };

  private readonly pickWorker = (worker: string): void => {
    const { model } = this.followed;
    const node = model.worker(worker)?.group ?? worker;
    const box = this.plan().boxOf.get(node);
    const members = model.instances(worker);
    // The name of a group means all of it.
    this.show(box?.key ?? "", members.length > 1 ? "" : worker);
  };

  private show(box: string, worker: string): void {
    this.setState({ box, worker });
    this.props.onRun?.(this.followed.address, worker);
  }

  private readonly act = async (what: string, worker = ""): Promise<void> => {
    const { source } = this.props;
    const workflow = this.followed.address;
    try {
      let next = "";
      const key = crypto.randomUUID?.() ?? String(Math.random());
      if (what === "run" || what === "run-stale")
        next = (await source.ask("start_workflow", { workflow, key, ...(what === "run-stale" ? { stale: true } : {}) }))
          .address;
      else if (what === "stop" && !worker) await source.ask("stop_workflow", { workflow });
      else if (what === "stop") await source.ask("stop_worker", { workflow, worker });
      else if (what === "restart") await source.ask("restart_worker", { workflow, worker, key });
      else
        next = (
          await source.ask("rerun_workflow", {
            workflow,
            key,
            ...(worker ? { from_worker: worker } : {}),
            ...(what === "rerun-failed" ? { failed: true } : {}),
          })
        ).address;
      this.setState({ error: null });
      if (next && this.props.onRun) this.props.onRun(next, "");
      else if (next) this.turnTo(next, "");
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.setState({ error });
    }
  };

  private failures() {
    const { model, address } = this.followed;
    const failed = model.failed();
    if (!failed.length) return null;
    return (
      <div class="failures">
        {failed.slice(0, FAILURES_SHOWN).map((worker) => (
          <Failure
            key={worker.name}
            source={this.props.source}
            run={address}
            worker={worker}
            canRerun={this.props.source.live && model.final}
            onLog={() => {
              this.setState({ tab: "log" });
              this.pickWorker(worker.name);
            }}
            onRerun={() => this.act("rerun", worker.group ?? worker.name)}
          />
        ))}
        {failed.length > FAILURES_SHOWN && (
          <p class="dim">… and {count(failed.length - FAILURES_SHOWN)} more failed.</p>
        )}
      </div>
    );
  }

  private detail() {
    const { source, fill } = this.props;
    const { box: key, worker, tab, now } = this.state;
    const { model, address } = this.followed;
    const box = this.plan().boxes.find((one) => one.key === key);
    if (worker)
      return (
        <Detail
          source={source}
          run={address}
          name={worker}
          state={model.worker(worker)}
          runFinal={model.final}
          now={now}
          tab={tab}
          onTab={(found) => this.setState({ tab: found })}
          act={(what, name) => this.act(what, name)}
          onPick={this.pickWorker}
          onClose={() => this.show(this.hasMembers(box) ? key : "", "")}
        />
      );
    if (box && this.hasMembers(box))
      return (
        <Members
          title={box.label}
          workers={box.nodes.flatMap((name) => model.instances(name))}
          now={now}
          onPick={(name) => this.show(key, name)}
          onClose={() => this.show("", "")}
        />
      );
    return fill && !box ? null : null;
  }

  private hasMembers(box: Box | undefined): boolean {
    return !!box && box.nodes.flatMap((name) => this.followed.model.instances(name)).length > 1;
  }

  override render(props: RunViewProps, { shown, now, error, worker }: State) {
    const { model, address, there } = this.followed;
    const refused = error ?? this.followed.error;
    const detail = this.detail();
    const selected = this.plan().boxOf.get(model.worker(worker)?.group ?? worker)?.key ?? this.state.box;
    return (
      <div
        class={`run${props.fill ? " filling" : ""}${detail ? " split" : ""}`}
        data-address={address}
        data-status={model.run?.status ?? ""}
      >
        <Header
          address={address}
          run={model.run}
          definition={this.followed.definition}
          stale={model.graph.nodes.some((node) => node.stale)}
          workers={model.graph.nodes.length}
          now={now}
          live={props.source.live}
          there={there}
          act={(what) => this.act(what)}
          onEdit={props.onEdit && !model.run ? () => props.onEdit?.(address) : null}
        />
        {props.source.note && <p class="note">{props.source.note}</p>}
        {refused && (
          <p class="problem" role="alert">
            {plain(refused.message)} {plain(refused.hint)}
          </p>
        )}
        {props.view !== "logs" && this.failures()}
        {model.warnings.length > 0 && (
          <ul class="warnings">
            {model.warnings.slice(0, 5).map((text) => (
              <li>{plain(text)}</li>
            ))}
          </ul>
        )}
        <div class="panes">
          <div class="pane">
            <div class="tabs" role="tablist">
              {(this.followed.definition ? (["graph"] as const) : (["graph", "gantt"] as const)).map((name) => (
                <button
                  type="button"
                  role="tab"
                  aria-selected={shown === name}
                  onClick={() => this.setState({ shown: name })}
                >
                  {name === "graph" ? "Graph" : "Timeline"}
                </button>
              ))}
              <span class="spring" />
              {this.plan().folded && (
                <span class="dim">{count(model.graph.nodes.length)} workers, folded by level</span>
              )}
            </div>
            {shown === "graph" ? (
              <Dag
                model={model}
                plan={this.plan()}
                now={now}
                selected={selected}
                room={420}
                fill={!!props.fill}
                onPick={this.pickBox}
              />
            ) : (
              <GanttView
                source={props.source}
                model={model}
                run={address}
                now={now}
                saved={props.snapshot?.timeline ?? null}
                selected={worker}
                fill={!!props.fill}
                onPick={this.pickWorker}
              />
            )}
          </div>
          {detail}
        </div>
        <p class="unseen" aria-live="polite">
          {model.run && isFinal(model.run.status) ? `${address} ${model.run.status}` : ""}
        </p>
      </div>
    );
  }
}

/** `✔ etl@12 · Wattle`, with the command line's marks. */
function title({ model, address }: FollowedRun): string {
  const marks = { completed: "✔", running: "●", failed: "✗", cancelled: "⊘", created: "○" };
  return `${model.run ? `${marks[model.run.status]} ` : ""}${plain(address)} · Wattle`;
}
