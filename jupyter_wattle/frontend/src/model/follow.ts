/* A run that is followed: its picture is fetched once, its changes come, what its workers say of themselves is asked for
   while somebody looks. Views that show the same run share one of these. */

import { Refusal, type RunChange, type Source } from "../api";
import { RunModel } from "./run";

const PROGRESS_MS = 1000;

export class FollowedRun {
  readonly model = new RunModel();
  /** `etl@12`, once it is known; the definition's own name while there is no run. */
  address: string;
  error: Refusal | null = null;
  there = true;
  private leave: () => void = () => undefined;
  private timer = 0;
  private over = false;

  constructor(
    private readonly source: Source,
    wanted: string,
    private readonly changed: () => void,
  ) {
    this.address = wanted;
    this.model.listen(changed);
  }

  async start(): Promise<void> {
    if (!this.source.live) return;
    try {
      if (!this.address.includes("@")) await this.latest();
      if (this.over) return;
      const graph = await this.source.ask("get_graph", { workflow: this.address });
      if (this.over) return;
      this.model.setGraph(graph);
      if (this.address.includes("@")) this.follow();
    } catch (error) {
      if (error instanceof Refusal) this.error = error;
      else throw error;
      this.changed();
    }
  }

  end(): void {
    this.over = true;
    clearInterval(this.timer);
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
