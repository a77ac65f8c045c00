/* A worker's log: what it says as it says it, and all that it ever said, by pieces. */

import { Component } from "preact";
import { Refusal, type LogChunk, type Source } from "../api";
import { isPlain, spans, stripped } from "../ansi";
import { Frame } from "../frame";
import { LogModel, LONGEST_ROW, type Piece } from "../model/log";
import { bytes, count, plain } from "../text";
import { VirtualList } from "./virtual";

const ROW = 18;
const RANGE = 512 << 10;

interface Props {
  source: Source;
  run: string;
  worker: string;
  /** Shown in the place of a log that cannot be. */
  idle?: string;
}

interface State {
  version: number;
  follow: boolean;
  only: "" | "stdout" | "stderr";
  words: string;
  hits: number[];
  hit: number;
  error: Refusal | null;
  there: boolean;
  ended: boolean;
  digging: boolean;
}

const FRESH: State = {
  version: 0,
  follow: true,
  only: "",
  words: "",
  hits: [],
  hit: -1,
  error: null,
  there: true,
  ended: false,
  digging: false,
};

export class LogView extends Component<Props, State> {
  override state: State = FRESH;
  private models = new Map<string, LogModel>();
  private position = "";
  private leave: () => void = () => undefined;
  private list: VirtualList | null = null;
  private readonly asked = new Set<Piece>();
  private readonly frame = new Frame(() =>
    this.setState((state) => ({ version: state.version + 1, ...this.searched(state.words) })),
  );

  override componentDidMount(): void {
    this.begin();
  }

  override componentDidUpdate(before: Props): void {
    if (before.run !== this.props.run || before.worker !== this.props.worker || before.source !== this.props.source) {
      this.leave();
      this.setState({ ...FRESH, words: "" });
      this.begin();
    }
  }

  override componentWillUnmount(): void {
    this.leave();
    this.frame.end();
  }

  private begin(): void {
    const { source, run, worker } = this.props;
    this.models = new Map(["", "stdout", "stderr"].map((name) => [name, new LogModel()]));
    this.position = "";
    this.leave = source.follow(`log:${run}/${worker}`, {
      place: () => this.position,
      message: (data, id) => {
        this.position = id;
        this.take(data as LogChunk);
      },
      ended: () => this.setState({ ended: true }),
      failed: (error) => this.setState({ error }),
      connected: (there) => this.setState({ there }),
    });
  }

  private take(chunk: LogChunk): void {
    this.models.get("")?.append(chunk);
    this.models.get(chunk.stream)?.append(chunk);
    this.frame.ask();
  }

  private get model(): LogModel {
    return this.models.get(this.state.only) ?? new LogModel();
  }

  private searched(words: string): Pick<State, "hits"> {
    return { hits: words ? this.model.find(words) : [] };
  }

  /** Fetch what is in sight and not here. */
  private readonly sight = (first: number, last: number): void => {
    for (let row = first; row < last; row++) {
      const piece = this.model.row(row)?.piece;
      if (
        piece &&
        ((piece.kind === "text" && piece.text === null) || (piece.kind === "gap" && this.state.follow === false))
      )
        void this.fetch(piece);
    }
  };

  /** Whether it has come. */
  private async fetch(piece: Piece): Promise<boolean> {
    if (this.asked.has(piece)) return false;
    this.asked.add(piece);
    const model = this.model;
    const { source, run, worker } = this.props;
    const from = piece.kind === "gap" ? Math.max(piece.from, piece.to - RANGE) : piece.from;
    try {
      const reply = await source.ask("read_logs", {
        workflow: run,
        worker,
        stream: piece.stream,
        attempt: piece.attempt,
        offset: from,
        limit: piece.to - from,
      });
      for (const chunk of reply.chunks) {
        const before = model.rows;
        const first = model.first(piece);
        model.fill(piece, chunk);
        const grown = model.rows - before;
        this.frame.ask();
        this.setState(
          (state) => ({ version: state.version + 1 }),
          () => {
            if (grown > 0 && !this.state.follow && this.list && first <= this.list.top) this.list.shift(grown);
          },
        );
      }
      return reply.chunks.length > 0;
    } catch (error) {
      if (error instanceof Refusal) this.setState({ error });
      return false;
    } finally {
      this.asked.delete(piece);
    }
  }

  /** Look for the words in what is not here, from the end to the beginning, until they are found. */
  private readonly dig = async (): Promise<void> => {
    const { words, only } = this.state;
    const known = this.state.hits.length;
    this.setState({ digging: true });
    for (let gap = this.gap(); gap && this.state.words === words && this.state.only === only; gap = this.gap()) {
      if (!(await this.fetch(gap)) || this.model.find(words).length > known) break;
    }
    if (this.state.words === words) this.search(words, 0);
    this.setState({ digging: false });
  };

  private gap(): Piece | undefined {
    return this.model.pieces.findLast((piece) => piece.kind === "gap");
  }

  /** Show the last hit, or the one that is said. */
  private readonly search = (words: string, hit?: number): void => {
    const hits = words ? this.model.find(words) : [];
    this.setState({ words, hits, hit: hits.length ? (hit ?? hits.length - 1) : -1 }, () => this.show());
  };

  private readonly step = (by: number): void => {
    const many = this.state.hits.length;
    if (many)
      this.setState(
        (state) => ({ hit: (state.hit + by + many) % many }),
        () => this.show(),
      );
  };

  private show(): void {
    const row = this.state.hits[this.state.hit];
    if (row === undefined) return;
    if (this.state.follow) this.setState({ follow: false }, () => this.list?.reveal(row));
    else this.list?.reveal(row);
  }

