/* What JupyterLab and Notebook 7 load: a container in the form of module federation, written by hand because all it has
   to share is one class of Lab's own. The module that draws is fetched when something is to be drawn.

   Law: nothing happens when this is loaded, or when a notebook is opened, but looking. */

import type * as Wattle from "../mount";
import { makePanel } from "./panel";
import { makeMime } from "./mime";

/** The part of `@lumino/widgets`' Widget that is used here. */
export interface LuminoWidget {
  readonly node: HTMLElement;
  readonly title: { label: string; caption: string; closable: boolean; icon: unknown };
  id: string;
  isDisposed: boolean;
  addClass(name: string): void;
  dispose(): void;
}
export type WidgetClass = new () => LuminoWidget;

interface Shared {
  get: () => Promise<() => unknown> | (() => unknown);
}
type Scope = Record<string, Record<string, Shared>>;

declare const WATTLE_MODULE: string;
const own = (document.currentScript as HTMLScriptElement | null)?.src ?? location.href;
let scope: Scope = {};

/** The page's configuration, as every Jupyter front end has it. */
export function setting(name: string): string {
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

/** The module that draws. */
export function wattle(): Promise<typeof Wattle> {
  return import(new URL(WATTLE_MODULE, own).href) as Promise<typeof Wattle>;
}

async function widgetClass(): Promise<WidgetClass> {
  const versions = Object.values(scope["@lumino/widgets"] ?? {});
  const found = versions.at(-1);
  if (!found) throw new Error("Wattle: this front end has no @lumino/widgets");
  return ((await found.get())() as { Widget: WidgetClass }).Widget;
}

const container = {
  init(given: Scope): void {
    scope = given;
  },
  async get(name: string): Promise<() => unknown> {
    const Widget = await widgetClass();
    const plugin = name === "./mime" ? makeMime(Widget) : makePanel(Widget);
    const module = { __esModule: true, default: plugin };
    return () => module;
  },
};

const page = globalThis as { _JUPYTERLAB?: Record<string, unknown> };
(page._JUPYTERLAB ??= {})["jupyter-wattle"] = container;
