/* The workflows and the runs of a server, newest first, as they change. */

import { Component } from "preact";
import { Refusal, type RunSummary, type Source, type WorkflowSummary } from "../api";
import { Frame } from "../frame";
import { total } from "../model/status";
import { ago, count, duration, encode, plain, plural } from "../text";
import { Action } from "./buttons";
import { Meter } from "./header";
import { Mark } from "./mark";

const PAUSE_MS = 1000;
const TICK_MS = 1000;

interface Props {
  source: Source;
  what: "workflows" | "runs";
  /** Fewer words, as in a panel. */
  narrow?: boolean;
  link: (address: string) => string | null;
  onOpen: (address: string) => void;
}

interface State {
  workflows: WorkflowSummary[] | null;
  runs: RunSummary[] | null;
  error: Refusal | null;
  now: number;
}

export class Lists extends Component<Props, State> {
  override state: State = { workflows: null, runs: null, error: null, now: Date.now() / 1000 };
  private leave: () => void = () => undefined;
  private timer = 0;
  private over = false;
  private readonly frame = new Frame(() => void this.look(), PAUSE_MS);

  override componentDidMount(): void {
    void this.look();
    this.follow("");
    this.timer = window.setInterval(
      () => document.visibilityState === "visible" && this.setState({ now: Date.now() / 1000 }),
      TICK_MS,
    );
  }

  override componentDidUpdate(before: Props): void {
    if (before.what !== this.props.what) void this.look();
  }

  override componentWillUnmount(): void {
    this.over = true;
    this.leave();
    this.frame.end();
    clearInterval(this.timer);
  }

  private follow(place: string): void {
    let seen = place;
    this.leave = this.props.source.follow("events", {
      place: () => seen,
      message: (_data, id) => {
        seen = id;
        this.frame.ask();
      },
      ended: () => undefined,
      failed: () => window.setTimeout(() => this.over || this.follow(""), 5000),
      connected: (there) => there && this.frame.ask(),
    });
  }

  private async look(): Promise<void> {
    const { source, what } = this.props;
    try {
      if (what === "workflows") {
        const { workflows } = await source.ask("list_workflows", { limit: 500 });
        workflows.sort((one, other) => stamp(other) - stamp(one));
        if (!this.over) this.setState({ workflows, error: null });
      } else {
        const { runs } = await source.ask("list_all_runs", { limit: 100 });
        if (!this.over) this.setState({ runs, error: null });
      }
    } catch (error) {
      if (this.over || !(error instanceof Refusal)) return;
      this.setState({ error });
      window.setTimeout(() => this.over || this.frame.ask(), 2000);
    }
  }

  override render(props: Props, { workflows, runs, error, now }: State) {
    const rows = props.what === "workflows" ? workflows : runs;
    if (error && !rows)
      return (
        <p class="problem" role="alert">
          {error.message} {error.hint}
        </p>
      );
    if (!rows) return <p class="hint middle">Looking…</p>;
    if (!rows.length) return <Empty what={props.what} />;
    return (
      <table class={props.narrow ? "narrow" : ""}>
        {!props.narrow && (
          <thead>
            <tr>
              <th scope="col">{props.what === "workflows" ? "workflow" : "run"}</th>
              <th scope="col">status</th>
              <th scope="col">workers</th>
              <th scope="col" class="num">
                took
              </th>
              <th scope="col" class="num">
                when
              </th>
              {props.what === "workflows" && (
                <th>
                  <span class="unseen">actions</span>
                </th>
              )}
            </tr>
          </thead>
        )}
        <tbody>
          {props.what === "workflows"
            ? (workflows ?? []).map((one) => (
                <Row
                  key={one.name}
                  {...props}
                  address={one.name}
                  about={one.description}
                  run={one.run}
                  workers={one.workers}
                  now={now}
                  startable
                />
              ))
            : (runs ?? []).map((one) => (
                <Row
                  key={one.address}
                  {...props}
                  address={one.address}
                  about=""
                  run={one}
                  workers={total(one.counts)}
                  now={now}
                  startable={false}
                />
              ))}
        </tbody>
      </table>
    );
  }
}

