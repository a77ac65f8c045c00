/* A workflow while it is being written: a document as the fields of a form, and back. What the form has no field for is
   kept as it was. Pure. */

import type { DocumentProblem, Graph, GraphEdge } from "../api";
import { yaml } from "./yaml";

export type Kind = "command" | "script" | "cell" | "notebook";
export const KINDS: [Kind, string][] = [
  ["command", "Command"],
  ["script", "Script"],
  ["cell", "Python cell"],
  ["notebook", "Notebook"],
];
export const OUTPUT_TYPES = ["file", "value", "object", "stream"] as const;

export interface DraftInput {
  port: string;
  /** `worker/output`, or the path of a file from outside. */
  source: string;
}

export interface DraftOutput {
  port: string;
  type: string;
  /** What the document says of it beyond its type. */
  rest: Record<string, unknown>;
}

export interface DraftWorker {
  /** The same for as long as the form is open, whatever the name becomes. */
  key: number;
  name: string;
  kind: Kind;
  body: string;
  inputs: DraftInput[];
  outputs: DraftOutput[];
  needs: string[];
  rest: Record<string, unknown>;
}

export interface Draft {
  name: string;
  description: string;
  workers: DraftWorker[];
  rest: Record<string, unknown>;
}

type Json = Record<string, unknown>;
let keys = 0;

export function emptyWorker(name: string): DraftWorker {
  return { key: ++keys, name, kind: "command", body: "", inputs: [], outputs: [], needs: [], rest: {} };
}

export function emptyDraft(name: string): Draft {
  return { name, description: "", workers: [emptyWorker("first")], rest: {} };
}

/** The form of a stored document. */
export function fromDocument(document: Json): Draft {
  const { name, description, workers, ...rest } = document;
  const listed = Array.isArray(workers)
    ? (workers as Json[])
    : Object.entries((workers ?? {}) as Record<string, Json>).map(([key, value]) => ({ name: key, ...value }));
  return {
    name: String(name ?? ""),
    description: String(description ?? ""),
    workers: listed.map(workerOf),
    rest: filled(rest),
  };
}

function workerOf(document: Json): DraftWorker {
  const { name, command, args, script, cell, notebook, inputs, outputs, needs, ...rest } = document;
  delete rest["workflow_name"];
  const [kind, body]: [Kind, unknown] =
    script != null
      ? ["script", script]
      : cell != null
        ? ["cell", cell]
        : notebook != null
          ? ["notebook", notebook]
          : ["command", command];
  const words = Array.isArray(args) && args.length ? { args } : {};
  return {
    key: ++keys,
    name: String(name),
    kind,
    body: Array.isArray(body) ? (body as unknown[]).map((word) => quoted(String(word))).join(" ") : String(body ?? ""),
    inputs: Object.entries((inputs ?? {}) as Json).map(([port, source]) => ({ port, source: sourceOf(source) })),
    outputs: outputsOf(outputs),
    needs: Array.isArray(needs) ? needs.map(String) : [],
    rest: { ...filled(rest), ...words },
  };
}

function sourceOf(source: unknown): string {
  if (typeof source === "string") return source;
  if (Array.isArray(source)) return source.join(", ");
  const { file } = (source ?? {}) as { file?: unknown };
  return typeof file === "string" ? file : JSON.stringify(source);
}

function outputsOf(outputs: unknown): DraftOutput[] {
  if (Array.isArray(outputs)) return outputs.map((name) => ({ port: String(name), type: "file", rest: {} }));
  return Object.entries((outputs ?? {}) as Json).map(([port, given]) => {
    if (typeof given === "string") return { port, type: "file", rest: { path: given } };
    const { type, ...rest } = given as Json;
    return { port, type: String(type ?? "file"), rest };
  });
}

/** A word as a shell would have to be given it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./${}-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`;
}

function filled(values: Json): Json {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    value === "" ||
    (typeof value === "object" && !Object.keys(value as object).length)
  );
}

// ---- back to a document -----------------------------------------------------------------------------------------

/** The document that the form says, as a person would write it. */
export function toDocument(draft: Draft): Json {
  return {
    name: draft.name.trim(),
    ...(draft.description.trim() ? { description: draft.description.trim() } : {}),
    ...draft.rest,
    workers: Object.fromEntries(draft.workers.map((worker) => [worker.name.trim(), workerDocument(worker)])),
  };
}

function workerDocument(worker: DraftWorker): Json {
  const body =
    worker.kind === "command" || worker.kind === "notebook"
      ? worker.body.trim()
      : worker.body.replace(/\s+$/, "") + "\n";
  const inputs = worker.inputs.filter((input) => input.port.trim() || input.source.trim());
  const outputs = worker.outputs.filter((output) => output.port.trim());
  return {
    ...(body.trim() ? { [worker.kind]: body } : {}),
    ...(inputs.length
      ? { inputs: Object.fromEntries(inputs.map((input) => [input.port.trim(), inputDocument(input.source.trim())])) }
      : {}),
    ...(outputs.length ? { outputs: outputsDocument(outputs) } : {}),
    ...(worker.needs.length ? { needs: worker.needs } : {}),
    ...worker.rest,
  };
}

