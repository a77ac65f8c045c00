/* A workflow as a form: workers one below the other, the graph beside them, every problem where it is, as one types. */

import { Component } from "preact";
import { Refusal, type DocumentProblem, type Graph, type Source } from "../api";
import { plan } from "../model/fold";
import {
  emptyDraft,
  emptyWorker,
  fromDocument,
  renamed,
  sketch,
  sorted,
  toCell,
  toDocument,
  type Draft,
  type DraftWorker,
} from "../model/form";
import { RunModel } from "../model/run";
import { plain, plural } from "../text";
import { Action, Copy } from "./buttons";
import { Dag } from "./dag";
import { Problems, Worker } from "./fields";

const PAUSE_MS = 250;

interface Props {
  source: Source;
  /** The workflow that is changed; empty for a new one. */
  workflow: string;
  fill?: boolean;
  /** Where to go when it was saved, or run. */
  onSaved?: (address: string) => void;
}

interface State {
  draft: Draft;
  etag: string;
  problems: DocumentProblem[];
  warnings: string[];
  valid: boolean;
  checked: boolean;
  graph: Graph;
  error: Refusal | null;
  cell: boolean;
  saved: string;
}

export class Form extends Component<Props, State> {
  override state: State = {
    draft: emptyDraft(this.props.workflow),
    etag: "",
    problems: [],
    warnings: [],
    valid: false,
    checked: false,
    graph: sketch(emptyDraft(this.props.workflow)),
    error: null,
    cell: false,
    saved: "",
  };
  private timer = 0;
  private asked = 0;
  private over = false;
  private host: HTMLElement | null = null;

  override componentDidMount(): void {
    void this.open();
  }

  override componentDidUpdate(before: Props): void {
    if (before.workflow !== this.props.workflow || before.source !== this.props.source) void this.open();
  }

  override componentWillUnmount(): void {
    this.over = true;
    clearTimeout(this.timer);
  }

  /** Begin with what is stored, if it is. */
  private async open(): Promise<void> {
    const { source, workflow } = this.props;
    if (workflow && source.live) {
      try {
        const stored = await source.ask("get_workflow", { workflow });
        if (this.over) return;
        const draft = fromDocument(stored.document);
        this.setState({ draft, etag: stored.etag });
        return await this.check(draft);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        if (error.code !== "not-found") this.setState({ error });
      }
    }
    await this.check(this.state.draft);
  }

