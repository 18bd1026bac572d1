// The five figures that people look for first.
import { air, ground } from "../parts/measures";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import type { Recording, WaveformForm } from "./decode";
import { type Analysis, figureText } from "./Results";
import { atText } from "./traces";

const text = words.waveform;
const GROUND = [
  ["Tran", "tran_in_s"],
  ["Vert", "vert_in_s"],
  ["Long", "long_in_s"],
] as const;

interface Props {
  form: WaveformForm;
  recording: Recording;
  /** What the samples amount to; null: not here yet, or not to be had. */
  analysis: Analysis | null;
}

/** As the unit itself reported them. A value at the end of the range was at least that. */
export function FigureRow({ form: { peaks, geo_range_in_s: range }, recording, analysis }: Props) {
  const at = (name: string): string => {
    const time = recording.channels.find((channel) => channel.name === name)?.peakTimeS ?? null;
    const hz = analysis?.channels[name]?.vendor?.zc_frequency;
    const found = [
      ...(hz && (hz.value !== null || hz.bound) ? [figureText(hz, range)] : []),
      ...(time === null ? [] : [text.figureAt(atText(time, "s"))]),
    ];
    return found.length ? `, ${found.join(" ")}` : "";
  };
  const velocity = (value: number | null, bound: string | null | undefined) =>
    (value === null ? "" : (bound ?? "")) + ground(value, unitsOf.value, range);
  return (
    <dl class="figures">
      <Figure
        value={velocity(peaks.vector_sum_in_s, peaks.bound.vector_sum_in_s)}
        name={text.pvsName}
        isOver={Boolean(peaks.bound.vector_sum_in_s)}
      />
      {GROUND.map(([name, field]) => (
        <Figure
          key={name}
          value={velocity(peaks[field], peaks.bound[field])}
          name={`${text.ppv(name)}${at(name)}`}
          isOver={Boolean(peaks.bound[field])}
        />
      ))}
      <Figure
        value={(peaks.mic_psi ? (peaks.bound.mic_psi ?? "") : "") + air(peaks.mic_psi || null, airUnits.value)}
        name={`${text.micPeak}${at("MicL")}`}
        isOver={Boolean(peaks.bound.mic_psi)}
      />
    </dl>
  );
}

function Figure({ value, name, isOver }: { value: string; name: string; isOver: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={isOver ? "over-range" : undefined}>{value}</dd>
    </div>
  );
}
