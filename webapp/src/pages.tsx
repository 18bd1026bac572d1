// Which code draws which page. The overview of a unit, which links and bookmarks lead to, comes with the app; each other
// page is loaded when it is opened first, and charts with the pages that draw them.
import { type FunctionComponent, h, type VNode } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { Problem } from "./api/client";
import { PageTitle } from "./parts/PageTitle";
import { Trouble } from "./parts/Trouble";
import type { Route } from "./route";
import { ResolvePage } from "./unit/ResolvePage";
import { UnitPage } from "./unit/UnitPage";
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
    case "events":
      return drawing(await import("./events/EventsPage"), "EventsPage", { unit: at.unit });
    case "waveform":
      return drawing(await import("./waveform/WaveformPage"), "WaveformPage", { unit: at.unit, index: at.index });
    case "archive":
      return drawing(await import("./archive/ArchivePage"), "ArchivePage", {});
    case "recording":
      return drawing(await import("./archive/RecordingPage"), "RecordingPage", { id: at.id });
    default:
      return drawn(at) ?? (() => <Nowhere />);
  }
}

/** Return how a page is drawn whose code is here with the app. */
function drawn(at: Route): Draw | null {
  if (at.page === "resolve") return () => <ResolvePage unit={at.unit} rest={at.rest} />;
  return at.page === "unit" ? () => <UnitPage unit={at.unit} /> : null;
}

/** Begin to load what draws a page while it is asked who asks. A failure is met, and shown, when the page is drawn. */
export function preload(at: Route): void {
  loaded(at).catch(() => {});
}

function drawing<Name extends string, Props extends object>(
  module: Record<Name, FunctionComponent<Props>>,
  name: Name,
  props: Props,
): Draw {
  return () => h(module[name], props) as VNode;
}

const held = (of: Draw | null): { of: Draw } | null => of && { of };

export function Page({ at }: { at: Route }) {
  const [draw, setDraw] = useState(() => held(drawn(at)));
  const [problem, setProblem] = useState<Problem | null>(null);
  const load = (): void => {
    setProblem(null);
    loaded(at).then(
      (of) => setDraw(held(of)),
      // The relay is gone, or was upgraded, and has the page's code no more under that name.
      () => setProblem(new Problem("page-gone", 0, words.trouble.pageGone, "", null, {})),
    );
  };
  useLayoutEffect(() => {
    if (!draw) load();
  }, []);
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
