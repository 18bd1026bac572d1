// What the samples of an event amount to, by the vendor's rule and by the refined one, as the relay computed it.
import type { Schemas } from "../api/client";
import type { Resource } from "../data/resource";
import { decibelsOf, factorTo, MM_PER_INCH, numberText, PA_PER_PSI, sampleUnit } from "../parts/measures";
import { Table } from "../parts/Table";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";

const text = words.results;
const { unknown } = words.app;

export type Analysis = Pick<Schemas["DeviceAnalysisOut"], "channels" | "pvs" | "flags" | "notes">;
type Figure = Schemas["sfm__api__schemas__analysis__FigureOut"];

const CHANNELS = ["Tran", "Vert", "Long", "MicL"] as const;
const SETS = ["vendor", "refined"] as const;
const QUANTITIES = ["zc_frequency", "time_of_peak", "peak_acceleration", "peak_displacement"] as const;

/** As few decimals as tell two neighbouring steps apart; a step finer than a thousandth is more than people read. */
function decimals(step: number | null): number {
  if (step === null || step <= 0) return 2;
  return Math.min(4, Math.max(0, Math.ceil(-Math.log10(step))));
}

/** A figure as people read it, in the chosen unit of measure. */
export function figureText(figure: Figure | undefined, range: number | null): string {
  if (!figure) return "–";
  const value = figure.value ?? figure.limit ?? null;
  if (value === null) return words.app.unknown;
  const bound = figure.bound ?? "";
  if (figure.unit === "in/s" || figure.unit === "mm/s") {
    const inS = figure.unit === "mm/s" ? value / MM_PER_INCH : value;
    const shown = unitsOf.value === "mm/s" ? inS * MM_PER_INCH : inS;
    return `${bound}${numberText(shown, unitsOf.value, range)} ${unitsOf.value}`;
  }
  if (figure.unit === "psi" || figure.unit === "Pa") {
    const psi = figure.unit === "Pa" ? value / PA_PER_PSI : value;
    const level = airUnits.value === "dB(L)" ? decibelsOf(psi) : null;
    if (level !== null) return `${bound}${numberText(level, "dB(L)")} dB(L)`;
    const unit = airUnits.value === "psi" ? "psi" : "Pa";
    return `${bound}${numberText(unit === "psi" ? psi : psi * PA_PER_PSI, unit)} ${unit}`;
  }
  if (figure.unit === "in" || figure.unit === "mm") {
    const isMetric = unitsOf.value === "mm/s";
    const inches = figure.unit === "mm" ? value / MM_PER_INCH : value;
    return `${bound}${(isMetric ? inches * MM_PER_INCH : inches).toFixed(isMetric ? 3 : 4)} ${isMetric ? "mm" : "in"}`;
  }
  return `${bound}${value.toFixed(figure.unit === "Hz" ? Math.min(1, decimals(figure.step)) : decimals(figure.step))} ${figure.unit}`;
}

/** A Fourier amplitude, which is far smaller than a peak: three digits that count, in the chosen unit of measure. */
export function amplitudeText(figure: Figure | undefined): string {
  if (!figure || figure.value === null) return words.app.unknown;
  const { value, unit } = figure;
  if (unit !== "in/s" && unit !== "psi") return `${value.toPrecision(3)} ${unit}`;
  const shown = sampleUnit(unit, unitsOf.value, airUnits.value);
  return `${(value * factorTo(unit, shown)).toPrecision(3)} ${shown}`;
}

export function Results({ analysis: { body }, range }: { analysis: Resource<Analysis>; range: number | null }) {
  if (!body) return null;
  return (
    <section class="block results" aria-label={text.title}>
      {SETS.map((set) => (
        <div class="results-set" key={set}>
          <h2>{text.sets[set]}</h2>
          <Table
            caption={text.sets[set]}
            heads={[words.waveform.channel, text.peak, ...QUANTITIES.map((one) => text.quantities[one])]}
          >
            {CHANNELS.filter((channel) => body.channels[channel]?.[set]).map((channel) => {
              const figures = body.channels[channel]![set]!;
              return (
                <tr key={channel}>
                  <th scope="row">{channel}</th>
                  <td>
                    {figures.peak_pressure?.value === 0
                      ? unknown
                      : figureText(figures.ppv ?? figures.peak_pressure, range)}
                  </td>
                  {QUANTITIES.map((one) => (
                    <td key={one}>{figureText(figures[one], range)}</td>
                  ))}
                </tr>
              );
            })}
            <tr>
              <th scope="row">{words.waveform.pvs}</th>
              <td>{figureText(body.pvs[set], range)}</td>
              {QUANTITIES.map((one) => (
                <td key={one}>–</td>
              ))}
            </tr>
          </Table>
        </div>
      ))}
      {body.notes.map((note) => (
        <p key={note} class="faint">
          {note}
        </p>
      ))}
    </section>
  );
}
