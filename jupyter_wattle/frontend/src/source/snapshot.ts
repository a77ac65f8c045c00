/* Nobody to ask: a picture that was saved, and the sentence that says so. */

import { Refusal, type Follower, type Operation, type ReplyOf, type RequestOf, type Source } from "../api";

export class SnapshotSource implements Source {
  readonly live = false;

  constructor(readonly note: string) {}

  ask<O extends Operation>(_operation: O, _request: RequestOf<O>): Promise<ReplyOf<O>> {
    return Promise.reject(new Refusal("snapshot", this.note, ""));
  }

  follow(_topic: string, _follower: Follower): () => void {
    return () => undefined;
  }
}
