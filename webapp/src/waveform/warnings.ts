// What speaks against an event, in words, for the top of its page, its picture and its paper.
import { isCredible, unitTimeText } from "../events/stamps";
import { words } from "../words";
import { decoded, missing, type WaveformForm } from "./decode";

const text = words.waveform;

export function warningsOf(form: WaveformForm, simulated: boolean): string[] {
  const channels = Object.entries(form.channels).flatMap(([name, channel]) => (channel ? [{ name, ...channel }] : []));
  const over = channels.filter(({ bound }) => bound).map(({ name }) => name);
  const recording = decoded(form);
  const partial = missing(recording);
  const valid = recording.channels.map(({ name }, i) =>
    text.validSamples(name, recording.validSamples[i] ?? 0, recording.samples),
  );
  return [
    ...(simulated ? [`${words.app.simulated}: ${words.app.simulatedWhy}`] : []),
    ...(over.length ? [text.overRange(over.join(", "))] : []),
    ...(partial > 0 ? [text.partial(partial, valid.join(", "))] : []),
    ...form.reasons.map(({ code, detail }) => text.reasons[code] ?? `${text.notGood} ${detail}`),
    ...(channels.some(({ flags }) => flags.includes("scale_unconfirmed")) ? [text.unconfirmed] : []),
    ...(form.geo_range_in_s === null ? [text.rangeUnknown] : []),
    ...(form.timestamp === null ? [text.clockUnknown] : []),
    ...(form.timestamp !== null && !isCredible(form.timestamp) ? [text.clockOdd(unitTimeText(form.timestamp)!)] : []),
  ];
}
