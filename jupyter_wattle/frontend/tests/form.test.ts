import assert from "node:assert/strict";
import { test } from "node:test";
import {
  emptyDraft,
  emptyWorker,
  fromDocument,
  isEdge,
  renamed,
  sketch,
  sorted,
  sources,
  toCell,
  toDocument,
} from "../src/model/form";
import { yaml } from "../src/model/yaml";

const DOCUMENT = {
  name: "etl",
  max_concurrent_workers: 3,
  workers: {
    fetch: { script: 'curl "$URL"\n', outputs: ["raw.csv"], retries: 2 },
    train: {
      each: { lr: [1, 2] },
      command: "python train.py",
      inputs: { raw: "fetch/raw", side: { file: "data/side.csv" } },
      outputs: { model: { type: "file", name: "model.pt" }, score: { type: "value" } },
      needs: ["fetch"],
    },
  },
};

test("a document goes through the form unchanged, also where the form has no field for it", () => {
  assert.deepEqual(toDocument(fromDocument(DOCUMENT)), DOCUMENT);
});

test("the stored form of a document, with all its empty keys, becomes what a person would write", () => {
  const stored = {
    name: "a",
    working_dir: "/w",
    workers: [
      {
        name: "x",
        workflow_name: "a",
        command: ["python3", "-c", "print(1)"],
        args: [],
        env_vars: {},
        inputs: null,
        outputs: {},
        timeout: null,
      },
    ],
  };
  assert.deepEqual(toDocument(fromDocument(stored)), {
    name: "a",
    working_dir: "/w",
    workers: { x: { command: "python3 -c 'print(1)'" } },
  });
});

test("an output with a suffix keeps its name, and its port is what stands before the dot", () => {
  const draft = emptyDraft("n");
  const worker = {
    ...emptyWorker("a"),
    body: "true",
    outputs: [
      { port: "table.csv", type: "file", rest: {} },
      { port: "score", type: "value", rest: {} },
    ],
  };
  assert.deepEqual((toDocument({ ...draft, workers: [worker] })["workers"] as Record<string, unknown>)["a"], {
    command: "true",
    outputs: { table: { type: "file", name: "table.csv" }, score: { type: "value" } },
  });
  const other = emptyWorker("b");
  assert.deepEqual(sources({ ...draft, workers: [worker, other] }, other), ["a/table", "a/score"]);
});

test("an edge is told from a file", () => {
  assert.deepEqual(["fetch/raw", "data/raw.csv", "/abs/raw", "raw.csv", "a/b/c"].map(isEdge), [
    true,
    false,
    false,
    false,
    false,
  ]);
});

test("a new name is a new name everywhere", () => {
  const draft = fromDocument(DOCUMENT);
  const [fetch] = draft.workers;
  assert.ok(fetch);
  const workers = toDocument(renamed(draft, fetch, "get"))["workers"] as Record<
    string,
    { inputs?: unknown; needs?: unknown }
  >;
  assert.deepEqual(workers["train"]?.inputs, { raw: "get/raw", side: { file: "data/side.csv" } });
  assert.deepEqual(workers["train"]?.needs, ["get"]);
});

test("problems are shown at the worker that has them, whatever its name", () => {
  const draft = { ...emptyDraft("n"), workers: [emptyWorker("a"), emptyWorker("c d")] };
  const problem = (path: string) => ({ path, message: path, hint: "", line: 0, column: 0 });
  const { of, rest } = sorted(
    [problem("name"), problem("workers.a.inputs.p"), problem('workers."c d"'), problem("workers.ab")],
    draft,
  );
  assert.deepEqual(
    draft.workers.map((worker) => of.get(worker.key)?.map((one) => one.path)),
    [["workers.a.inputs.p"], ['workers."c d"']],
  );
  assert.deepEqual(
    rest.map((one) => one.path),
    ["name", "workers.ab"],
  );
});

test("the cell is YAML as people write it", () => {
  assert.equal(
    toCell(fromDocument(DOCUMENT)),
    `%%wattle workflow etl
max_concurrent_workers: 3
workers:
  fetch:
    script: |
      curl "$URL"
    outputs: [raw.csv]
    retries: 2
  train:
    command: python train.py
    inputs:
      raw: fetch/raw
      side: {file: data/side.csv}
    outputs:
      model: {type: file, name: model.pt}
      score: {type: value}
    needs: [fetch]
    each: {lr: [1, 2]}
`,
  );
});

test("words that YAML takes for something else are quoted", () => {
  assert.equal(
    yaml({ a: "no", b: "12", c: "1e3", d: "x: y", e: "", f: " x", g: "null", h: "# x", i: "a\tb" }),
    'a: "no"\nb: "12"\nc: "1e3"\nd: "x: y"\ne: ""\nf: " x"\ng: "null"\nh: "# x"\ni: "a\\tb"\n',
  );
});

test("what is written so far is drawn, also when it goes in a circle", () => {
  const drawn = sketch(fromDocument(DOCUMENT));
  assert.deepEqual(
    drawn.nodes.map((node) => [node.name, node.x]),
    [
      ["fetch", 0],
      ["train", 1],
    ],
  );
  assert.deepEqual(
    drawn.edges.map((edge) => [edge.source, edge.target]),
    [["fetch", "train"]],
  );
  const circle = fromDocument({ name: "c", workers: { a: { needs: ["b"] }, b: { needs: ["a"] } } });
  assert.equal(sketch(circle).edges.length, 2);
});
