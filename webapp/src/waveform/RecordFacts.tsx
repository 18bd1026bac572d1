// What is known of a record beside its samples, and the sources of rate and range.
import { Facts } from "../parts/Facts";
import { words } from "../words";
import type { WaveformForm } from "./decode";

const text = words.waveform;

export function RecordFacts({ form }: { form: WaveformForm }) {
  const { sample_rate_hz: rate, geo_range_in_s: range, samples, pretrigger_samples: before } = form;
  return (
    <Facts
      facts={[
        [text.key, <code>{form.waveform_key}</code>],
        [text.project, form.project],
        [text.sampleRate, rate === null ? null : `${rate} Hz, ${sourceText(form.sample_rate_source)}`],
        [text.range, range === null ? null : `${range} in/s, ${sourceText(form.geo_range_source)}`],
        [
          text.duration,
          rate === null ? null : text.durationText((samples / rate).toFixed(2), (before / rate).toFixed(2)),
        ],
        [text.samples, samples],
        [text.sensorCheck, null],
        [text.mode, form.mode?.replace("_", " ")],
      ]}
    />
  );
}

function sourceText(source: "event" | "setup" | null): string {
  if (source === null) return words.app.unknown;
  return source === "event" ? text.fromEvent : text.fromSetup;
}
