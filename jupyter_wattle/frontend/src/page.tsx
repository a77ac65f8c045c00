/* The page `/wattle`. The hash says what is shown: nothing (the workflows), `runs`, or an address. */

import { Component } from "preact";
import type { Health, Source } from "./api";
import { makeRoot } from "./root";
import { restSource } from "./source/rest";
import { encode, plain, plural } from "./text";
import { Sprig } from "./view/brand";
import { Form } from "./view/form";
import { Lists, Runs } from "./view/lists";
import { RunView } from "./view/run";

interface Route {
  kind: "workflows" | "runs" | "run" | "form";
  address: string;
  worker: string;
}

/** What a hash asks for. */
export function routeOf(hash: string): Route {
  const text = decode(hash.replace(/^#/, ""));
  if (!text) return { kind: "workflows", address: "", worker: "" };
  if (text === "?runs") return { kind: "runs", address: "", worker: "" };
  if (text === "?new") return { kind: "form", address: "", worker: "" };
  if (text.endsWith("?edit")) return { kind: "form", address: text.slice(0, -5), worker: "" };
  const [address, worker] = text.split("/");
  return { kind: "run", address: address ?? "", worker: worker ?? "" };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

class Page extends Component<
  { source: Source; baseUrl: string; version: string },
  { route: Route; health: Health | null }
> {
  override state = { route: routeOf(location.hash), health: null as Health | null };
  private readonly turned = () => this.setState({ route: routeOf(location.hash) });

  override componentDidMount(): void {
    addEventListener("hashchange", this.turned);
    void this.look();
  }

  private async look(): Promise<void> {
    try {
      this.setState({ health: await this.props.source.ask("get_health", {}) });
    } catch {
      window.setTimeout(() => void this.look(), 2000);
    }
  }

  private readonly open = (address: string, worker = ""): void => {
    location.hash = encode(worker ? `${address}/${worker}` : address);
  };

  override render(
    { source, baseUrl, version }: { source: Source; baseUrl: string; version: string },
    { route, health }: { route: Route; health: Health | null },
  ) {
    const here = (kind: string) => (route.kind === kind ? "page" : undefined);
    return (
      <div class="page">
        <header class="top">
          <h1>
            <a class="brand" href="#">
              <Sprig /> Wattle
            </a>
          </h1>
          <nav aria-label="Views">
            <a href="#" aria-current={here("workflows")}>
              Workflows
            </a>
            <a href="#?runs" aria-current={here("runs")}>
              Runs
            </a>
            <a href="#?new" aria-current={route.kind === "form" && !route.address ? "page" : undefined}>
              New
            </a>
          </nav>
          <span class="spring" />
          <span class="dim">
            {health
              ? `${version} · ${health.rank} on process ${health.pid} · ${plural(health.unfinished_runs, "unfinished run")}`
              : version}
          </span>
          <a href={`${baseUrl}api/wattle/docs`}>API</a>
          <a href={`${baseUrl}api/wattle/metrics`}>metrics</a>
        </header>
        <main class="content">
          {route.kind === "run" ? (
            this.run(route)
          ) : route.kind === "form" ? (
            <Form key={route.address} source={source} workflow={route.address} fill onSaved={this.open} />
          ) : (
            <div class="sheet">
              <Lists source={source} what={route.kind} link={(address) => `#${encode(address)}`} onOpen={this.open} />
            </div>
          )}
        </main>
      </div>
    );
  }

  private run({ address, worker }: Route) {
    const workflow = address.split("@")[0] ?? address;
    return (
      <>
        <div class="crumbs">
          <a href="#">workflows</a> / <a href={`#${encode(workflow)}`}>{plain(workflow)}</a>
          <Runs source={this.props.source} workflow={workflow} current={address} />
          <span class="spring" />
          <a href={`#${encode(workflow)}?edit`}>edit</a>
        </div>
        <RunView source={this.props.source} address={address} worker={worker} fill titled onRun={this.open} />
      </>
    );
  }
}

/** Show the page in an element that says where the server is. */
export function mountPage(place: HTMLElement): () => void {
  const baseUrl = place.dataset["base"] ?? "/";
  const root = makeRoot(place, true);
  root.show(<Page source={restSource(baseUrl)} baseUrl={baseUrl} version={place.dataset["version"] ?? ""} />);
  return root.end;
}
