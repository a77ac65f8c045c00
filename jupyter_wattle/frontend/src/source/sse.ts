/* Server-sent events from the bytes of an answer. */

export interface Frame {
  event: string;
  id: string;
  data: string;
}

/** Takes text as it comes, gives whole frames. */
export class FrameReader {
  private rest = "";

  push(text: string): Frame[] {
    this.rest += text;
    const frames: Frame[] = [];
    for (let end = this.rest.indexOf("\n\n"); end >= 0; end = this.rest.indexOf("\n\n")) {
      const frame = parse(this.rest.slice(0, end));
      this.rest = this.rest.slice(end + 2);
      if (frame) frames.push(frame);
    }
    return frames;
  }
}

function parse(block: string): Frame | null {
  const frame: Frame = { event: "message", id: "", data: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    const field = line.slice(0, colon);
    if (field === "event") frame.event = value;
    else if (field === "id") frame.id = value;
    else if (field === "data") data.push(value);
  }
  if (!data.length) return null;
  frame.data = data.join("\n");
  return frame;
}
