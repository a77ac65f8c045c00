/* A run that is followed: its picture is fetched once, its changes come, what its workers say of themselves is asked
   for while somebody looks. Views that show the same run share one of these. */

import { Refusal, type EventLine, type RunChange, type Source } from "../api";
import { Frame } from "../frame";
import { RunModel } from "./run";

const PROGRESS_MS = 1000;
const REDRAW_MS = 1000;

export class FollowedRun {
  readonly model = new RunModel();
  /** `etl@12`, once it is known; the definition's own name while there is no run. */
  address: string;
  error: Refusal | null = null;
  there = true;
  private leave: () => void = () => undefined;
  private timer = 0;
  private over = false;
  private readonly redraw = new Frame(() => void this.draw(), REDRAW_MS);

  /** `definition`: the workflow as it is written, with what its latest run made of it, instead of that run. */
  constructor(
    private readonly source: Source,
    wanted: string,
    private readonly changed: () => void,
    readonly definition = false,
  ) {
    this.address = wanted;
    this.model.listen(changed);
  }

  async start(): Promise<void> {
    // What has ended, and is known whole, will not change.
    if (!this.source.live || (this.model.final && this.model.workers.length)) return;
    try {
      if (!this.address.includes("@") && !this.definition) await this.latest();
      await this.draw();
      if (this.over) return;
      if (this.address.includes("@")) this.follow();
      else this.listen();
    } catch (error) {
      if (error instanceof Refusal) this.error = error;
      else throw error;
      this.changed();
    }
  }

  private async draw(): Promise<void> {
    if (this.over) return;
    const graph = await this.source.ask("get_graph", { workflow: this.address });
    if (!this.over) this.model.setGraph(graph);
  }

  /** Runs of a definition leave their marks in its picture. */
  private listen(): void {
    let seen = "";
    this.leave = this.source.follow("events", {
      place: () => seen,
      message: (data, id) => {
        seen = id;
        if ((data as EventLine).address.split("@")[0] === this.address) this.redraw.ask();
      },
      ended: () => undefined,
      failed: () => undefined,
    });
  }

  end(): void {
    this.over = true;
    clearInterval(this.timer);
    this.redraw.end();
    this.leave();
  }

  /** The newest run of a workflow, if it has any. */
  private async latest(): Promise<void> {
    const listed = await this.source.ask("list_runs", { workflow: this.address, limit: 1 });
    const run = listed.runs[0];
    if (run) this.address = run.address;
  }

  private follow(): void {
    this.leave = this.source.follow(`run:${this.address}`, {
      place: () => (this.model.seq && this.model.workers.length ? String(this.model.seq) : ""),
      message: (data) => this.model.apply(data as RunChange),
      ended: () => this.changed(),
      failed: (error) => {
        this.error = error;
        this.changed();
      },
      connected: (there) => {
        this.there = there;
        this.changed();
      },
    });
    this.timer = window.setInterval(() => void this.progress(), PROGRESS_MS);
  }

  private async progress(): Promise<void> {
    if (document.visibilityState !== "visible" || this.model.final || !this.model.run?.counts.running) return;
    try {
      this.model.report(await this.source.ask("get_progress", { workflow: this.address }));
    } catch {
      /* an older coordinator has no such operation */
      clearInterval(this.timer);
    }
  }
}
