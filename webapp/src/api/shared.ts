// Streams that several followers share: one for each address, open for as long as somebody follows.
import type { Step } from "./stream";

type Open = (address: string, onStep: (step: Step) => void, onOpen: () => void) => () => void;

interface Stream {
  followers: Map<string, { tell: (step: Step) => void; heardMs: number }>;
  /** What is under way, for those who come later: the last step of each resource. */
  underWay: Map<string, Step>;
  close: () => void;
}

export class SharedStreams {
  private readonly streams = new Map<string, Stream>();

  constructor(
    private readonly open: Open,
    private readonly nowMs: () => number,
  ) {}

  /** Follow an address, or go on following it. */
  follow(address: string, id: string, tell: (step: Step) => void): void {
    let stream = this.streams.get(address);
    if (!stream) {
      const followers: Stream["followers"] = new Map();
      const underWay: Stream["underWay"] = new Map();
      stream = { followers, underWay, close: () => {} };
      this.streams.set(address, stream);
      const onStep = (step: Step): void => {
        if (step.kind === "done" || step.kind === "failed") underWay.delete(step.resource);
        else underWay.set(step.resource, step);
        for (const one of followers.values()) one.tell(step);
      };
      stream.close = this.open(address, onStep, () => underWay.clear());
    }
    const isNew = !stream.followers.has(id);
    stream.followers.set(id, { tell, heardMs: this.nowMs() });
    if (isNew) for (const step of stream.underWay.values()) tell(step);
  }

  leave(id: string): void {
    for (const [address, { followers, close }] of this.streams) {
      if (followers.delete(id) && followers.size === 0) {
        close();
        this.streams.delete(address);
      }
    }
  }

  /** Let go of followers that were not heard of for so long. */
  prune(olderMs: number): void {
    const oldest = this.nowMs() - olderMs;
    for (const { followers } of this.streams.values()) {
      for (const [id, { heardMs }] of followers) if (heardMs < oldest) this.leave(id);
    }
  }

  get addresses(): string[] {
    return [...this.streams.keys()];
  }
}