  private change(draft: Draft): void {
    this.setState({ draft, saved: "", error: null });
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.check(draft), PAUSE_MS);
  }

  private readonly changeWorker = (worker: DraftWorker, part: Partial<DraftWorker>): void => {
    const { draft } = this.state;
    this.change({
      ...draft,
      workers: draft.workers.map((one) => (one.key === worker.key ? { ...one, ...part } : one)),
    });
  };

  /** Ask the server what is wrong; an answer to an older question is dropped. */
  private async check(draft: Draft): Promise<void> {
    if (!this.props.source.live) return;
    const asked = ++this.asked;
    try {
      const found = await this.props.source.ask("validate_document", { document: toDocument(draft), draw: true });
      if (this.over || asked !== this.asked) return;
      this.setState({
        problems: found.problems,
        warnings: found.warnings,
        valid: found.valid,
        checked: true,
        graph: found.graph ?? sketch(draft),
      });
    } catch (error) {
      if (error instanceof Refusal && !this.over) this.setState({ error });
    }
  }

  private readonly save = async (run: boolean): Promise<void> => {
    const { source } = this.props;
    const { draft, etag } = this.state;
    const document = toDocument(draft);
    try {
      const stored =
        etag && draft.name.trim() === this.props.workflow
          ? await source.ask("replace_workflow", { workflow: draft.name.trim(), document, if_match: etag })
          : await source.ask("create_workflow", { document });
      this.setState({ etag: stored.etag, saved: stored.name, error: null });
      if (run) this.props.onSaved?.((await source.ask("start_workflow", { workflow: stored.name })).address);
      else this.props.onSaved?.(stored.name);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.setState({ error });
    }
  };

  private readonly add = (): void => {
    const { draft } = this.state;
    const names = new Set(draft.workers.map((worker) => worker.name));
    let number = draft.workers.length + 1;
    while (names.has(`step${number}`)) number += 1;
    this.change({ ...draft, workers: [...draft.workers, emptyWorker(`step${number}`)] });
  };

  override render({ source, workflow, fill }: Props, state: State) {
    const { draft, problems, warnings, valid, checked, error, cell, saved } = state;
    const { of, rest } = sorted(problems, draft);
    const known = new Set(draft.workers.map((worker) => worker.name));
    return (
      <div class={`run form${fill ? " filling" : ""}`} ref={(found) => void (this.host = found)}>
        <header class="head">
          <h2>{workflow ? `Edit ${plain(workflow)}` : "New workflow"}</h2>
          <span class={`word ${valid ? "completed" : "failed"}`} role="status">
            {!checked ? "" : valid ? "valid" : plural(problems.length, "problem")}
          </span>
          {saved && <span class="dim">saved as {plain(saved)}</span>}
          <span class="spring" />
          <button type="button" aria-pressed={cell} onClick={() => this.setState({ cell: !cell })}>
            As a cell
          </button>
          <Action label="Save" disabled={!valid} act={() => this.save(false)} />
          <Action label="Save and run" kind="primary" disabled={!valid} act={() => this.save(true)} />
        </header>
        {source.note && <p class="note">{source.note}</p>}
        {error && (
          <p class="problem" role="alert">
            {plain(error.message)} {plain(error.hint)}
          </p>
        )}
        <div class="columns">
          <div class="fields">
            <div class="pair">
              <label>
                Name{" "}
                <input
                  name="workflow"
                  value={draft.name}
                  spellcheck={false}
                  disabled={!!workflow && !!state.etag}
                  onInput={(event) => this.change({ ...draft, name: event.currentTarget.value })}
                />
              </label>
              <label class="grow">
                About{" "}
                <input
                  value={draft.description}
                  onInput={(event) => this.change({ ...draft, description: event.currentTarget.value })}
                />
              </label>
            </div>
            <Problems problems={rest} />
            {draft.workers.map((worker) => (
              <Worker
                key={worker.key}
                draft={draft}
                worker={worker}
                problems={of.get(worker.key) ?? []}
                known={known}
                onChange={(part) => this.changeWorker(worker, part)}
                onRename={(name) => this.change(renamed(draft, worker, name))}
                onRemove={() => this.change({ ...draft, workers: draft.workers.filter((one) => one !== worker) })}
              />
            ))}
            <button type="button" onClick={this.add}>
              + Worker
            </button>
          </div>
          <div class="beside">
            <div class="pane">
              <Dag
                model={this.model(state.graph)}
                plan={plan(state.graph)}
                now={0}
                selected=""
                room={380}
                fill={false}
                onPick={(box) => this.find(box.key)}
              />
            </div>
            {warnings.length > 0 && (
              <ul class="warnings">
                {warnings.map((text) => (
                  <li>{plain(text)}</li>
                ))}
              </ul>
            )}
            {cell && <Cell draft={draft} />}
          </div>
        </div>
      </div>
    );
  }

  private drawn: { graph: Graph; model: RunModel } | null = null;

  private model(graph: Graph): RunModel {
    if (this.drawn?.graph !== graph) {
      const model = new RunModel();
      model.load(null, graph);
      this.drawn = { graph, model };
    }
    return this.drawn.model;
  }

  private find(name: string): void {
    const worker = this.state.draft.workers.find((one) => one.name === name);
    if (worker) this.host?.querySelector<HTMLElement>(`#worker-${worker.key}`)?.focus();
  }
}

function Cell({ draft }: { draft: Draft }) {
  const text = toCell(draft);
  return (
    <div class="cell">
      <p class="dim">
        The same as a cell of a notebook: <Copy text={text} />
      </p>
      <pre>{text}</pre>
    </div>
  );
}
