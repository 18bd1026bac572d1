// Fourier amplitudes over frequency: the geophones on one scale, the microphone on its own, and each one's dominant
// frequency in words. The relay computes them; units of measure are those that the reader chose.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Schemas } from "../api/client";
import type { Resource } from "../data/resource";
import { stampOf } from "../events/stamps";
import { factorTo, sampleUnit } from "../parts/measures";
import { Table } from "../parts/Table";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import { type ChannelName, NAMES, type WaveformForm } from "./decode";
import { type Analysis, amplitudeText, figureText } from "./Results";
import { type Line, type Lines, linesOf } from "./spectra";

const text = words.spectrum;

export type Spectra = Pick<Schemas["DeviceSpectraOut"], "resolution_hz" | "channels" | "waveform_key" | "timestamp">;

interface Props {
  spectra: Resource<Spectra>;
  analysis: Analysis | null;
  form: WaveformForm;
}

export function Spectrum({ spectra: { body }, analysis, form }: Props) {
  // The slot may hold another event by now.
  if (!body || stampOf(body) !== stampOf(form)) return null;
  const resolutionHz = body.resolution_hz;
  return (
    <section class="block spectrum" aria-labelledby="spectrum">
      <header>
        <h2 id="spectrum">{text.title}</h2>
      </header>
      {resolutionHz === null ? (
        <p>{text.none}</p>
      ) : (
        <>
          <Plots spectra={body} resolutionHz={resolutionHz} />
          <Table caption={text.dominants} heads={[words.waveform.channel, text.dominant, text.amplitude]}>
            {NAMES.filter((name) => body.channels[name]).map((name) => {
              const found = analysis?.channels[name]?.spectrum;
              return (
                <tr key={name} class={`chart-${name}`}>
                  <th scope="row">{name}</th>
                  <td>{figureText(found?.dominant_frequency, null)}</td>
                  <td>{amplitudeText(found?.dominant_amplitude)}</td>
                </tr>
              );
            })}
          </Table>
          <p class="faint">{text.how(resolutionHz.toPrecision(3))}</p>
        </>
      )}
    </section>
  );
}

function Plots({ spectra, resolutionHz }: { spectra: Spectra; resolutionHz: number }) {
  const shown = (names: readonly ChannelName[]): Line[] =>
    names.flatMap((name) => {
      const channel = spectra.channels[name];
      if (!channel) return [];
      const given = channel.unit as "in/s" | "psi" | "counts";
      const unit = sampleUnit(given, unitsOf.value, airUnits.value);
      return [{ name, unit, values: channel.amplitudes.map((value) => value * factorTo(given, unit)) }];
    });
  const [ground, air] = [shown(["Tran", "Vert", "Long"]), shown(["MicL"])];
  return (
    <>
      {ground.length > 0 && <Plot lines={ground} resolutionHz={resolutionHz} />}
      {air.length > 0 && <Plot lines={air} resolutionHz={resolutionHz} />}
    </>
  );
}

const HEIGHT_PX = { ground: 170, air: 120 };

function Plot({ lines, resolutionHz }: { lines: Line[]; resolutionHz: number }) {
  const box = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const found = linesOf(lines, resolutionHz);
  const key = JSON.stringify([lines.map(({ unit }) => unit), resolutionHz, lines[0]!.values.length]);
  useEffect(() => {
    const show = (index: number | null) => {
      if (readout.current) readout.current.textContent = index === null ? "" : readoutText(lines, found, index);
    };
    return draw(box.current!, lines, found, show);
  }, [key]);
  return (
    <figure class="spectrum-chart">
      <figcaption>
        {lines.map(({ name }) => (
          <b key={name} class={`chart-${name}`}>
            {name}
          </b>
        ))}{" "}
        <span class="faint">{lines[0]!.unit}</span> <span class="spectrum-readout" aria-hidden="true" ref={readout} />
      </figcaption>
      <div class="spectrum-plot" aria-hidden="true" ref={box} />
    </figure>
  );
}

function readoutText(lines: Line[], { hz }: Lines, index: number): string {
  const values = lines.map(({ name, values }) => `${name} ${(values[index] ?? 0).toPrecision(3)}`);
  return `${hz[index]!.toFixed(1)} Hz: ${values.join(", ")}`;
}

/** Draw the lines in an element, as wide as that is; return how to stop. */
function draw(
  element: HTMLElement,
  lines: Line[],
  { hz, endHz }: Lines,
  show: (index: number | null) => void,
): () => void {
  const height = lines[0]!.name === "MicL" ? HEIGHT_PX.air : HEIGHT_PX.ground;
  const colour = (name: string) => () => getComputedStyle(element).getPropertyValue(name).trim();
  const font = "11px system-ui, sans-serif";
  const axis = {
    font,
    stroke: colour("--faint"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    values: (_: uPlot, splits: number[]) => splits.map(String),
  };
  const variable = { Tran: "--tran", Vert: "--vert", Long: "--long", MicL: "--mic" };
  const plot = new uPlot(
    {
      width: Math.max(200, element.clientWidth),
      height,
      padding: [6, 10, 0, 0],
      legend: { show: false },
      scales: { x: { time: false, range: () => [0, endHz] }, y: { range: (_, _min, max) => [0, max > 0 ? max : 1] } },
      axes: [
        { ...axis, size: 24, labelSize: 16, labelGap: 0, labelFont: font, label: text.axis },
        { ...axis, size: 58, space: 24 },
      ],
      series: [
        {},
        ...lines.map(({ name }) => ({ stroke: colour(variable[name]), width: 1.25, points: { show: false } })),
      ],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
      hooks: { setCursor: [(of) => show((of.cursor.left ?? -1) >= 0 ? (of.cursor.idx ?? null) : null)] },
    },
    [hz, ...lines.map(({ values }) => values)],
    element,
  );
  const redraw = () => plot.redraw(false, true);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  darkness.addEventListener("change", redraw);
  const watched = new ResizeObserver(() => {
    const width = Math.max(200, element.clientWidth);
    if (width !== plot.width) plot.setSize({ width, height });
  });
  watched.observe(element);
  return () => {
    darkness.removeEventListener("change", redraw);
    watched.disconnect();
    plot.destroy();
  };
}
