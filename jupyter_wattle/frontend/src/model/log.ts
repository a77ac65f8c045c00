/* A log of any size as rows that can be asked for by number.

   A log is a list of pieces in the order in which a reader should see them: text, gaps (bytes that are on the server
   and not here) and bytes that are no text. The text of pieces that nobody looks at is given back when there is too
   much of it; such a piece keeps its number of rows, so nothing moves, and its bytes are fetched again when it is
   looked at.

   Laws: every byte is in exactly one piece; a row is found in O(log pieces); nothing here waits or fetches. */

import type { LogChunk } from "../api";

export const TEXT_ROOM = 96 << 20;
/** Characters of a row that are shown; a line may be endless. */
export const LONGEST_ROW = 4000;
const GATHERED = 64 << 10;

export interface Piece {
  kind: "text" | "gap" | "binary" | "attempt";
  attempt: number;
  stream: string;
  from: number;
  to: number;
  /** Null when it was given back. */
  text: string | null;
  /** Where each row begins in the text. */
  starts: Uint32Array | null;
  rows: number;
  /** The first bytes of what is no text. */
  head?: Uint8Array;
  used: number;
}

export interface Row {
  piece: Piece;
  /** The number in the piece. */
  at: number;
  text: string;
}

export class LogModel {
  readonly pieces: Piece[] = [];
  /** Rows before each piece; made anew when it is asked for after a change. */
  private sums: number[] = [];
  private stale = true;
  private kept = 0;
  private clockwork = 0;
  private readonly ends = new Map<string, number>();
  streams = new Set<string>();

  /** What a stream or a reply brought, in order. */
  append(chunk: LogChunk): void {
    if (!chunk.stream) return;
    this.streams.add(chunk.stream);
    const key = `${chunk.attempt}.${chunk.stream}`;
    if (chunk.attempt > 1 && !this.pieces.some((piece) => piece.attempt === chunk.attempt))
      this.pieces.push(marker("attempt", chunk, chunk.from_offset, chunk.from_offset));
    const known = this.ends.get(key) ?? 0;
    if (chunk.to_offset <= known) return; // seen already
    if (chunk.from_offset < known) return this.append(behind(chunk, known));
    if (chunk.from_offset > known) this.pieces.push(marker("gap", chunk, known, chunk.from_offset));
    this.ends.set(key, chunk.to_offset);
    this.add(chunk);
    this.stale = true;
    this.trim();
  }

  private add(chunk: LogChunk): void {
    const { text, head } = decoded(chunk);
    const last = this.pieces.at(-1);
    if (text === null) {
      const bytes = marker("binary", chunk, chunk.from_offset, chunk.to_offset);
      if (head) bytes.head = head;
      this.pieces.push(bytes);
    } else if (
      last?.kind === "text" &&
      last.text !== null &&
      joins(last, chunk) &&
      (last.text.length < GATHERED || !last.text.endsWith("\n"))
    ) {
      this.kept += text.length;
      last.text += text;
      last.to = chunk.to_offset;
      index(last);
    } else this.pieces.push(this.made(chunk, text));
  }

  private made(where: Pick<LogChunk, "attempt" | "stream" | "from_offset" | "to_offset">, text: string): Piece {
    const piece = marker("text", where, where.from_offset, where.to_offset);
    piece.text = text;
    index(piece);
    this.kept += text.length;
    return piece;
  }

  /** Bytes of a gap, or of a piece that was given back, have come. What is left of a gap stays one. */
  fill(piece: Piece, chunk: LogChunk): void {
    const at = this.pieces.indexOf(piece);
    if (at < 0) return;
    const { text, head } = decoded(chunk);
    if (piece.kind === "text") {
      if (text !== null && piece.text === null) {
        piece.text = text;
        index(piece);
        this.kept += text.length;
      }
      this.stale = true;
      return this.trim();
    }
    let [from, shown] = [chunk.from_offset, text];
    if (shown !== null && from > piece.from) {
      // The range began anywhere: what is before its first line end belongs to a line that began earlier.
      const cut = shown.indexOf("\n") + 1;
      if (cut > 0 && cut < shown.length) {
        from += new TextEncoder().encode(shown.slice(0, cut)).length;
        shown = shown.slice(cut);
      }
    }
    const where = { attempt: piece.attempt, stream: piece.stream, from_offset: from, to_offset: chunk.to_offset };
    const parts: Piece[] = [];
    if (from > piece.from) parts.push(marker("gap", piece, piece.from, from));
    if (shown === null) {
      const bytes = marker("binary", piece, from, chunk.to_offset);
      if (head) bytes.head = head;
      parts.push(bytes);
    } else parts.push(this.made(where, shown));
    if (chunk.to_offset < piece.to) parts.push(marker("gap", piece, chunk.to_offset, piece.to));
    this.pieces.splice(at, 1, ...parts);
    this.stale = true;
    this.trim();
  }

