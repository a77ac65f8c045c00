/* The fields of one worker in the form, and what is wrong with them. */

import { Component } from "preact";
import type { DocumentProblem } from "../api";
import { KINDS, OUTPUT_TYPES, sources, type Draft, type DraftWorker, type Kind } from "../model/form";
import { plain } from "../text";

interface WorkerProps {
  draft: Draft;
  worker: DraftWorker;
  problems: DocumentProblem[];
  known: Set<string>;
  onChange: (part: Partial<DraftWorker>) => void;
  onRename: (name: string) => void;
  onRemove: () => void;
}

const PLACEHOLDERS: Record<Kind, string> = {
  command: "python clean.py --in ${inputs.raw} --out ${outputs.table}",
  script: 'curl -s "$URL" > "$WATTLE_OUTPUT_RAW"',
  cell: "table = raw.dropna()",
  notebook: "report.ipynb",
};

export function Worker({ draft, worker, problems, known, onChange, onRename, onRemove }: WorkerProps) {
  const others = draft.workers.filter((other) => other !== worker && other.name);
  const { inputs, outputs } = worker;
  return (
    <fieldset class={`worker${problems.length ? " wrong" : ""}`} data-worker={worker.name}>
      <legend class="unseen">Worker {worker.name}</legend>
      <div class="pair">
        <input
          id={`worker-${worker.key}`}
          aria-label="Name of the worker"
          class="strong"
          value={worker.name}
          spellcheck={false}
          onInput={(event) => onRename(event.currentTarget.value)}
        />
        <select
          aria-label="Kind"
          value={worker.kind}
          onChange={(event) => onChange({ kind: event.currentTarget.value as Kind })}
        >
          {KINDS.map(([kind, label]) => (
            <option value={kind}>{label}</option>
          ))}
        </select>
        <span class="spring" />
        <button type="button" class="small" onClick={() => onChange({ inputs: [...inputs, { port: "", source: "" }] })}>
          + input
        </button>
        <button
          type="button"
          class="small"
          onClick={() =>
            onChange({
              outputs: [...outputs, { port: "", type: worker.kind === "cell" ? "object" : "file", rest: {} }],
            })
          }
        >
          + output
        </button>
        <button type="button" class="small" aria-label={`Remove ${worker.name}`} title="Remove" onClick={onRemove}>
          ✕
        </button>
      </div>
      {worker.kind === "command" || worker.kind === "notebook" ? (
        <input
          class="code"
          aria-label="What it runs"
          value={worker.body}
          placeholder={PLACEHOLDERS[worker.kind]}
          spellcheck={false}
          onInput={(event) => onChange({ body: event.currentTarget.value })}
        />
      ) : (
        <textarea
          class="code"
          aria-label="What it runs"
          rows={Math.min(14, Math.max(3, worker.body.split("\n").length))}
          placeholder={PLACEHOLDERS[worker.kind]}
          spellcheck={false}
          value={worker.body}
          onInput={(event) => onChange({ body: event.currentTarget.value })}
        />
      )}
      {inputs.map((input, at) => (
        <div class="pair port">
          <span class="dim">in</span>
          <input
            aria-label="Input"
            placeholder="name"
            value={input.port}
            spellcheck={false}
            onInput={(event) => onChange({ inputs: inputs.with(at, { ...input, port: event.currentTarget.value }) })}
          />
          <span class="dim">←</span>
          <input
            class="grow"
            aria-label="Where it comes from"
            placeholder="worker/output, or a file"
            list={`sources-${worker.key}`}
            value={input.source}
            spellcheck={false}
            onInput={(event) => {
              const source = event.currentTarget.value;
              const port = input.port || (source.match(/^[^/]+\/(\w+)$/)?.[1] ?? "");
              onChange({ inputs: inputs.with(at, { port, source }) });
            }}
          />
          <button
            type="button"
            class="small"
            aria-label="Remove this input"
            onClick={() => onChange({ inputs: inputs.toSpliced(at, 1) })}
          >
            ✕
          </button>
        </div>
      ))}
      <datalist id={`sources-${worker.key}`}>
        {sources(draft, worker).map((source) => (
          <option value={source} />
        ))}
      </datalist>
      {outputs.map((output, at) => (
        <div class="pair port">
          <span class="dim">out</span>
          <input
            class="grow"
            aria-label="Output"
            placeholder="table.csv"
            value={output.port}
            spellcheck={false}
            onInput={(event) => onChange({ outputs: outputs.with(at, { ...output, port: event.currentTarget.value }) })}
          />
          <select
            aria-label="Type of the output"
            value={output.type}
            onChange={(event) =>
              onChange({ outputs: outputs.with(at, { ...output, type: event.currentTarget.value }) })
            }
          >
            {OUTPUT_TYPES.map((type) => (
              <option value={type}>{type}</option>
            ))}
          </select>
          <button
            type="button"
            class="small"
            aria-label="Remove this output"
            onClick={() => onChange({ outputs: outputs.toSpliced(at, 1) })}
          >
            ✕
          </button>
        </div>
      ))}
      {others.length > 0 && (
        <div class="needs">
          <span class="dim">after</span>
          {others.map((other) => {
            const on = worker.needs.includes(other.name);
            return (
              <button
                type="button"
                class="small"
                aria-pressed={on}
                onClick={() =>
                  onChange({
                    needs: on
                      ? worker.needs.filter((need) => need !== other.name)
                      : [...worker.needs.filter((need) => known.has(need)), other.name],
                  })
                }
              >
                {plain(other.name)}
              </button>
            );
          })}
        </div>
      )}
      <More values={worker.rest} onChange={(found) => onChange({ rest: found })} />
      <Problems problems={problems} />
    </fieldset>
  );
}

interface MoreProps {
  values: Record<string, unknown>;
  onChange: (values: Record<string, unknown>) => void;
}

/** Keys that the form has no field for, as JSON. */
class More extends Component<MoreProps, { text: string | null }> {
  override state = { text: null as string | null };

  private readonly type = (text: string): void => {
    this.setState({ text });
    const found = parsed(text);
    if (found) this.props.onChange(found);
  };

  override render({ values }: MoreProps, { text }: { text: string | null }) {
    const names = Object.keys(values);
    const shown = text ?? (names.length ? JSON.stringify(values, null, 1).replace(/\n\s*/g, " ") : "");
    return (
      <details class="more">
        <summary class="dim">
          {names.length ? names.map(plain).join(", ") : "more: retries, timeout, each, when, …"}
        </summary>
        <textarea
          class="code"
          rows={2}
          aria-label="More keys, as JSON"
          placeholder={'{"retries": 2, "timeout": "10m", "each": {"lr": [0.1, 0.01]}}'}
          spellcheck={false}
          value={shown}
          onInput={(event) => this.type(event.currentTarget.value)}
        />
        {text !== null && !parsed(text) && <p class="problems">This is no JSON object yet.</p>}
      </details>
    );
  }
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const found = JSON.parse(text.trim() || "{}") as unknown;
    return typeof found === "object" && found !== null && !Array.isArray(found)
      ? (found as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

export function Problems({ problems }: { problems: DocumentProblem[] }) {
  if (!problems.length) return null;
  return (
    <ul class="problems" aria-live="polite">
      {problems.map((problem) => (
        <li>
          {plain(problem.message)} {problem.hint && <span class="dim">{plain(problem.hint)}</span>}
        </li>
      ))}
    </ul>
  );
}
