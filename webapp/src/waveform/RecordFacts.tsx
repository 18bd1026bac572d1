// What is known of a record beside its samples, and where rate and range were said.
import { wordsOfViews } from "../words.views";
import type { WaveformForm } from "./decode";

const words = wordsOfViews.waveform;
const { unknown } = wordsOfViews.common;

export function RecordFacts({ form }: { form: WaveformForm }) {
  const { sample_rate_hz: rate, geo_range_in_s: range, samples, pretrigger_samples: before } = form;
  const facts: [string, string][] = [
    [words.key, form.waveform_key],
    [words.project, form.project ?? unknown],
    [words.rate1, rate === null ? unknown : `${rate} Hz, ${sourceText(form.sample_rate_source)}`],
    [words.range, range === null ? unknown : `${range} in/s, ${sourceText(form.geo_range_source)}`],
    [
      words.duration,
      rate === null ? unknown : words.durationText((samples / rate).toFixed(2), (before / rate).toFixed(2)),
    ],
    [words.samples, String(samples)],
    [words.mode, form.mode?.replace("_", " ") ?? unknown],
  ];
  return (
    <dl class="facts" aria-label={words.facts}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function sourceText(source: "event" | "setup" | null): string {
  return source === "event" ? words.fromEvent : source === "setup" ? words.fromSetup : unknown;
}
