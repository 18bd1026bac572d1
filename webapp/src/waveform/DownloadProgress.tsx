// How far the read from the unit is, and how to stop waiting for it.
import { bytes, duration } from "../parts/measures";
import { wordsOfViews } from "../words.views";
import { leftS, rateOf, type Progress } from "./progress";

const words = wordsOfViews.waveform;

export function DownloadProgress({ progress, onCancel }: { progress: Progress; onCancel: () => void }) {
  const { totalBytes, doneBytes } = progress;
  return (
    <section class="download" aria-label={words.progress}>
      {/* Without a value the bar says that something is under way, and not how far it is. */}
      <progress aria-label={words.progress} max={1} {...(totalBytes ? { value: Math.min(1, doneBytes / totalBytes) } : {})} />
      <p role="status">{progressText(progress)}</p>
      <button type="button" onClick={onCancel}>{words.cancel}</button>
    </section>
  );
}

function progressText(progress: Progress): string {
  if (progress.phase === "waiting") return words.waiting;
  if (progress.phase === "list") return words.list(progress.events);
  const { chunks, doneBytes, totalBytes } = progress;
  if (totalBytes !== null && doneBytes >= totalBytes) return words.finished;
  const total = totalBytes === null ? wordsOfViews.common.unknown : bytes(totalBytes);
  const [rate, left] = [rateOf(progress), leftS(progress)];
  return [
    words.chunks(chunks, bytes(doneBytes), total),
    ...(rate === null ? [] : [words.rate(bytes(Math.round(rate)))]),
    left === null ? words.leftUnknown : words.left(duration(Math.ceil(left))),
  ].join(", ");
}
