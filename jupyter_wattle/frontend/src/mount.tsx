/* The one module that every host mounts: `mount(el, source, options) -> unmount`. */

import { useState } from "preact/hooks";
import { Refusal, type Source } from "./api";
import { makeRoot, type Root } from "./root";
import { restSource } from "./source/rest";
import { SnapshotSource } from "./source/snapshot";
import { Form } from "./view/form";
import { LogView } from "./view/log";
import { Panel } from "./view/panel";
import { RunView, type Snapshot } from "./view/run";

/** The data of `application/vnd.wattle.run+json`. */
export interface Bundle {
  version: number;
  kind: "run" | "workflow" | "logs" | "gantt" | "new";
  address: string;
  worker: string | null;
  store_id: string;
  home: string;
  snapshot: Snapshot | null;
}

export interface Options {
  bundle: Bundle;
  fill?: boolean;
  onRun?: (address: string, worker: string) => void;
}

/** Show a bundle in an element, fed by a source. Returns what ends it. */
export function mount(element: HTMLElement, source: Source, options: Options): () => void {
  const root = makeRoot(element, !!options.fill);
  draw(root, source, options);
  return root.end;
}

function draw(root: Root, source: Source, options: Options): void {
  const { bundle } = options;
  if (bundle.kind === "logs" && bundle.worker)
    root.show(
      <div class="alone">
        {source.note && <p class="note">{source.note}</p>}
        <LogView source={source} run={bundle.address} worker={bundle.worker} />
      </div>,
    );
  else if (bundle.kind === "new") root.show(<Authoring source={source} workflow={bundle.address} />);
  else
    root.show(
      <RunView
        source={source}
        address={bundle.address}
        worker={bundle.worker ?? ""}
        snapshot={bundle.snapshot}
        view={bundle.kind === "gantt" ? "gantt" : "graph"}
        definition={bundle.kind === "workflow"}
        {...(options.fill ? { fill: true } : {})}
        {...(options.onRun ? { onRun: options.onRun } : {})}
      />,
    );
}

/** The form in a notebook: what it has saved and begun is shown in its place. */
function Authoring({ source, workflow }: { source: Source; workflow: string }) {
  const [address, show] = useState("");
  if (!source.live && source.note) return <p class="note">The form needs Wattle's server or a kernel. {source.note}</p>;
  if (address.includes("@")) return <RunView source={source} address={address} />;
  return <Form source={source} workflow={workflow} onSaved={show} />;
}

/** A view that is given other data or another source while it is shown. */
export interface View {
  update: (bundle: Bundle) => void;
  turn: (source: Source) => void;
  end: () => void;
}

export function mountBundle(element: HTMLElement, first: Source, given: Bundle): View {
  const root = makeRoot(element, false);
  let [source, bundle, over] = [first, given, false];
  const show = () => over || draw(root, source, { bundle });
  show();
  return {
    update: (found) => {
      bundle = found;
      show();
    },
    turn: (found) => {
      source = found;
      show();
    },
    end: () => {
      over = true;
      root.end();
    },
  };
}

/** Show what a notebook saved, and go on from there if this page's server is of the same state root. */
export function mountSaved(element: HTMLElement, baseUrl: string, token: string, bundle: Bundle): View {
  const view = mountBundle(element, new SnapshotSource(""), bundle);
  void choose(baseUrl, token, bundle.store_id).then(view.turn);
  return view;
}

/** Show a run in a tab of its own. */
export function mountRun(element: HTMLElement, baseUrl: string, token: string, address: string): () => void {
  const root = makeRoot(element, true);
  root.show(<RunView source={restSource(baseUrl, token)} address={address} fill />);
  return root.end;
}

/** Show the runs of a server in a narrow place. */
export function mountPanel(
  element: HTMLElement,
  baseUrl: string,
  token: string,
  onOpen: (address: string) => void,
): () => void {
  const root = makeRoot(element, true);
  root.show(<Panel source={restSource(baseUrl, token)} onOpen={onOpen} />);
  return root.end;
}

/** The server of this page, if it answers for this state root; else nobody, with the sentence that says why. */
export async function choose(baseUrl: string, token: string, storeId: string): Promise<Source> {
  const source = restSource(baseUrl, token);
  try {
    const health = await source.health();
    if (!storeId || health.store_id === storeId) return source;
    return new SnapshotSource(
      `This is how it stood when it was saved: this server keeps other runs (its state root is ${health.home}).`,
    );
  } catch (error) {
    const why = error instanceof Refusal ? error.message : "";
    return new SnapshotSource(`This is how it stood when it was saved. ${why}`);
  }
}

export { mountPage } from "./page";
export { restSource, SnapshotSource };
