// Four charts under one cursor and one range, with words for those who do not see them.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import type { Recording } from "./decode";
import { LinkedCharts } from "./linked";
import { atText, tracesOf, valueText, type Trace } from "./traces";
import { moveOf, type Move, type Range } from "./zoom";

const text = words.waveform;

interface Wish {
  recording: Recording;
  over: Recording | null;
  charts: { current: LinkedCharts | null };
}

export function Charts({ recording, over, charts }: Wish) {
  const [velocity, air] = [unitsOf.value, airUnits.value];
  const traces = useMemo(() => tracesOf(recording, velocity, air), [recording, velocity, air]);
  const overTraces = useMemo(() => (over ? tracesOf(over, velocity, air) : []), [over, velocity, air]);
  const [range, setRange] = useState<Range | null>(null);
  const [isWhole, setWhole] = useState(true);
  const plots = useRef<(HTMLDivElement | null)[]>([]);
  const readouts = useRef<(HTMLSpanElement | null)[]>([]);
  const lastRange = useRef<Range | null>(null);

  useEffect(() => {
    lastRange.current = null;
  }, [recording]);
  useEffect(() => {
    const places = traces.map((_, i) => ({
      plot: plots.current[i]!,
      readout: (trace: Trace, laid: Trace | null, index: number | null) => {
        const element = readouts.current[i];
        if (element) element.textContent = index === null ? "" : readoutText(trace, laid, index, recording.atUnit);
      },
    }));
    const linked = new LinkedCharts(
      traces,
      overTraces,
      recording.atUnit,
      places,
      (shown, whole) => {
        lastRange.current = whole ? null : shown;
        setRange(shown);
        setWhole(whole);
      },
      lastRange.current,
    );
    charts.current = linked;
    return () => {
      linked.close();
      charts.current = null;
    };
  }, [traces, overTraces]);

  const move = (wanted: Move) => charts.current?.move(wanted);
  const onKeyDown = (event: KeyboardEvent) => {
    const wanted = moveOf(event.key);
    if (wanted === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(wanted);
  };
  return (
    <div class="charts">
      <div class="charts-moves" role="group" aria-label={text.moves}>
        <button type="button" onClick={() => move("in")}>{text.zoomIn}</button>
        <button type="button" onClick={() => move("out")} disabled={isWhole}>{text.zoomOut}</button>
        <button type="button" onClick={() => move("left")} disabled={isWhole}>{text.moveLeft}</button>
        <button type="button" onClick={() => move("right")} disabled={isWhole}>{text.moveRight}</button>
        <button type="button" onClick={() => move("whole")} disabled={isWhole}>{text.whole}</button>
        <span class="charts-hint">{text.chartsHint}</span>
      </div>
      <div class="charts-plots" role="group" tabIndex={0} aria-label={text.chartsKeys} onKeyDown={onKeyDown}>
        {traces.map((trace, i) => (
          <figure class={`chart chart-${trace.name}`} key={trace.name}>
            <figcaption>
              <b>{trace.name}</b> <span class="chart-unit">{trace.unit}</span>{" "}
              <span class="chart-readout" aria-hidden="true" ref={(element) => void (readouts.current[i] = element)} />
            </figcaption>
            <div
              class="chart-plot"
              role="img"
              aria-label={sentenceOf(trace, range, recording.atUnit)}
              ref={(element) => void (plots.current[i] = element)}
            />
          </figure>
        ))}
      </div>
    </div>
  );
}

function readoutText(trace: Trace, over: Trace | null, index: number, atUnit: "s" | "samples"): string {
  const value = trace.values[index];
  if (value === undefined) return "";
  const at = trace.at[index]!;
  const own = text.readout(valueText(value, trace.unit), atText(at, atUnit));
  if (!over?.at.length) return own;
  const step = over.at.length > 1 ? over.at[1]! - over.at[0]! : 1;
  const value2 = over.values[Math.round((at - over.at[0]!) / step)];
  return value2 === undefined ? own : text.readoutOver(own, valueText(value2, over.unit));
}

function sentenceOf(trace: Trace, range: Range | null, atUnit: "s" | "samples"): string {
  const shown = range ?? { min: trace.at[0] ?? 0, max: trace.at[trace.at.length - 1] ?? 0 };
  const digits = atUnit === "s" ? 3 : 0;
  const span = atUnit === "s" ? text.seconds : text.sampleNumbers;
  const peak = trace.peak
    ? text.chartPeak(trace.peak.text, atText(trace.peak.at, atUnit))
    : text.chartNoPeak;
  return text.chart(trace.name, trace.unit, shown.min.toFixed(digits), shown.max.toFixed(digits), span, peak);
}
