import { render } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { Problem } from "./api/client";
import { whoAsks } from "./api/session";
import { ArchivePage } from "./archive/ArchivePage";
import { RecordingPage } from "./archive/RecordingPage";
import { CachePage } from "./cache/CachePage";
import { CommandsPage } from "./commands/CommandsPage";
import { ConnectPage } from "./connect/ConnectPage";
import { EventsPage } from "./events/EventsPage";
import { Trouble } from "./parts/Trouble";
import { followAddress, route, type Route } from "./route";
import { Bar } from "./shell/Bar";
import { TokenDialog } from "./shell/TokenDialog";
import { isMeKnown, me, start, wantsToken } from "./state";
import "./style.css";
import { UnitPage } from "./unit/UnitPage";
import { WaveformPage } from "./waveform/WaveformPage";
import { words } from "./words";

function App() {
  const [problem, setProblem] = useState<Problem | null>(null);
  const ask = (): void => {
    whoAsks().then(
      () => setProblem(null),
      (error: unknown) => {
        if (!(error instanceof Problem)) throw error;
        setProblem(error);
      },
    );
  };
  // Before the first frame is painted: nothing of use can be seen until the answer is here.
  useLayoutEffect(ask, []);
  const at = route.value;
  const { name, role } = me.value;
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          // The fragment names the page, so the link must not set it.
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        {words.app.skip}
      </a>
      <Bar />
      <main id="main" tabIndex={-1}>
        {problem && <Trouble problem={problem} retry={ask} />}
        {/* After a sign-in each page is drawn anew for that role. */}
        {isMeKnown.value && role !== null && <Page key={`${name}/${role}`} at={at} />}
      </main>
      {wantsToken.value && <TokenDialog />}
    </>
  );
}

function Page({ at }: { at: Route }) {
  switch (at.page) {
    case "connect":
      return <ConnectPage />;
    case "cache":
      return <CachePage />;
    case "commands":
      return <CommandsPage unit={at.unit} />;
    case "unit":
      return <UnitPage unit={at.unit} />;
    case "events":
      return <EventsPage unit={at.unit} />;
    case "waveform":
      return <WaveformPage unit={at.unit} index={at.index} />;
    case "archive":
      return <ArchivePage />;
    case "recording":
      return <RecordingPage id={at.id} />;
    case "nowhere":
      return (
        <>
          <h1>{words.app.notFound}</h1>
          <p>
            <a href="#/">{words.app.notFoundNext}</a>
          </p>
        </>
      );
  }
}

start();
followAddress();
render(<App />, document.getElementById("app")!);
