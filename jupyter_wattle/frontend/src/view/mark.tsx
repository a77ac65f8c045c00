/* The mark of a state: a shape for each, so that colour is never the only sign. Sixteen units wide and high. */

import type { Look } from "../model/status";
import { word } from "../model/status";

const OCTAGON = "M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z";

function Shape({ look }: { look: Look }) {
  switch (look) {
    case "completed":
      return (
        <>
          <circle class="fill" cx="8" cy="8" r="7" />
          <path class="sign" d="M4.7 8.3 7 10.6l4.4-4.9" />
        </>
      );
    case "reused":
      return (
        <>
          <rect class="fill" x="1.5" y="1.5" width="13" height="13" rx="3.5" />
          <path class="sign" d="M4.8 5.6h6.4M4.8 8h6.4M4.8 10.4h6.4" />
        </>
      );
    case "running":
      return (
        <>
          <circle class="ring" cx="8" cy="8" r="6.2" />
          <path class="arc" d="M8 1.8a6.2 6.2 0 0 1 6.2 6.2" />
          <path class="fill" d="M6.3 5.2v5.6l4.6-2.8z" />
        </>
      );
    case "starting":
      return (
        <>
          <circle class="ring" cx="8" cy="8" r="6.2" />
          <path class="arc" d="M8 1.8a6.2 6.2 0 0 1 6.2 6.2" />
          <circle class="fill" cx="8" cy="8" r="2" />
        </>
      );
    case "failed":
      return (
        <>
          <path class="fill" d={OCTAGON} />
          <path class="sign" d="m5.5 5.5 5 5m0-5-5 5" />
        </>
      );
    case "lost":
      return (
        <>
          <path class="fill" d={OCTAGON} />
          <path class="sign" d="M6 6.1c.2-1.2 1-1.8 2-1.8 1.2 0 2.1.8 2.1 1.9 0 1.5-2.1 1.6-2.1 3M8 11.6v.1" />
        </>
      );
    case "cancelled":
      return (
        <>
          <circle class="line" cx="8" cy="8" r="6.2" />
          <path class="line" d="m3.8 12.2 8.4-8.4" />
        </>
      );
    case "retrying":
      return <path class="line" d="M13.3 5.5A6 6 0 1 0 14 8.6M13.6 2.2v3.6H10" />;
    case "stopping":
      return (
        <>
          <circle class="line" cx="8" cy="8" r="6.2" />
          <rect class="fill" x="5.5" y="5.5" width="5" height="5" rx="1" />
        </>
      );
    case "ready":
      return (
        <>
          <circle class="line" cx="8" cy="8" r="6.2" />
          <circle class="fill" cx="8" cy="8" r="2" />
        </>
      );
    default:
      return <circle class="line dash" cx="8" cy="8" r="6.2" />;
  }
}

/** Inside a picture. */
export function MarkShape({ look }: { look: Look }) {
  return (
    <g class={`mark ${look}`}>
      <Shape look={look} />
    </g>
  );
}

/** In a text; read aloud as the word. */
export function Mark({ look, silent }: { look: Look; silent?: boolean }) {
  return (
    <svg
      class={`mark ${look}`}
      viewBox="0 0 16 16"
      role="img"
      aria-hidden={silent ? "true" : undefined}
      aria-label={word(look)}
    >
      <Shape look={look} />
    </svg>
  );
}

/** What kind of program a worker is. */
export function kindPath(kind: string): string {
  if (kind === "notebook") return "M3 1.5h8.5v11H3zM5.5 1.5v11M7.5 4.5h2.5";
  if (kind === "cell") return "M2 3h10v8H2zM4.5 5.5 6 7l-1.5 1.5M7.5 8.7h2.3";
  if (kind === "script") return "M3 2.5h8M3 5.5h6M3 8.5h8M3 11.5h4";
  return "m2.5 4 3 3-3 3M7.5 10.5H12";
}
