// How far reads and commands of a unit are, as the relay reports it. All tabs of a browser share one stream for each
// unit: a shared worker has it. A browser without shared workers (some phones) opens one for each tab.
import { addressOf, type Unit } from "./client";
import { keyOf } from "./device";
import { LEASE_MS } from "./lease";
import { openStream, type Step } from "./stream";

export type { Step } from "./stream";

let port: MessagePort | null | undefined;

function worker(): MessagePort | null {
  if (port !== undefined) return port;
  try {
    const shared = new SharedWorker(new URL("./stream.worker.ts", import.meta.url), {
      type: "module",
      name: "streams",
    });
    port = shared.port;
    port.start();
    addEventListener("pagehide", () => port?.postMessage({ is: "gone" }));
  } catch {
    port = null;
  }
  return port;
}

/** Follow a unit's reads. What was noted before comes first. Returns how to stop. */
export function follow(unit: Unit, onStep: (step: Step) => void): () => void {
  const address = addressOf("/device/progress", { ...unit });
  const shared = worker();
  if (!shared) return openStream(address, onStep);
  const id = `${keyOf(unit)} ${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  const heard = ({ data }: MessageEvent<{ id: string; step: Step }>): void => {
    if (data.id === id) onStep(data.step);
  };
  const lease = (): void => shared.postMessage({ is: "follow", id, address });
  shared.addEventListener("message", heard);
  lease();
  const timer = setInterval(lease, LEASE_MS);
  return () => {
    clearInterval(timer);
    shared.removeEventListener("message", heard);
    shared.postMessage({ is: "leave", id });
  };
}
