/* A place of our own in somebody's page: a shadow root, so that neither's style reaches the other; Lab's shortcuts do
   not reach in either. */

import { render, type ComponentChild } from "preact";
import css from "./style.css";
import { watchTheme } from "./theme";

let sheet: CSSStyleSheet | null = null;

export interface Root {
  show: (content: ComponentChild) => void;
  end: () => void;
}

export function makeRoot(element: HTMLElement, fill: boolean): Root {
  const shadow = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
  }
  shadow.adoptedStyleSheets = [sheet];
  element.setAttribute("data-lm-suppress-shortcuts", "true");
  const place = document.createElement("div");
  place.className = fill ? "wattle filling" : "wattle";
  shadow.replaceChildren(place);
  const leave = watchTheme(place);
  return {
    show: (content) => render(content, place),
    end: () => {
      render(null, place);
      leave();
      shadow.replaceChildren();
    },
  };
}
