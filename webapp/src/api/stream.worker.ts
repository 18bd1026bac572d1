// The shared worker that has one stream for each unit that any tab of this browser follows.

import { LEASE_MS } from "./lease";
import { SharedStreams } from "./shared";
import { openStream } from "./stream";

type Message = { is: "follow"; id: string; address: string } | { is: "leave"; id: string } | { is: "gone" };

const streams = new SharedStreams(openStream, () => performance.now());

function onConnect({ ports }: MessageEvent): void {
  const port = ports[0]!;
  const own = new Set<string>();
  port.onmessage = ({ data }: MessageEvent<Message>): void => {
    if (data.is === "follow") {
      own.add(data.id);
      streams.follow(data.address, data.id, (step) => port.postMessage({ id: data.id, step }));
    } else if (data.is === "leave") streams.leave(data.id);
    else for (const id of own) streams.leave(id);
  };
}

addEventListener("connect", (event) => onConnect(event as MessageEvent));
// A hidden tab's timers may run once a minute only.
setInterval(() => streams.prune(8 * LEASE_MS), LEASE_MS);
