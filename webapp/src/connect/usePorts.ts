import { useEffect, useState } from "preact/hooks";
import { ask, Problem, type Schemas } from "../api/client";
import { atLeast } from "../state";

/** Serial ports of the relay's machine that may be reached. Who may not ask, or hears nothing, types one. */
export function usePorts(): Schemas["PortOut"][] {
  const [ports, setPorts] = useState<Schemas["PortOut"][]>([]);
  useEffect(() => {
    if (!atLeast("operator")) return;
    const ending = new AbortController();
    ask<Schemas["PortsOut"]>("GET", "/ports", { signal: ending.signal }).then(
      ({ body }) => setPorts(body.ports),
      (error: unknown) => {
        if (!ending.signal.aborted && !(error instanceof Problem)) throw error;
      },
    );
    return () => ending.abort();
  }, []);
  return ports;
}