  get rows(): number {
    this.count();
    return this.sums.at(-1) ?? 0;
  }

  get bytes(): number {
    let sum = 0;
    for (const end of this.ends.values()) sum += end;
    return sum;
  }

  /** A row by its number. */
  row(number: number): Row | null {
    this.count();
    let [low, high] = [0, this.pieces.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.sums[middle] ?? 0) > number) high = middle;
      else low = middle + 1;
    }
    const piece = this.pieces[low];
    if (!piece || number < 0 || number >= (this.sums[low] ?? 0)) return null;
    const at = number - (low ? (this.sums[low - 1] ?? 0) : 0);
    piece.used = ++this.clockwork;
    return { piece, at, text: textOf(piece, at) };
  }

  /** The number of a piece's first row. */
  first(piece: Piece): number {
    this.count();
    const at = this.pieces.indexOf(piece);
    return at > 0 ? (this.sums[at - 1] ?? 0) : 0;
  }

  /** Rows whose text contains the words, from the beginning; at most `most`. Pieces without text are not looked at. */
  find(words: string, most = 10000): number[] {
    const found: number[] = [];
    const wanted = words.toLowerCase();
    if (!wanted) return found;
    let before = 0;
    for (const piece of this.pieces) {
      if (piece.kind === "text" && piece.text !== null && piece.starts) {
        const text = piece.text.toLowerCase();
        let row = 0;
        for (let at = text.indexOf(wanted); at >= 0 && found.length < most; at = text.indexOf(wanted, at + 1)) {
          while (row + 1 < piece.rows && (piece.starts[row + 1] ?? 0) <= at) row += 1;
          if (found.at(-1) !== before + row) found.push(before + row);
        }
      }
      before += piece.rows;
    }
    return found;
  }

  private count(): void {
    if (!this.stale) return;
    let sum = 0;
    this.sums = this.pieces.map((piece) => (sum += piece.rows));
    this.stale = false;
  }

  /** Give back the text of what was looked at longest ago. */
  private trim(): void {
    if (this.kept <= TEXT_ROOM) return;
    const held = this.pieces.filter((piece) => piece.kind === "text" && piece.text !== null).slice(0, -4);
    held.sort((one, other) => one.used - other.used);
    for (const piece of held) {
      if (this.kept <= TEXT_ROOM * 0.75) return;
      this.kept -= piece.text?.length ?? 0;
      piece.text = piece.starts = null;
    }
  }
}

/** What of a chunk is behind an offset. */
function behind(chunk: LogChunk, offset: number): LogChunk {
  const skip = offset - chunk.from_offset;
  if (chunk.text === null) return { ...chunk, base64: btoa(atob(chunk.base64 ?? "").slice(skip)), from_offset: offset };
  return {
    ...chunk,
    text: new TextDecoder().decode(new TextEncoder().encode(chunk.text).slice(skip)),
    from_offset: offset,
  };
}

function marker(kind: Piece["kind"], where: { attempt: number; stream: string }, from: number, to: number): Piece {
  return { kind, attempt: where.attempt, stream: where.stream, from, to, text: null, starts: null, rows: 1, used: 0 };
}

function joins(piece: Piece, chunk: LogChunk): boolean {
  return piece.stream === chunk.stream && piece.attempt === chunk.attempt && piece.to === chunk.from_offset;
}

function index(piece: Piece): void {
  const text = piece.text ?? "";
  const starts: number[] = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1))
    if (at + 1 < text.length) starts.push(at + 1);
  piece.starts = Uint32Array.from(starts);
  piece.rows = starts.length;
}

function textOf(piece: Piece, at: number): string {
  if (piece.text === null || !piece.starts) return "";
  const from = piece.starts[at] ?? 0;
  const to = piece.starts[at + 1] ?? piece.text.length;
  return piece.text.slice(from, piece.text[to - 1] === "\n" ? to - 1 : to);
}

/** A chunk as text, if it is any: bytes that are not UTF-8 may be Latin-1, or begin in the middle of a character. */
export function decoded(chunk: Pick<LogChunk, "text" | "base64">): { text: string | null; head?: Uint8Array } {
  if (chunk.text !== null)
    return chunk.text.includes("\0")
      ? { text: null, head: new TextEncoder().encode(chunk.text.slice(0, 16)) }
      : { text: chunk.text };
  const data = Uint8Array.from(atob(chunk.base64 ?? ""), (char) => char.charCodeAt(0));
  let odd = 0;
  for (const byte of data) if (byte < 9 || (byte > 13 && byte < 32 && byte !== 27)) odd += 1;
  if (odd > data.length / 50 || data.includes(0)) return { text: null, head: data.slice(0, 16) };
  return { text: new TextDecoder().decode(data) };
}
