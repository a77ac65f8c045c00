/* The instances of a group, or the workers of a folded level: which state, how long, and the way to each. */

import { Component } from "preact";
import type { Status, WorkerState } from "../api";
import { lookOf, ORDER, word } from "../model/status";
import { count, plain } from "../text";
import { workerCaption } from "./dag";
import { Mark } from "./mark";
import { VirtualList } from "./virtual";

interface Props {
  title: string;
  workers: WorkerState[];
  now: number;
  onPick: (worker: string) => void;
  onClose: () => void;
}

export class Members extends Component<Props, { words: string; only: Status | "" }> {
  override state = { words: "", only: "" as Status | "" };

  override render(
    { title, workers, now, onPick, onClose }: Props,
    { words, only }: { words: string; only: Status | "" },
  ) {
    const wanted = words.toLowerCase();
    const shown = workers.filter((one) => (!only || one.status === only) && one.name.toLowerCase().includes(wanted));
    return (
      <aside class="detail" aria-label={plain(title)}>
        <header>
          <h3>{plain(title)}</h3>
          <span class="dim">{count(workers.length)}</span>
          <span class="spring" />
          <button type="button" class="small" aria-label="Close" title="Close" onClick={onClose}>
            ✕
          </button>
        </header>
        <div class="bar">
          <label class="search">
            <span class="unseen">Filter by name</span>
            <input
              type="search"
              placeholder="Filter"
              value={words}
              spellcheck={false}
              onInput={(event) => this.setState({ words: event.currentTarget.value })}
            />
          </label>
          <div class="choice" role="group" aria-label="States">
            {ORDER.filter((status) => workers.some((one) => one.status === status)).map((status) => (
              <button
                type="button"
                aria-pressed={only === status}
                onClick={() => this.setState({ only: only === status ? "" : status })}
              >
                <Mark look={status} silent /> {count(workers.filter((one) => one.status === status).length)}
                <span class="unseen"> {word(status)}</span>
              </button>
            ))}
          </div>
        </div>
        <VirtualList
          rows={shown.length}
          rowHeight={28}
          label="Workers"
          render={(at) => {
            const worker = shown[at];
            return worker ? (
              <div role="listitem" key={worker.name}>
                <button type="button" class="member" onClick={() => onPick(worker.name)}>
                  <Mark look={lookOf(worker)} /> <span class="grow">{plain(worker.name)}</span>{" "}
                  <span class="dim">{plain(workerCaption(worker, now))}</span>
                </button>
              </div>
            ) : null;
          }}
        />
      </aside>
    );
  }
}
