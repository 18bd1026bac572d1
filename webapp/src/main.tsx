import { signal } from "@preact/signals";
import { render } from "preact";
import { Problem } from "./api/client";
import { whoAsks } from "./api/session";
import { Page, preload } from "./pages";
import { Trouble } from "./parts/Trouble";
import { followPrinting, isNarrow } from "./parts/window";
import { followAddress, fragment, pathOf, route } from "./route";
import { Bar } from "./shell/Bar";
import { TokenDialog } from "./shell/TokenDialog";
import { Tools } from "./shell/Tools";
import { isMeKnown, me, noteSession, start, wantsToken } from "./state";
import "./style.css";
import { words } from "./words";

/** Why it is not known who asks. */
const problem = signal<Problem | null>(null);

function askWho(): void {
  whoAsks().then(
    (session) => {
      noteSession(session);
      problem.value = null;
    },
    (error: unknown) => {
      if (!(error instanceof Problem)) throw error;
      problem.value = error;
    },
  );
}

function App() {
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
        {problem.value && <Trouble problem={problem.value} retry={askWho} />}
        {/* After a sign-in each page is drawn anew for that role. */}
        {isMeKnown.value && role !== null && (
          <Page key={`${name}/${role}/${at.page}/${pathOf(fragment.peek())}`} at={at} />
        )}
      </main>
      {!isNarrow.value && <Tools />}
      {wantsToken.value && <TokenDialog />}
    </>
  );
}

followPrinting();
start();
followAddress();
// Before the first frame: nothing of use can be seen until the answer and the page's code are here.
askWho();
preload(route.peek());
render(<App />, document.getElementById("app")!);
