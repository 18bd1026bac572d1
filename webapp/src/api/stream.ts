// One stream of a unit's progress (server-sent events), opened again when it ends.

/** How far a read or a command is. */
export interface Step {
  kind: "begun" | "step" | "done" | "failed";
  /** What is read, by the relay's name for it. */
  resource: string;
  /** What is counted. */
  what?: string;
  done?: number;
  total?: number | null;
  error?: string;
  forced?: boolean;
}

const KINDS: readonly Step["kind"][] = ["begun", "step", "done", "failed"];
const AGAIN_MS = 5000;

/** Open the stream of an address; what is under way comes first, each time that it is opened. Returns how to stop. */
export function openStream(address: string, onStep: (step: Step) => void, onOpen?: () => void): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const open = (): void => {
    source = new EventSource(address);
    if (onOpen) source.addEventListener("open", onOpen);
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        onStep({ kind, ...(JSON.parse((event as MessageEvent<string>).data) as Omit<Step, "kind">) });
      });
    }
    const again = (): void => {
      source?.close();
      timer = setTimeout(open, AGAIN_MS);
    };
    // The relay ends the stream when it stops; without this the browser would reconnect at once, in vain.
    source.addEventListener("end", again);
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) again();
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}
