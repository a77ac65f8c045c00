/* A list of rows of one height, of which only those in sight exist. Browsers cannot lay out more than some millions of
   pixels: beyond that, the scroll bar stands for the rows in proportion. */

import { Component, type ComponentChildren } from "preact";

const TALLEST = 6_000_000;

interface Props {
  rows: number;
  rowHeight: number;
  label: string;
  /** Keep the end in sight as rows come. */
  follow?: boolean;
  role?: "list" | "log";
  render: (row: number) => ComponentChildren;
  /** Which rows are in sight. */
  onSight?: (first: number, last: number) => void;
  onFollow?: (follows: boolean) => void;
  /** Given to whoever moves the list. */
  hold?: (list: VirtualList) => void;
}

export class VirtualList extends Component<Props, { top: number; height: number }> {
  override state = { top: 0, height: 0 };
  private host: HTMLDivElement | null = null;
  private sizes: ResizeObserver | null = null;
  private own = 0;

  override componentDidMount(): void {
    this.props.hold?.(this);
    this.sizes = new ResizeObserver(() => {
      this.measure();
      this.stick();
    });
    if (this.host) this.sizes.observe(this.host);
    this.measure();
    this.stick();
  }

  override componentDidUpdate(before: Props): void {
    if (this.props.follow && (before.rows !== this.props.rows || !before.follow)) this.stick();
  }

  override componentWillUnmount(): void {
    this.sizes?.disconnect();
  }

  /** Bring a row into the middle of the sight. */
  reveal(row: number): void {
    const { first, visible } = this.window();
    if (row >= first + 1 && row < first + visible - 2) return;
    this.scrollTo(row - Math.floor(visible / 2));
  }

  /** The row at the upper edge. */
  scrollTo(row: number): void {
    if (!this.host) return;
    this.host.scrollTop = this.pixels(row);
    this.measure();
  }

  /** The first row in sight. */
  get top(): number {
    return this.window().first;
  }

  /** The content above has grown by so many rows: stay where we are. */
  shift(rows: number): void {
    if (this.host) this.scrollTo(this.window().first + rows);
  }

  private pixels(row: number): number {
    const { rows, rowHeight } = this.props;
    if (rows * rowHeight <= TALLEST) return row * rowHeight;
    const { height } = this.state;
    return (row / Math.max(1, rows - height / rowHeight)) * (TALLEST - height);
  }

  private window(): { first: number; visible: number; offset: number } {
    const { rows, rowHeight } = this.props;
    const { top, height } = this.state;
    const visible = Math.ceil(height / rowHeight) + 1;
    if (rows * rowHeight <= TALLEST) return { first: Math.floor(top / rowHeight), visible, offset: -(top % rowHeight) };
    const first = Math.round((top / Math.max(1, TALLEST - height)) * Math.max(0, rows - height / rowHeight));
    return { first, visible, offset: 0 };
  }

  private stick(): void {
    if (!this.host || !this.props.follow) return;
    this.host.scrollTop = this.host.scrollHeight;
    this.measure();
  }

  private measure(): void {
    if (!this.host) return;
    const [top, height] = [this.host.scrollTop, this.host.clientHeight];
    if (top !== this.state.top || height !== this.state.height) this.setState({ top, height }, () => this.told());
    else this.told();
  }

  private told(): void {
    const { first, visible } = this.window();
    this.props.onSight?.(first, Math.min(this.props.rows, first + visible));
  }

  private readonly scrolled = (): void => {
    if (!this.host) return;
    const { scrollTop, scrollHeight, clientHeight } = this.host;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 4;
    // Growing content scrolls too; only a person goes up.
    if (atEnd !== !!this.props.follow && (atEnd || scrollTop < this.own - 2)) this.props.onFollow?.(atEnd);
    this.own = scrollTop;
    this.measure();
  };

  override render({ rows, rowHeight, label, role, render }: Props) {
    const { first, visible, offset } = this.window();
    const last = Math.min(rows, first + visible);
    const shown: ComponentChildren[] = [];
    for (let row = Math.max(0, first); row < last; row++) shown.push(render(row));
    return (
      <div
        class="virtual"
        ref={(found) => void (this.host = found)}
        onScroll={this.scrolled}
        tabIndex={0}
        role={role ?? "list"}
        aria-label={label}
      >
        <div class="tall" style={{ height: `${Math.min(TALLEST, rows * rowHeight)}px` }}>
          <div class="shown" style={{ transform: `translateY(${Math.max(0, this.state.top + offset)}px)` }}>
            {shown}
          </div>
        </div>
      </div>
    );
  }
}
