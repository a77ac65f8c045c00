/* The renderer of `application/vnd.wattle.run+json`: a saved picture at once, and what is true now as soon as the
   server says so, with a kernel or without. */

import type { Bundle } from "../mount";
import type { LuminoWidget, WidgetClass } from "./lab";
import { setting, wattle } from "./lab";

const MIME = "application/vnd.wattle.run+json";

interface Model {
  data: Record<string, unknown>;
}

export function makeMime(Widget: WidgetClass): unknown {
  class Renderer extends Widget {
    private view: { update: (bundle: Bundle) => void; end: () => void } | null = null;
    private bundle: Bundle | null = null;

    constructor() {
      super();
      this.addClass("jp-WattleView");
    }

    /** Called again when the kernel replaces the output. */
    async renderModel(model: Model): Promise<void> {
      this.bundle = model.data[MIME] as Bundle;
      if (this.view) return this.view.update(this.bundle);
      try {
        const { mountSaved } = await wattle();
        if (!this.isDisposed && !this.view)
          this.view = mountSaved(this.node, setting("baseUrl") || "/", setting("token"), this.bundle);
      } catch {
        this.node.textContent = "Wattle's view could not be loaded from this server.";
      }
    }

    override dispose(): void {
      this.view?.end();
      this.view = null;
      super.dispose();
    }
  }
  return {
    id: "jupyter-wattle:mime",
    description: "Shows runs of Wattle's workflows in notebooks.",
    rendererFactory: {
      safe: true,
      mimeTypes: [MIME],
      defaultRank: 0,
      createRenderer: (): LuminoWidget => new Renderer(),
    },
    rank: 0,
    dataType: "json",
  };
}
