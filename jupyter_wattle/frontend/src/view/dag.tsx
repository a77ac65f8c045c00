/* The picture of a run: boxes and lines that keep their places while states change. Dragging moves it, the wheel with
   Ctrl (or without, where the page has nothing else to scroll) zooms, arrow keys walk along the lines. */

import { Component } from "preact";
import type { NodeView, RunModel } from "../model/run";
import type { Box, Line, Plan } from "../model/fold";
import { BOX, neighbour } from "../model/fold";
import { countsText, groupLook, isFinal, ORDER, reasonText, total, word, type Look } from "../model/status";
import type { Counts } from "../api";
import { count, duration, plain, plural, shorten } from "../text";
import { kindPath, MarkShape } from "./mark";

const PADDING = 18;
const SMALLEST = 0.05;
/** Below this scale names cannot be read, so boxes are drawn as mere colours. */
const READABLE = 0.42;
/** With more boxes nothing in the picture moves by itself: browsers paint all of it again for every frame. */
const MOVING = 100;

interface Props {
  model: RunModel;
  plan: Plan;
  now: number;
  selected: string;
  /** The most pixels that it may be high; it is as high as it needs. */
  room: number;
  fill: boolean;
  onPick: (box: Box) => void;
}

interface State {
  focus: string;
  width: number;
  far: boolean;
}

export class Dag extends Component<Props, State> {
  override state: State = { focus: "", width: 0, far: false };
  private host: HTMLDivElement | null = null;
  private scene: SVGGElement | null = null;
  private svg: SVGSVGElement | null = null;
  private place = { x: 0, y: 0, scale: 1 };
  private fitted = true;
  private sizes: ResizeObserver | null = null;
  private grip: { x: number; y: number; moved: boolean } | null = null;

  override componentDidMount(): void {
    if (!this.host || !this.svg) return;
    this.svg.addEventListener("wheel", this.wheel, { passive: false });
    this.sizes = new ResizeObserver(() => {
      const width = this.host?.clientWidth ?? 0;
      if (!width || (width === this.state.width && !this.props.fill)) return;
      this.setState({ width });
      if (this.fitted) this.fit();
    });
    this.sizes.observe(this.host);
    this.setState({ width: this.host.clientWidth });
    this.fit();
  }

  override componentDidUpdate(before: Props, old: State): void {
    const moved = before.plan !== this.props.plan || old.width !== this.state.width || before.fill !== this.props.fill;
    if (moved && this.fitted) this.fit();
    else this.show();
  }

  override componentWillUnmount(): void {
    this.sizes?.disconnect();
    this.svg?.removeEventListener("wheel", this.wheel);
  }

  private height(): number {
    if (this.props.fill) return this.host?.clientHeight || this.props.room;
    const { plan } = this.props;
    const scale = Math.min(1, (this.state.width - 2 * PADDING) / plan.width || 1);
    return Math.round(
      Math.max(110, Math.min(this.props.room, plan.height * Math.max(scale, READABLE) + 2 * PADDING + 4)),
    );
  }

  fit = (): void => {
    const { plan } = this.props;
    const [width, height] = [this.host?.clientWidth ?? 0, this.height()];
    if (!width || !height) return;
    const scale = Math.max(
      SMALLEST,
      Math.min(1, (width - 2 * PADDING) / plan.width, (height - 2 * PADDING) / plan.height),
    );
    this.place = { scale, x: (width - plan.width * scale) / 2, y: (height - plan.height * scale) / 2 };
    this.fitted = true;
    this.show();
  };

  /** Zoom about a point of the window. */
  zoom(factor: number, x: number, y: number): void {
    const scale = Math.min(2.5, Math.max(SMALLEST, this.place.scale * factor));
    const ratio = scale / this.place.scale;
    this.place = { scale, x: x - (x - this.place.x) * ratio, y: y - (y - this.place.y) * ratio };
    this.fitted = false;
    this.show();
  }

  private readonly center = (factor: number): void =>
    this.zoom(factor, (this.host?.clientWidth ?? 0) / 2, this.height() / 2);

