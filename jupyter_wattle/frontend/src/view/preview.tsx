/* What an output holds, without opening it. Whatever it is, it comes as text or as a picture that runs nothing. */

import { Component } from "preact";
import { Refusal, type OutputPreview, type Source } from "../api";
import { bytes, plain } from "../text";
import { Copy } from "./buttons";

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"];

interface Props {
  source: Source;
  run: string;
  worker: string;
  port: string;
  /** Asked again when this changes. */
  version: string;
}

export class Preview extends Component<Props, { found: OutputPreview | null; error: string }> {
  override state = { found: null as OutputPreview | null, error: "" };
  private over = false;

  override componentDidMount(): void {
    void this.look();
  }

  override componentDidUpdate(before: Props): void {
    const own = this.props;
    if (
      before.run !== own.run ||
      before.worker !== own.worker ||
      before.port !== own.port ||
      before.version !== own.version
    )
      void this.look();
  }

  override componentWillUnmount(): void {
    this.over = true;
  }

  private async look(): Promise<void> {
    const { source, run, worker, port } = this.props;
    try {
      const found = await source.ask("preview_output", { workflow: run, worker, port });
      if (!this.over) this.setState({ found, error: "" });
    } catch (error) {
      if (!this.over && error instanceof Refusal && error.code !== "snapshot") this.setState({ error: error.message });
    }
  }

  override render(_: Props, { found, error }: { found: OutputPreview | null; error: string }) {
    if (error) return <p class="dim">{plain(error)}</p>;
    if (!found) return null;
    if (found.kind === "missing") return <p class="dim">not there yet</p>;
    return (
      <div class="preview">
        <p class="dim path">
          {bytes(found.size)} · <code title={found.path}>{plain(found.path)}</code>{" "}
          <Copy text={found.path} label="copy path" />
        </p>
        <Shown found={found} />
        {found.truncated && <p class="dim">The beginning of it; the rest is in the file.</p>}
      </div>
    );
  }
}

function Shown({ found }: { found: OutputPreview }) {
  if (found.kind === "image" && PICTURES.includes(found.media) && found.base64)
    return <img alt={`Output ${plain(found.port)}`} src={`data:${found.media};base64,${found.base64}`} />;
  if (found.kind === "json" && found.text !== null) return <pre>{pretty(found.text)}</pre>;
  if (found.kind === "binary") return <pre>{dump(found.base64 ?? "")}</pre>;
  if (found.kind === "folder") return <pre>{found.text || "an empty folder"}</pre>;
  return found.text ? <pre>{found.text}</pre> : <p class="dim">empty</p>;
}

/** JSON with line ends; as it was where that would be endless. */
export function pretty(text: string): string {
  if (text.length > 60000) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Bytes as `hexdump -C` shows them. */
export function dump(base64: string): string {
  const data = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.slice(at, at + 16)];
    const numbers = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${numbers.padEnd(47)}  ${letters}`);
  }
  return lines.join("\n");
}
