import assert from "node:assert/strict";
import { test } from "node:test";
import { neighbour, plan } from "../src/model/fold";
import { graph } from "./replies";

const names = (prefix: string, many: number) => Array.from({ length: many }, (_, at) => `${prefix}${at}`);

test("a graph that is small enough is drawn box by box, where the server put them", () => {
  const made = plan(graph([["a"], ["b", "c"]], ["a>b", "a>c"]));
  assert.deepEqual(
    made.boxes.map((box) => box.key),
    ["a", "b", "c"],
  );
  assert.equal(made.folded, false);
  assert.equal(made.lines.length, 2);
  assert.ok((made.boxOf.get("c")?.y ?? 0) > (made.boxOf.get("b")?.y ?? 0));
});

test("large levels are folded, small ones stay, and every node is in exactly one box", () => {
  const wide = names("w", 1000);
  const made = plan(
    graph([["a"], wide, ["z"]], [...wide.map((name) => `a>${name}`), ...wide.map((name) => `${name}>z`)]),
  );
  assert.deepEqual(
    made.boxes.map((box) => box.nodes.length),
    [1, 1000, 1],
  );
  assert.equal(made.boxes[1]?.label, "level 2");
  assert.equal(made.lines.length, 2);
  assert.deepEqual(new Set(made.boxes.flatMap((box) => box.nodes)).size, 1002);
});

test("thousands of levels, and thousands that nothing joins, are few boxes", () => {
  const chain = names("c", 5000);
  const long = plan(
    graph(
      chain.map((name) => [name]),
      chain.slice(1).map((name, at) => `c${at}>${name}`),
    ),
  );
  assert.ok(long.boxes.length < 200, String(long.boxes.length));
  assert.equal(long.boxes[0]?.label.startsWith("levels 1 to "), true);
  const lone = plan(graph([names("l", 5000)], []));
  assert.deepEqual(
    lone.boxes.map((box) => box.label),
    ["all workers"],
  );
});

test("a way back runs below the boxes that it passes", () => {
  const made = plan(graph([["a"], ["b", "c"]], ["a>b", "b>a"]));
  const back = made.lines.find((line) => line.from.key === "b");
  const depth = Math.max(...(back?.path.match(/-?[\d.]+/g) ?? []).map(Number).filter((_, at) => at % 2 === 1));
  assert.ok(depth > (made.boxOf.get("a")?.y ?? 0) + 48);
  assert.ok(made.height >= depth, "and there is room for it");
});

test("arrow keys walk along the lines and up and down a level", () => {
  const made = plan(graph([["a"], ["b", "c"]], ["a>c"]));
  const at = (key: string) => made.boxOf.get(key) as NonNullable<ReturnType<typeof made.boxOf.get>>;
  assert.equal(neighbour(made, at("a"), "ArrowRight")?.key, "c");
  assert.equal(neighbour(made, at("c"), "ArrowUp")?.key, "b");
  assert.equal(neighbour(made, at("b"), "ArrowLeft")?.key, "a");
  assert.equal(neighbour(made, at("a"), "ArrowLeft"), null);
});