  private show(): void {
    const { x, y, scale } = this.place;
    this.scene?.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${scale.toFixed(4)})`);
    const far = scale < READABLE;
    if (far !== this.state.far) this.setState({ far });
  }

  private readonly wheel = (event: WheelEvent): void => {
    if (!event.ctrlKey && !event.metaKey && !this.props.fill) return;
    event.preventDefault();
    const edge = this.svg?.getBoundingClientRect();
    this.zoom(
      Math.exp(-event.deltaY * (event.ctrlKey ? 0.008 : 0.002)),
      event.clientX - (edge?.left ?? 0),
      event.clientY - (edge?.top ?? 0),
    );
  };

  private readonly down = (event: PointerEvent): void => {
    if (event.button === 0) this.grip = { x: event.clientX, y: event.clientY, moved: false };
  };

  private readonly move = (event: PointerEvent): void => {
    const grip = this.grip;
    if (!grip) return;
    const [dx, dy] = [event.clientX - grip.x, event.clientY - grip.y];
    if (!grip.moved && Math.hypot(dx, dy) < 4) return;
    if (!grip.moved) this.svg?.setPointerCapture(event.pointerId);
    this.grip = { x: event.clientX, y: event.clientY, moved: true };
    this.place = { ...this.place, x: this.place.x + dx, y: this.place.y + dy };
    this.fitted = false;
    this.show();
  };

  private readonly up = (): void => {
    // A click comes after this: it must still see that the pointer has moved.
    window.setTimeout(() => (this.grip = null));
  };

  private readonly click = (event: MouseEvent): void => {
    if (this.grip?.moved) return;
    const key = (event.target as Element).closest("[data-key]")?.getAttribute("data-key");
    const box = this.props.plan.boxes.find((one) => one.key === key);
    if (!box) return;
    this.setState({ focus: box.key });
    this.props.onPick(box);
  };

  private readonly keys = (event: KeyboardEvent): void => {
    const { plan } = this.props;
    const key = (event.target as Element).closest("[data-key]")?.getAttribute("data-key");
    const box = plan.boxes.find((one) => one.key === key);
    if (event.key === "+" || event.key === "=") this.center(1.25);
    else if (event.key === "-") this.center(0.8);
    else if (event.key === "0") this.fit();
    else if (box && (event.key === "Enter" || event.key === " ")) this.props.onPick(box);
    else if (box && event.key.startsWith("Arrow")) {
      const next = neighbour(plan, box, event.key);
      if (next) this.focusOn(next);
    } else return;
    event.preventDefault();
  };

  private focusOn(box: Box): void {
    // At once, not when it is drawn: the next key may be there before.
    this.scene?.querySelector<SVGGElement>(`[data-key="${CSS.escape(box.key)}"]`)?.focus({ preventScroll: true });
    this.setState({ focus: box.key });
    const { scale } = this.place;
    const [x, y] = [box.x * scale + this.place.x, box.y * scale + this.place.y];
    const [width, height] = [this.host?.clientWidth ?? 0, this.height()];
    if (x >= 0 && y >= 0 && x + BOX.width * scale <= width && y + BOX.height * scale <= height) return;
    this.place = { scale, x: this.place.x - x + (width - BOX.width * scale) / 2, y: this.place.y - y + height / 2 };
    this.fitted = false;
    this.show();
  }

  override render({ plan, model, now, selected }: Props, { focus, far }: State) {
    const first = plan.boxes.some((box) => box.key === focus) ? focus : (plan.boxes[0]?.key ?? "");
    return (
      <div class={`dag${this.props.fill ? " filling" : ""}`} ref={(found) => void (this.host = found)}>
        <svg
          class={`${far ? "far " : ""}${plan.boxes.length > MOVING ? "still" : ""}`}
          height={this.props.fill ? "100%" : this.height()}
          width="100%"
          role="group"
          aria-label={`Graph of ${plain(model.graph.workflow)}: ${plural(plan.boxes.length, "box")}`.replace(
            "boxs",
            "boxes",
          )}
          ref={(found) => void (this.svg = found)}
          onPointerDown={this.down}
          onPointerMove={this.move}
          onPointerUp={this.up}
          onPointerCancel={this.up}
          onClick={this.click}
          onKeyDown={this.keys}
        >
          <defs>
            {["", "on", "done"].map((kind) => (
              <marker
                id={`arrow${kind}`}
                class={`arrow ${kind}`}
                viewBox="0 0 8 8"
                refX="1"
                refY="4"
                markerWidth="7"
                markerHeight="7"
                orient="auto"
                markerUnits="userSpaceOnUse"
              >
                <path d="M0 .5 7 4 0 7.5z" />
              </marker>
            ))}
          </defs>
          <g ref={(found) => void (this.scene = found)}>
            {plan.lines.map((line) => (
              <Edge key={line.key} line={line} kind={edgeKind(model, line)} />
            ))}
            {plan.boxes.map((box) => (
              <Node
                key={box.key}
                box={box}
                {...face(model, box, now)}
                selected={selected === box.key}
                first={first === box.key}
                far={far}
              />
            ))}
          </g>
        </svg>
        {!plan.boxes.length && <p class="hint middle">This workflow has no workers yet.</p>}
        <div class="zoom" role="toolbar" aria-label="Zoom">
          <button type="button" title="Zoom in (+)" aria-label="Zoom in" onClick={() => this.center(1.3)}>
            +
          </button>
          <button type="button" title="Zoom out (−)" aria-label="Zoom out" onClick={() => this.center(1 / 1.3)}>
            −
          </button>
          <button type="button" title="Show all (0)" aria-label="Show all" onClick={this.fit}>
            <svg viewBox="0 0 12 12" aria-hidden="true">
              <path d="M1 4V1h3M8 1h3v3M11 8v3H8M4 11H1V8" />
            </svg>
          </button>
        </div>
      </div>
    );
  }
}

// ---- what a box shows -------------------------------------------------------------------------------------------

interface Face {
  look: Look;
  name: string;
  caption: string;
  counts: Counts | null;
  fraction: number | null;
  kind: string;
  stale: boolean;
}

/** Everything that is written in a box. */
export function face(model: RunModel, box: Box, now: number): Face {
  const only = box.nodes.length === 1 ? model.view(box.nodes[0] ?? "") : null;
  if (only) return singleFace(model, only, now);
  const counts: Counts = {};
  for (const name of box.nodes) {
    const view = model.view(name);
    for (const status of ORDER)
      if (view?.counts[status]) counts[status] = (counts[status] ?? 0) + (view.counts[status] ?? 0);
  }
  const many = total(counts) || box.nodes.length;
  const look = total(counts) ? groupLook(counts) : "created";
  return { look, name: box.label, caption: groupCaption(counts, many), counts, fraction: null, kind: "", stale: false };
}

function singleFace(model: RunModel, view: NodeView, now: number): Face {
  const { node, worker, counts } = view;
  const group = !worker && node.instances > 1;
  const face: Face = {
    look: view.look,
    name: node.name,
    caption: "",
    counts: group ? counts : null,
    fraction: null,
    kind: node.kind,
    stale: view.stale,
  };
  if (worker) {
    face.caption = workerCaption(worker, now);
    const said = model.progressOf(worker.name);
    if (said && worker.status === "running") {
      face.fraction = said.fraction;
      const percent = said.fraction === null ? "" : `${Math.floor(said.fraction * 100)} %`;
      face.caption = [percent, said.text].filter(Boolean).join(" · ") || face.caption;
    }
  } else face.caption = group ? groupCaption(counts, node.instances) : node.kind;
  if (face.stale) face.caption = [face.caption, "stale"].filter(Boolean).join(" · ");
  return face;
}

export function workerCaption(worker: NonNullable<NodeView["worker"]>, now: number): string {
  if (worker.reused_from) return `reused from ${worker.reused_from}`;
  const span = worker.started_at ? duration((worker.ended_at ?? now) - worker.started_at) : "";
  const again = worker.attempt > 1 ? `attempt ${worker.attempt}` : "";
  if (worker.status === "failed") return [reasonText(worker), span].filter(Boolean).join(" · ");
  if (worker.status === "cancelled") return reasonText(worker) || "cancelled";
  if (worker.phase === "retrying") return `waits for attempt ${worker.attempt + 1} of ${worker.attempts_allowed}`;
  if (isFinal(worker.status) || worker.phase === "running") return [span, again].filter(Boolean).join(" · ");
  return worker.phase === "stopping" ? `stopping · ${span}` : worker.phase || word(worker.status);
}

function groupCaption(counts: Counts, many: number): string {
  const known = total(counts);
  if (!known) return plural(many, "worker");
  const parts = [`${count(counts.completed ?? 0)}/${count(many)} done`];
  if (counts.running) parts.push(`${count(counts.running)} running`);
  if (counts.failed) parts.push(`${count(counts.failed)} failed`);
  return parts.join(" · ");
}

type EdgeKind = "" | "on" | "done";

function edgeKind(model: RunModel, line: Line): EdgeKind {
  if (line.from.nodes.length > 1 || line.to.nodes.length > 1) return "";
  const from = model.view(line.from.nodes[0] ?? "");
  const to = model.view(line.to.nodes[0] ?? "");
  if (line.stream) return from?.look === "running" && to?.look === "running" ? "on" : "";
  if (from?.look !== "completed" && from?.look !== "reused") return "";
  return to?.look === "running" || to?.look === "starting" ? "on" : "done";
}

class Edge extends Component<{ line: Line; kind: EdgeKind }> {
  override shouldComponentUpdate(next: { line: Line; kind: EdgeKind }): boolean {
    return next.line !== this.props.line || next.kind !== this.props.kind;
  }

  override render({ line, kind }: { line: Line; kind: EdgeKind }) {
    const title = `${plain(line.from.label)} → ${plain(line.to.label)}`;
    return (
      <path class={`edge ${kind}${line.stream ? " stream" : ""}`} d={line.path} marker-end={`url(#arrow${kind})`}>
        <title>
          {line.ports.length ? `${title}\n${line.ports.map(plain).join("\n")}` : `${title} (order only)`}
          {line.stream ? "\nlive" : ""}
        </title>
      </path>
    );
  }
}

