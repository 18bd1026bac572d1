// Other tabs of this browser: what one of them was answered, all may show, so that together they ask no more than one.
import type { Held } from "./answers";

interface Message {
  address: string;
  held: Held;
}

type Heard = (held: Held) => void;

const listeners = new Map<string, Set<Heard>>();
let channel: BroadcastChannel | null = null;

function opened(): BroadcastChannel | null {
  if (channel === null && typeof BroadcastChannel !== "undefined") {
    channel = new BroadcastChannel("seismo-relay");
    channel.onmessage = ({ data }: MessageEvent<Message>): void => {
      for (const heard of listeners.get(data.address) ?? []) heard(data.held);
    };
  }
  return channel;
}

/** Hear what other tabs are answered at an address. Returns how to stop. */
export function hear(address: string, heard: Heard): () => void {
  opened();
  const there = listeners.get(address) ?? new Set<Heard>();
  listeners.set(address, there.add(heard));
  return () => {
    there.delete(heard);
    if (!there.size) listeners.delete(address);
  };
}

export function tell(address: string, held: Held): void {
  opened()?.postMessage({ address, held } satisfies Message);
}