function stamp(workflow: WorkflowSummary): number {
  return Math.max(workflow.updated_at, workflow.run?.created_at ?? 0);
}

interface RowProps extends Props {
  address: string;
  about: string;
  run: RunSummary | null;
  workers: number;
  now: number;
  startable: boolean;
}

function Row({ source, address, about, run, workers, now, startable, narrow, link, onOpen }: RowProps) {
  const href = link(address);
  const look = run?.status ?? "created";
  const took = run?.started_at ? duration((run.completed_at ?? now) - run.started_at) : "";
  const active = run && (run.status === "created" || run.status === "running");
  const name = plain(address);
  if (narrow)
    return (
      <tr class="open" onClick={() => onOpen(address)}>
        <td class="narrow">
          <Mark look={look} />
          <span class="grow">
            <button type="button" class="main" title={`${name} ${look}`}>
              {name}
            </button>
            {run?.cause && (
              <small>
                {plain(run.cause)}: {run.reason}
              </small>
            )}
          </span>
        </td>
        <td class="num">{active ? took : run ? ago(now - run.created_at) : "never run"}</td>
      </tr>
    );
  return (
    <tr class="open" onClick={(event) => (event.target as Element).closest("a, button, .confirm") || onOpen(address)}>
      <td>
        <a class="main" href={href ?? "#"}>
          {name}
        </a>
        {about && <small title={about}>{plain(about)}</small>}
      </td>
      <td class="status">
        <Mark look={look} silent /> {run ? (startable ? `${look} · ${run.number}` : look) : "never run"}
        {run?.cause && (
          <small>
            {plain(run.cause)}: {run.reason}
          </small>
        )}
      </td>
      <td>
        {run ? <Meter run={run} /> : null}
        <small>{plural(run ? total(run.counts) : workers, "worker")}</small>
      </td>
      <td class="num">{took}</td>
      <td class="num">{run ? ago(now - run.created_at) : ""}</td>
      {startable && (
        <td class="num">
          {!active && (
            <Action
              label="Run"
              act={async () => onOpen((await source.ask("start_workflow", { workflow: address })).address)}
            />
          )}
        </td>
      )}
    </tr>
  );
}

function Empty({ what }: { what: string }) {
  return (
    <div class="empty">
      <p>
        {what === "workflows"
          ? "No workflow yet. Make one here, in a notebook, or in a terminal:"
          : "Nothing has run yet. In a terminal:"}
      </p>
      <pre>{"wattle demo                 an example, made and run\nwattle run flow.yaml        your own"}</pre>
    </div>
  );
}

interface RunsProps {
  source: Source;
  workflow: string;
  current: string;
}

/** The last runs of a workflow, to step through. */
export class Runs extends Component<RunsProps, { runs: RunSummary[] }> {
  override state = { runs: [] as RunSummary[] };
  private over = false;

  override componentDidMount(): void {
    void this.look();
  }

  override componentDidUpdate(before: RunsProps): void {
    if (before.workflow !== this.props.workflow || before.current !== this.props.current) void this.look();
  }

  override componentWillUnmount(): void {
    this.over = true;
  }

  private async look(): Promise<void> {
    try {
      const { runs } = await this.props.source.ask("list_runs", { workflow: this.props.workflow, limit: 14 });
      if (!this.over) this.setState({ runs });
    } catch {
      /* the crumbs are there without them */
    }
  }

  override render({ current }: RunsProps, { runs }: { runs: RunSummary[] }) {
    return (
      <nav class="runs" aria-label="Runs of this workflow">
        {[...runs].reverse().map((run) => (
          <a
            href={`#${encode(run.address)}`}
            aria-current={run.address === current ? "page" : undefined}
            title={`${run.address} ${run.status}`}
          >
            <Mark look={run.status} silent /> {count(run.number)}
          </a>
        ))}
      </nav>
    );
  }
}