interface NodeProps extends Face {
  box: Box;
  selected: boolean;
  first: boolean;
  far: boolean;
}

class Node extends Component<NodeProps> {
  override shouldComponentUpdate(next: NodeProps): boolean {
    const own = this.props;
    return (
      next.caption !== own.caption ||
      next.look !== own.look ||
      next.selected !== own.selected ||
      next.first !== own.first ||
      next.fraction !== own.fraction ||
      next.box !== own.box ||
      next.far !== own.far ||
      !sameCounts(next.counts, own.counts)
    );
  }

  override render({ box, look, name, caption, counts, fraction, kind, stale, selected, first, far }: NodeProps) {
    const group = counts !== null;
    // The title is its name for those who do not see it; what is seen comes first in it.
    const state = counts && total(counts) ? countsText(counts) : word(look);
    const label = `${plain(name)} ${plain(caption)}, ${state}`;
    const body = (
      <>
        {group && <rect class="shadow" x="4" y="4" width={BOX.width - 2} height={BOX.height - 1} rx="9" />}
        <rect class="body" width={BOX.width} height={BOX.height} rx="9" />
      </>
    );
    return (
      <g
        class={`node ${look}${selected ? " selected" : ""}${stale ? " stale" : ""}`}
        transform={`translate(${box.x} ${box.y})`}
        data-key={box.key}
        data-status={look}
        role="button"
        tabindex={first ? 0 : -1}
        aria-pressed={selected}
      >
        <title>{label}</title>
        {body}
        {far ? (
          <svg x={BOX.width / 2 - 18} y={BOX.height / 2 - 18} width="36" height="36" viewBox="0 0 16 16">
            <MarkShape look={look} />
          </svg>
        ) : (
          <>
            <svg x="11" y={caption ? 8 : 16} width="16" height="16" viewBox="0 0 16 16">
              <MarkShape look={look} />
            </svg>
            <text class="name" aria-hidden="true" x="34" y={caption ? 21 : 29}>
              {shorten(plain(name), kind ? 17 : 19)}
            </text>
            <text class="caption" aria-hidden="true" x="34" y="37">
              {shorten(plain(caption), 24)}
            </text>
            {kind && <path class="kind" transform={`translate(${BOX.width - 24} 9)`} d={kindPath(kind)} />}
            <Bar counts={counts} fraction={fraction} />
          </>
        )}
      </g>
    );
  }
}

/** Along the lower edge: how far, or how many. */
function Bar({ counts, fraction }: { counts: Counts | null; fraction: number | null }) {
  const [left, width, y] = [34, BOX.width - 46, BOX.height - 7];
  if (fraction !== null)
    return (
      <>
        <rect class="track" x={left} y={y} width={width} height="3" rx="1.5" />
        <rect class="bar running" x={left} y={y} width={Math.max(2, width * fraction)} height="3" rx="1.5" />
      </>
    );
  const all = counts ? total(counts) : 0;
  if (!counts || !all) return null;
  let at = left;
  return (
    <>
      <rect class="track" x={left} y={y} width={width} height="3" rx="1.5" />
      {ORDER.filter((status) => status !== "created" && counts[status]).map((status) => {
        const part = (width * (counts[status] ?? 0)) / all;
        at += part;
        return <rect class={`bar ${status}`} x={at - part} y={y} width={part} height="3" />;
      })}
    </>
  );
}

function sameCounts(one: Counts | null, other: Counts | null): boolean {
  return one === other || (!!one && !!other && ORDER.every((status) => (one[status] ?? 0) === (other[status] ?? 0)));
}