function inputDocument(source: string): unknown {
  if (/^\{.*\}$/s.test(source)) {
    try {
      return JSON.parse(source) as unknown;
    } catch {
      return source;
    }
  }
  if (source.includes(",")) return source.split(",").map((part) => part.trim());
  return isEdge(source) || !source ? source : { file: source };
}

/** `worker/output`; anything with more or fewer slashes, or a suffix in its first part, is a file. */
export function isEdge(source: string): boolean {
  return /^[^/.\s][^/]*\/[A-Za-z_]\w*$/.test(source);
}

function outputsDocument(outputs: DraftOutput[]): unknown {
  if (outputs.every((output) => output.type === "file" && isEmpty(output.rest)))
    return outputs.map((output) => output.port.trim());
  return Object.fromEntries(
    outputs.map((output) => {
      const [port] = output.port.trim().split(".");
      const name =
        output.port.includes(".") && output.type === "file" && !("name" in output.rest) && !("path" in output.rest)
          ? { name: output.port.trim() }
          : {};
      return [port, { type: output.type, ...name, ...output.rest }];
    }),
  );
}

/** The port of an output: its name up to the first dot. */
export function portOf(output: DraftOutput): string {
  return output.port.trim().split(".")[0] ?? "";
}

/** What an input of a worker may be wired to. */
export function sources(draft: Draft, worker: DraftWorker): string[] {
  return draft.workers
    .filter((other) => other !== worker && other.name)
    .flatMap((other) =>
      other.outputs.filter((output) => output.port.trim()).map((output) => `${other.name}/${portOf(output)}`),
    );
}

/** The same as the text of a notebook's cell. */
export function toCell(draft: Draft): string {
  const { name, ...rest } = toDocument(draft);
  return `%%wattle workflow ${String(name)}\n${yaml(rest)}`;
}

/** The problems of a worker and of nobody in particular. */
export function sorted(
  problems: DocumentProblem[],
  draft: Draft,
): { of: Map<number, DocumentProblem[]>; rest: DocumentProblem[] } {
  const of = new Map<number, DocumentProblem[]>();
  const rest: DocumentProblem[] = [];
  for (const problem of problems) {
    const owner = draft.workers.find((worker) =>
      [worker.name.trim(), JSON.stringify(worker.name.trim())].some(
        (name) => problem.path === `workers.${name}` || problem.path.startsWith(`workers.${name}.`),
      ),
    );
    if (owner) of.set(owner.key, [...(of.get(owner.key) ?? []), problem]);
    else rest.push(problem);
  }
  return { of, rest };
}

/** A worker's new name, everywhere that it stands. */
export function renamed(draft: Draft, worker: DraftWorker, name: string): Draft {
  const before = worker.name;
  const wired = (source: string) =>
    before && source.startsWith(`${before}/`) ? `${name}${source.slice(before.length)}` : source;
  return {
    ...draft,
    workers: draft.workers.map((one) => ({
      ...one,
      name: one.key === worker.key ? name : one.name,
      inputs: one.inputs.map((input) => ({ ...input, source: wired(input.source) })),
      needs: one.needs.map((need) => (need === before ? name : need)),
    })),
  };
}

/** The graph of what has been written so far, right or wrong: the server draws it properly once it is valid. */
export function sketch(draft: Draft): Graph {
  const names = [...new Set(draft.workers.map((worker) => worker.name.trim()).filter(Boolean))];
  const edges = new Map<string, GraphEdge>();
  for (const worker of draft.workers) {
    const befores = [
      ...worker.needs,
      ...worker.inputs.flatMap((input) =>
        input.source
          .split(",")
          .map((part) => part.trim())
          .filter(isEdge)
          .map((part) => part.split("/")[0] ?? ""),
      ),
    ];
    for (const source of befores)
      if (names.includes(source) && source !== worker.name)
        edges.set(`${source}/${worker.name}`, { source, target: worker.name, ports: [], stream: false });
  }
  const level = new Map<string, number>();
  const depth = (name: string, seen: string[]): number => {
    if (seen.includes(name)) return 0; // a cycle, which the server names
    const befores = [...edges.values()].filter((edge) => edge.target === name);
    return level.get(name) ?? Math.max(-1, ...befores.map((edge) => depth(edge.source, [...seen, name]))) + 1;
  };
  for (const name of names) level.set(name, depth(name, []));
  const rows = new Map<number, number>();
  const nodes = names.map((name) => {
    const x = level.get(name) ?? 0;
    const y = rows.get(x) ?? 0;
    rows.set(x, y + 1);
    const kind = draft.workers.find((worker) => worker.name.trim() === name)?.kind ?? "command";
    return { name, instances: 1, status: "created" as const, counts: {}, x, y, kind, stale: false };
  });
  return { workflow: draft.name, nodes, edges: [...edges.values()] };
}
