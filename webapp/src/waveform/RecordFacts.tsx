// What is known of a record beside its samples, and where rate and range were said.
import { Facts } from "../parts/Facts";
import { wordsOfViews } from "../words.views";
import type { WaveformForm } from "./decode";

const words = wordsOfViews.waveform;

export function RecordFacts({ form }: { form: WaveformForm }) {
  const { sample_rate_hz: rate, geo_range_in_s: range, samples, pretrigger_samples: before } = form;
  return (
    <Facts
      facts={[
        [words.key, <code>{form.waveform_key}</code>],
        [words.project, form.project],
        [words.rate1, rate === null ? null : `${rate} Hz, ${sourceText(form.sample_rate_source)}`],
        [words.range, range === null ? null : `${range} in/s, ${sourceText(form.geo_range_source)}`],
        [words.duration, rate === null ? null : words.durationText((samples / rate).toFixed(2), (before / rate).toFixed(2))],
        [words.samples, samples],
        [words.mode, form.mode?.replace("_", " ")],
      ]}
    />
  );
}

function sourceText(source: "event" | "setup" | null): string {
  if (source === null) return wordsOfViews.common.unknown;
  return source === "event" ? words.fromEvent : words.fromSetup;
}
