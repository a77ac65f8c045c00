/* A narrow place: what runs, and what ran. */

import { Component } from "preact";
import type { Source } from "../api";
import { Sprig } from "./brand";
import { Lists } from "./lists";

export class Panel extends Component<
  { source: Source; onOpen: (address: string) => void },
  { what: "runs" | "workflows" }
> {
  override state = { what: "runs" as "runs" | "workflows" };

  override render(
    { source, onOpen }: { source: Source; onOpen: (address: string) => void },
    { what }: { what: "runs" | "workflows" },
  ) {
    return (
      <div class="page panel">
        <header class="top">
          <span class="brand">
            <Sprig /> Wattle
          </span>
        </header>
        <div class="tabs" role="tablist">
          {(["runs", "workflows"] as const).map((name) => (
            <button
              type="button"
              role="tab"
              aria-selected={what === name}
              onClick={() => this.setState({ what: name })}
            >
              {name === "runs" ? "Runs" : "Workflows"}
            </button>
          ))}
        </div>
        <main class="content">
          <Lists source={source} what={what} narrow link={() => null} onOpen={onOpen} />
        </main>
      </div>
    );
  }
}
