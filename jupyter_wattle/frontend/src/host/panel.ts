/* A panel of JupyterLab's sidebar with the runs of this server; a run opens as a tab of its own. */

import type { LuminoWidget, WidgetClass } from "./lab";
import { setting, wattle } from "./lab";

interface App {
  name: string;
  shell: { add(widget: LuminoWidget, area: string, options?: object): void; activateById(id: string): void };
}

const SPRIG =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="18" height="18"><path d="M16 31c0-9 1-16 6-24" fill="none" stroke="#4b7f52" stroke-width="2.4" stroke-linecap="round"/><path d="M17 22c-6 1-10-2-12-6 5-1 10 1 12 6zM18 16c5 1 9-1 11-5-4-1-9 1-11 5z" fill="#5b9a63"/><g fill="#f2b705"><circle cx="22" cy="6" r="4.6"/><circle cx="12" cy="8" r="4.2"/><circle cx="6.5" cy="23" r="3.7"/><circle cx="26" cy="17.5" r="3.8"/></g></svg>';

/** An icon as Lumino draws them. */
const icon = {
  render(place: HTMLElement): void {
    Object.assign(place.style, { display: "flex", alignItems: "center", justifyContent: "center" });
    const drawn = new DOMParser().parseFromString(SPRIG, "image/svg+xml").documentElement;
    place.replaceChildren(document.importNode(drawn, true));
  },
  unrender(place: HTMLElement): void {
    place.replaceChildren();
  },
};

export function makePanel(Widget: WidgetClass): unknown {
  class Panel extends Widget {
    private end: (() => void) | null = null;

    constructor(label: string, id: string, show: (node: HTMLElement) => Promise<() => void>) {
      super();
      this.id = id;
      this.title.label = label;
      this.title.caption = "Wattle";
      this.title.icon = icon;
      this.node.style.overflow = "hidden";
      void show(this.node).then(
        (end) => (this.isDisposed ? end() : (this.end = end)),
        () => (this.node.textContent = "Wattle's view could not be loaded from this server."),
      );
    }

    override dispose(): void {
      this.end?.();
      super.dispose();
    }
  }

  const server = () => [setting("baseUrl") || "/", setting("token")] as const;

  function open(app: App, address: string): void {
    const [baseUrl, token] = server();
    if (app.name !== "JupyterLab") {
      window.open(`${baseUrl}wattle#${address}`, "_blank", "noopener");
      return;
    }
    const id = `jupyter-wattle-${address}`;
    if (!document.getElementById(id)) {
      const tab = new Panel(address, id, async (node) => {
        const { mountRun } = await wattle();
        return mountRun(node, baseUrl, token, address);
      });
      tab.title.closable = true;
      app.shell.add(tab, "main");
    }
    app.shell.activateById(id);
  }

  return {
    id: "jupyter-wattle:panel",
    description: "A panel with the runs of this server.",
    autoStart: true,
    activate(app: App): void {
      const panel = new Panel("", "jupyter-wattle-panel", async (node) => {
        const { mountPanel } = await wattle();
        return mountPanel(node, ...server(), (address) => open(app, address));
      });
      app.shell.add(panel, "left", { rank: 620, type: "Wattle" });
    },
  };
}
