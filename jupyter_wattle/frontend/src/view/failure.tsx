/* A failure, in the form that it has everywhere: what, when, its last words, and where to go from here. */

import { Component } from "preact";
import type { Source, WorkerState } from "../api";
import { lastWords } from "../model/failure";
import { reasonText } from "../model/status";
import { duration, plain } from "../text";
import { Action } from "./buttons";
import { Mark } from "./mark";

const LINES = 60;

interface Props {
  source: Source;
  run: string;
  worker: WorkerState;
  canRerun: boolean;
  onLog: () => void;
  onRerun: () => Promise<void>;
}

export class Failure extends Component<Props, { words: string[] }> {
  override state = { words: [] as string[] };
  private over = false;

  override componentDidMount(): void {
    void this.look();
  }

  override componentDidUpdate(before: Props): void {
    const [old, own] = [before.worker, this.props.worker];
    if (
      before.source !== this.props.source ||
      before.run !== this.props.run ||
      old.name !== own.name ||
      old.attempt !== own.attempt
    )
      void this.look();
  }

  override componentWillUnmount(): void {
    this.over = true;
  }

  private async look(): Promise<void> {
    const { source, run, worker } = this.props;
    if (!worker.attempt || !source.live) return;
    try {
      const reply = await source.ask("read_logs", { workflow: run, worker: worker.name, tail: LINES });
      const said: Record<string, string> = {};
      for (const chunk of reply.chunks) said[chunk.stream] = (said[chunk.stream] ?? "") + (chunk.text ?? "");
      if (!this.over)
        this.setState({ words: lastWords(said.stderr || said.stdout || "", worker.group ?? worker.name) });
    } catch {
      /* the block stands without its last words */
    }
  }

  override render({ run, worker, canRerun, onLog, onRerun }: Props, { words }: { words: string[] }) {
    const took = worker.started_at && worker.ended_at ? ` after ${duration(worker.ended_at - worker.started_at)}` : "";
    const allowed = Math.max(worker.attempts_allowed, worker.attempt);
    const reason = reasonText(worker);
    return (
      <div class="failure" role="group" aria-label={`${plain(worker.name)} failed`}>
        <p class="head">
          <Mark look={worker.reason === "lost" ? "lost" : "failed"} silent />
          <b>{plain(`${run}/${worker.name}`)}</b> <span class="failed">failed: {reason}</span>
          {took}
          {allowed > 1 ? ` (attempt ${worker.attempt} of ${allowed})` : ""}
          <span class="spring" />
          <button type="button" class="small" onClick={onLog}>
            Log
          </button>
          {canRerun && (
            <Action
              label="Rerun from here"
              title={`wattle rerun ${run} --from ${worker.group ?? worker.name}`}
              act={onRerun}
            />
          )}
        </p>
        {worker.message && worker.message !== reason && <p class="words">{plain(worker.message)}</p>}
        {words.length > 0 && <pre class="words">{words.join("\n")}</pre>}
      </div>
    );
  }
}