  override render(
    { worker, idle, source }: Props,
    { follow, only, words, hits, hit, error, there, ended, digging }: State,
  ) {
    const model = this.model;
    const both = (this.models.get("")?.streams.size ?? 0) > 1;
    const current = hits[hit];
    const gap = this.gap();
    return (
      <section class="log" aria-label={`Log of ${plain(worker)}`}>
        <div class="bar">
          {both && (
            <div class="choice" role="group" aria-label="Streams">
              {(["", "stdout", "stderr"] as const).map((name) => (
                <button
                  type="button"
                  aria-pressed={only === name}
                  onClick={() => this.setState({ only: name }, () => this.search(words))}
                >
                  {name || "both"}
                </button>
              ))}
            </div>
          )}
          <label class="search">
            <span class="unseen">Search the log</span>
            <input
              type="search"
              placeholder="Search"
              value={words}
              spellcheck={false}
              onInput={(event) => this.search(event.currentTarget.value)}
              onKeyDown={(event) => event.key === "Enter" && this.step(event.shiftKey ? 1 : -1)}
            />
          </label>
          {words && (
            <>
              <span class="dim" aria-live="polite">
                {hits.length ? `${count(hit + 1)} of ${count(hits.length)}` : "not found"}
              </span>
              <button type="button" class="small" aria-label="Previous hit" onClick={() => this.step(-1)}>
                ↑
              </button>
              <button type="button" class="small" aria-label="Next hit" onClick={() => this.step(1)}>
                ↓
              </button>
              {gap && (
                <button type="button" class="small" disabled={digging} onClick={() => void this.dig()}>
                  {digging ? "looking…" : `look in ${bytes(gap.to - gap.from)} before`}
                </button>
              )}
            </>
          )}
          <span class="spring" />
          <span class="dim">{model.rows ? `${bytes(model.bytes)}${ended ? "" : " so far"}` : ""}</span>
          <button
            type="button"
            class="small"
            aria-pressed={follow}
            title="Stay at the end of the log"
            onClick={() => this.setState({ follow: !follow })}
          >
            Follow
          </button>
        </div>
        {error && (
          <p class="problem" role="alert">
            {error.message} {error.hint}
          </p>
        )}
        {!there && <p class="note">The connection is gone; trying again.</p>}
        {model.rows ? (
          <VirtualList
            hold={(list) => (this.list = list)}
            rows={model.rows}
            rowHeight={ROW}
            follow={follow}
            role="log"
            label={`Log of ${plain(worker)}`}
            onFollow={(follows) => this.setState({ follow: follows })}
            onSight={this.sight}
            render={(row) => (
              <Line
                key={row}
                model={model}
                row={row}
                words={words}
                current={row === current}
                both={both && !only}
                onLoad={(piece) => void this.fetch(piece)}
              />
            )}
          />
        ) : (
          !error && (
            <p class="hint middle">
              {source.live
                ? (idle ?? (ended ? "It wrote nothing." : "Nothing yet."))
                : "The log is not in this snapshot."}
            </p>
          )
        )}
      </section>
    );
  }
}

interface LineProps {
  model: LogModel;
  row: number;
  words: string;
  current: boolean;
  both: boolean;
  onLoad: (piece: Piece) => void;
}

function Line({ model, row, words, current, both, onLoad }: LineProps) {
  const found = model.row(row);
  if (!found) return <div class="line" />;
  const { piece, text } = found;
  const size = piece.to - piece.from;
  if (piece.kind === "attempt") return <div class="line marker">attempt {piece.attempt}</div>;
  if (piece.kind === "gap")
    return (
      <div class="line marker">
        {bytes(size)} not shown{" "}
        <button type="button" onClick={() => onLoad(piece)}>
          load{size > RANGE ? ` ${bytes(RANGE)}` : ""}
        </button>
      </div>
    );
  if (piece.kind === "binary")
    return (
      <div class="line marker">
        {bytes(size)} that are no text: {hex(piece.head)}
      </div>
    );
  if (piece.text === null) return <div class="line dim">…</div>;
  return (
    <div class={`line${piece.stream === "stderr" && both ? " err" : ""}${current ? " current" : ""}`}>
      <Content text={text} words={words} />
    </div>
  );
}

function Content({ text, words }: { text: string; words: string }) {
  const more = text.length - LONGEST_ROW;
  const shown = more > 0 ? text.slice(0, LONGEST_ROW) : text;
  const rest = more > 0 ? <i class="dim"> … {count(more)} more characters on this line</i> : null;
  if (words && stripped(shown).toLowerCase().includes(words.toLowerCase()))
    return (
      <>
        {marked(stripped(shown), words)}
        {rest}
      </>
    );
  if (isPlain(shown))
    return (
      <>
        {shown || " "}
        {rest}
      </>
    );
  return (
    <>
      {spans(shown).map((span) => {
        if (!span.classes && !span.color && !span.background) return span.text;
        const style: Record<string, string> = {};
        if (span.color) style.color = span.color;
        if (span.background) style.backgroundColor = span.background;
        return (
          <span class={span.classes} style={style}>
            {span.text}
          </span>
        );
      })}
      {rest}
    </>
  );
}

function marked(text: string, words: string) {
  const parts = [];
  const [low, wanted] = [text.toLowerCase(), words.toLowerCase()];
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark>{text.slice(at, at + wanted.length)}</mark>);
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}

function hex(head: Uint8Array | undefined): string {
  return head ? `${[...head].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")} …` : "";
}
