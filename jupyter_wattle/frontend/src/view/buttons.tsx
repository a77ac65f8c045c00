/* Buttons that do something on the server: busy while it is done, and asked again first where something would end. */

import { Component } from "preact";

interface Props {
  label: string;
  /** What is asked before; without it, the button acts at once. */
  question?: string;
  confirm?: string;
  kind?: "primary" | "danger" | "";
  title?: string;
  disabled?: boolean;
  act: () => Promise<void> | void;
}

export class Action extends Component<Props, { asked: boolean; busy: boolean }> {
  override state = { asked: false, busy: false };
  private over = false;
  private yes: HTMLButtonElement | null = null;

  override componentWillUnmount(): void {
    this.over = true;
  }

  private readonly act = async (): Promise<void> => {
    this.setState({ asked: false, busy: true });
    try {
      await this.props.act();
    } finally {
      if (!this.over) this.setState({ busy: false });
    }
  };

  private readonly ask = (): void => {
    if (this.props.question) this.setState({ asked: true }, () => this.yes?.focus());
    else void this.act();
  };

  override render(
    { label, question, confirm, kind, title, disabled }: Props,
    { asked, busy }: { asked: boolean; busy: boolean },
  ) {
    return (
      <span class="action">
        <button
          type="button"
          class={kind ?? ""}
          title={title ?? ""}
          disabled={busy || disabled}
          aria-busy={busy}
          onClick={this.ask}
        >
          {label}
        </button>
        {asked && (
          <span
            class="confirm"
            role="alertdialog"
            aria-label={question}
            onKeyDown={(event) => event.key === "Escape" && this.setState({ asked: false })}
          >
            <span>{question}</span>
            <button
              type="button"
              class="danger"
              ref={(found) => void (this.yes = found)}
              onClick={() => void this.act()}
            >
              {confirm ?? label}
            </button>
            <button type="button" onClick={() => this.setState({ asked: false })}>
              Leave it
            </button>
          </span>
        )}
      </span>
    );
  }
}

/** Copies a text and says so. */
export class Copy extends Component<{ text: string; label?: string }, { done: boolean }> {
  override state = { done: false };

  private readonly copy = (): void => {
    void navigator.clipboard?.writeText(this.props.text).then(() => {
      this.setState({ done: true });
      window.setTimeout(() => this.setState({ done: false }), 1500);
    });
  };

  override render({ label }: { text: string; label?: string }, { done }: { done: boolean }) {
    return (
      <button type="button" class="small" onClick={this.copy}>
        {done ? "copied" : (label ?? "copy")}
      </button>
    );
  }
}
