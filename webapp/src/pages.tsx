// Which code draws which page. Each page is loaded when it is opened first; charts come with the pages that draw them.
import { type FunctionComponent, h, type VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Problem } from "./api/client";
import { PageTitle } from "./parts/PageTitle";
import { Trouble } from "./parts/Trouble";
import type { Route } from "./route";
import { words } from "./words";

type Draw = () => VNode;

/** Return how a page is drawn, once its code is here. */
async function loaded(at: Route): Promise<Draw> {
  switch (at.page) {
    case "connect":
      return drawing(await import("./connect/ConnectPage"), "ConnectPage", {});
    case "settings":
      return drawing(await import("./settings/SettingsPage"), "SettingsPage", {});
    case "cache":
      return drawing(await import("./cache/CachePage"), "CachePage", {});
    case "tokens":
      return drawing(await import("./settings/TokensPage"), "TokensPage", {});
    case "audit":
      return drawing(await import("./settings/AuditPage"), "AuditPage", {});
    case "commands":
      return drawing(await import("./commands/CommandsPage"), "CommandsPage", { unit: at.unit });
    case "resolve":
      return drawing(await import("./unit/ResolvePage"), "ResolvePage", { unit: at.unit, rest: at.rest });
    case "unit":
      return drawing(await import("./unit/UnitPage"), "UnitPage", { unit: at.unit });
    case "events":
      return drawing(await import("./events/EventsPage"), "EventsPage", { unit: at.unit });
    case "waveform":
      return drawing(await import("./waveform/WaveformPage"), "WaveformPage", { unit: at.unit, index: at.index });
    case "archive":
      return drawing(await import("./archive/ArchivePage"), "ArchivePage", {});
    case "recording":
      return drawing(await import("./archive/RecordingPage"), "RecordingPage", { id: at.id });
    case "nowhere":
      return () => <Nowhere />;
  }
}

/** Begin to load what draws a page while it is asked who asks. A failure is met, and shown, when the page is drawn. */
export function preload(at: Route): void {
  const pages: Route[] = at.page === "resolve" && at.rest === "" ? [at, { page: "unit", unit: at.unit }] : [at];
  for (const page of pages) loaded(page).catch(() => {});
}

function drawing<Name extends string, Props extends object>(
  module: Record<Name, FunctionComponent<Props>>,
  name: Name,
  props: Props,
): Draw {
  return () => h(module[name], props) as VNode;
}

export function Page({ at }: { at: Route }) {
  const [draw, setDraw] = useState<{ of: Draw } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const load = (): void => {
    setProblem(null);
    loaded(at).then(
      (of) => setDraw({ of }),
      // The relay is gone, or was upgraded, and has the page's code no more under that name.
      () => setProblem(new Problem("page-gone", 0, words.trouble.pageGone, "", null, {})),
    );
  };
  useEffect(load, []);
  if (problem) return <Trouble problem={problem} retry={() => location.reload()} />;
  return draw?.of() ?? null;
}

function Nowhere() {
  return (
    <>
      <PageTitle title={words.app.notFound} />
      <p>
        <a href="#/">{words.app.notFoundNext}</a>
      </p>
    </>
  );
}
