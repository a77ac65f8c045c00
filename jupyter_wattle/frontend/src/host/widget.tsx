/* The view as an anywidget: fed by this page's server where it is of the same state root, else by the kernel. */

import { choose, mountBundle, type Bundle } from "../mount";
import { CommSource, type WidgetModel } from "../source/comm";

function setting(name: string): string {
  try {
    const data = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}") as Record<
      string,
      unknown
    >;
    return typeof data[name] === "string" ? data[name] : "";
  } catch {
    return "";
  }
}

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const bundle = model.get("data") as Bundle;
  const comm = new CommSource(model, bundle.address);
  const view = mountBundle(el, comm, bundle);
  const base = setting("baseUrl");
  if (base)
    void choose(base, setting("token"), bundle.store_id).then((source) => {
      if (source.live) view.turn(source);
    });
  return () => {
    view.end();
    comm.end();
  };
}

export default { render };
