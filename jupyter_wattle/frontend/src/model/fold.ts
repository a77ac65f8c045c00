/* A graph as boxes and lines on a plane: where the server's layout puts each node, and, where there are too many, with
   nodes folded together, level by level. Pure. */

import type { Graph, GraphNode } from "../api";

export const BOX = { width: 188, height: 48, gapX: 56, gapY: 16 };
/** More boxes than this are not drawn one by one. */
export const MOST_BOXES = 500;
/** A level with at most so many stays as it is when others are folded. */
const SMALL_LEVEL = 12;

export interface Box {
  readonly key: string;
  readonly x: number;
  readonly y: number;
  /** The nodes in it: one, or those that were folded. */
  readonly nodes: readonly string[];
  readonly label: string;
  readonly kind: string;
}

export interface Line {
  readonly key: string;
  readonly from: Box;
  readonly to: Box;
  readonly ports: readonly string[];
  /** Live: both ends run at once. */
  readonly stream: boolean;
  readonly path: string;
}

export interface Plan {
  readonly boxes: readonly Box[];
  readonly lines: readonly Line[];
  readonly width: number;
  readonly height: number;
  readonly folded: boolean;
  readonly boxOf: ReadonlyMap<string, Box>;
}

/** The plan of a graph. */
export function plan(graph: Graph, most = MOST_BOXES): Plan {
  const whole = graph.nodes.length <= most;
  return finish(graph, whole ? single(graph.nodes) : folded(graph, most), !whole);
}

function single(nodes: GraphNode[]): Box[] {
  return nodes.map((node) => ({
    key: node.name,
    x: node.x * (BOX.width + BOX.gapX),
    y: node.y * (BOX.height + BOX.gapY),
    nodes: [node.name],
    label: node.name,
    kind: node.kind,
  }));
}

/** Lone nodes together; then each large level; then, if that is not enough, many levels at once. */
function folded(graph: Graph, most: number): Box[] {
  const joined = new Set<string>();
  for (const edge of graph.edges) joined.add(edge.source).add(edge.target);
  const levels = new Map<number, GraphNode[]>();
  for (const node of graph.nodes) if (joined.has(node.name)) push(levels, node.x, node);
  const columns = [...levels.entries()].sort(([one], [other]) => one - other);
  const perColumn = Math.max(1, Math.ceil(columns.length / Math.max(1, most / SMALL_LEVEL)));
  const drafts: Draft[] = [];
  for (let at = 0; at < columns.length; at += perColumn) {
    const together = columns.slice(at, at + perColumn).flatMap(([, nodes]) => nodes);
    const x = drafts.length ? (drafts.at(-1)?.x ?? 0) + 1 : 0;
    if (perColumn === 1 && together.length <= SMALL_LEVEL) {
      const sorted = [...together].sort((one, other) => one.y - other.y);
      sorted.forEach((node, place) => drafts.push(draft(x, place - (sorted.length - 1) / 2, [node], node.name)));
    } else {
      const last = Math.min(at + perColumn, columns.length);
      drafts.push(draft(x, 0, together, perColumn === 1 ? `level ${at + 1}` : `levels ${at + 1} to ${last}`));
    }
  }
  const lone = graph.nodes.filter((node) => !joined.has(node.name));
  const below = Math.max(0, ...drafts.map((one) => one.y)) + (drafts.length ? 1.5 : 0);
  if (lone.length) drafts.push(draft(0, below, lone, drafts.length ? "joined to none" : "all workers"));
  const top = Math.min(0, ...drafts.map((one) => one.y));
  return drafts.map(({ x, y, nodes, label }) => ({
    key: nodes.length === 1 ? (nodes[0]?.name ?? "") : `fold:${nodes[0]?.name ?? ""}`,
    x: x * (BOX.width + BOX.gapX),
    y: (y - top) * (BOX.height + BOX.gapY),
    nodes: nodes.map((node) => node.name),
    label,
    kind: nodes.length === 1 ? (nodes[0]?.kind ?? "") : "",
  }));
}

interface Draft {
  x: number;
  y: number;
  nodes: GraphNode[];
  label: string;
}

function draft(x: number, y: number, nodes: GraphNode[], label: string): Draft {
  return { x, y, nodes, label };
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const known = map.get(key);
  if (known) known.push(value);
  else map.set(key, [value]);
}

function finish(graph: Graph, boxes: Box[], isFolded: boolean): Plan {
  const boxOf = new Map<string, Box>();
  for (const box of boxes) for (const node of box.nodes) boxOf.set(node, box);
  const lines = new Map<string, Line>();
  for (const edge of graph.edges) {
    const [from, to] = [boxOf.get(edge.source), boxOf.get(edge.target)];
    const key = `${from?.key}\n${to?.key}`;
    if (from && to && from !== to && !lines.has(key))
      lines.set(key, {
        key,
        from,
        to,
        ports: isFolded ? [] : edge.ports,
        stream: edge.stream,
        path: curve(from, to, boxes),
      });
  }
  return {
    boxes,
    lines: [...lines.values()],
    width: Math.max(0, ...boxes.map((box) => box.x)) + BOX.width,
    height: Math.max(0, ...boxes.map((box) => box.y)) + BOX.height + ([...lines.values()].some(isBack) ? BOW : 0),
    folded: isFolded,
    boxOf,
  };
}

/** How far below the boxes a way back may run. */
const BOW = 34;

function isBack({ from, to }: { from: Box; to: Box }): boolean {
  return to.x <= from.x;
}

/** A line from the right side of one box to the left side of another; a way back (live edges may form loops) is a bow
    below both. */
function curve(from: Box, to: Box, boxes: Box[]): string {
  if (isBack({ from, to })) {
    // From the near lower corner, so that it does not run through what stands below.
    const [x1, y1, x2, y2] = [from.x + 14, from.y + BOX.height, to.x + BOX.width / 2, to.y + BOX.height + 7];
    const under = boxes.filter((box) => box.x >= to.x && box.x < from.x).map((box) => box.y + BOX.height);
    const depth = Math.max(y1, y2, ...under) + BOW;
    return `M${x1},${y1}C${x1 - 30},${depth} ${x2},${depth} ${x2},${y2}`;
  }
  const [x1, y1] = [from.x + BOX.width, from.y + BOX.height / 2];
  const [x2, y2] = [to.x - 7, to.y + BOX.height / 2];
  const bend = Math.max(24, Math.min(90, (x2 - x1) / 2));
  return `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
}

/** The box next to one in a direction: along the lines to the sides, else to what is nearest above or below. */
export function neighbour(plan: Plan, box: Box, key: string): Box | null {
  if (key === "ArrowRight" || key === "ArrowLeft") {
    const right = key === "ArrowRight";
    const joined = plan.lines
      .filter((line) => (right ? line.from : line.to) === box)
      .map((line) => (right ? line.to : line.from));
    if (joined.length) return nearest(joined, box);
    return nearest(
      plan.boxes.filter((other) => (right ? other.x > box.x : other.x < box.x)),
      box,
    );
  }
  const down = key === "ArrowDown";
  const column = plan.boxes.filter(
    (other) => Math.abs(other.x - box.x) < 1 && (down ? other.y > box.y : other.y < box.y),
  );
  return nearest(column, box);
}

function nearest(boxes: readonly Box[], to: Box): Box | null {
  let best: Box | null = null;
  let least = Infinity;
  for (const box of boxes) {
    const distance = Math.abs(box.x - to.x) + Math.abs(box.y - to.y);
    if (distance < least) [best, least] = [box, distance];
  }
  return best;
}
