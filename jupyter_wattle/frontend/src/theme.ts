/* Light or dark: as the program around says, else as the system says. */

export type Theme = "light" | "dark";

/** The theme of the moment. */
export function themeNow(): Theme {
  const { dataset, classList } = document.body;
  if (dataset["jpThemeLight"]) return dataset["jpThemeLight"] === "false" ? "dark" : "light";
  if (classList.contains("vscode-dark") || classList.contains("vscode-high-contrast")) return "dark";
  if (classList.contains("vscode-light")) return "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Keep `data-theme` of an element true. Returns what ends it. */
export function watchTheme(element: HTMLElement): () => void {
  const set = () => (element.dataset["theme"] = themeNow());
  set();
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", set);
  const observer = new MutationObserver(set);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  return () => {
    query.removeEventListener("change", set);
    observer.disconnect();
  };
}
