// How far the read from the unit is, for how long it has been waited for, and how to stop waiting.
import { bytes, duration } from "../parts/measures";
import { now } from "../state";
import { words } from "../words";
import { leftS, type Progress, rateOf } from "./progress";

const text = words.waveform;

interface Props {
  progress: Progress;
  sinceMs: number;
  onCancel: () => void;
}

export function DownloadProgress({ progress, sinceMs, onCancel }: Props) {
  const { totalBytes, doneBytes } = progress;
  return (
    <section class="download" aria-label={text.progress}>
      {/* Without a value the bar says that something is under way, and not how far it is. */}
      <progress
        aria-label={text.progress}
        max={1}
        {...(totalBytes ? { value: Math.min(1, doneBytes / totalBytes) } : {})}
      />
      <p role="status">{progressText(progress)}</p>
      <p>
        <span class="clock">{duration(Math.max(0, now.value - sinceMs) / 1000)}</span>{" "}
        <button type="button" onClick={onCancel}>
          {text.cancel}
        </button>
      </p>
    </section>
  );
}

function progressText(progress: Progress): string {
  if (progress.phase === "waiting") return text.waiting;
  if (progress.phase === "list") return text.list(progress.events);
  const { chunks, doneBytes, totalBytes } = progress;
  if (totalBytes !== null && doneBytes >= totalBytes) return text.finished;
  const total = totalBytes === null ? words.app.unknown : bytes(totalBytes);
  const [rate, left] = [rateOf(progress), leftS(progress)];
  return [
    text.chunks(chunks, bytes(doneBytes), total),
    ...(rate === null ? [] : [text.rate(bytes(Math.round(rate)))]),
    left === null ? text.leftUnknown : text.left(duration(Math.ceil(left))),
  ].join(", ");
}
