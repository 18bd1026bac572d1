// Four charts under one cursor and one range, with words for those who do not see them. Labels are in the margins.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import type { Recording } from "./decode";
import { LinkedCharts } from "./linked";
import { followTouches } from "./touch";
import { atText, type Trace, tracesOf, valueText } from "./traces";
import { type Move, moveOf, type Range } from "./zoom";

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
  const box = useRef<HTMLDivElement>(null);
  const plots = useRef<(HTMLDivElement | null)[]>([]);
  const readouts = useRef<(HTMLSpanElement | null)[]>([]);
  const spoken = useRef<HTMLParagraphElement>(null);
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
    const unfollow = followTouches(box.current!, linked);
    return () => {
      unfollow();
      linked.close();
      charts.current = null;
    };
  }, [traces, overTraces]);

  const move = (wanted: Move) => charts.current?.move(wanted);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const wanted = moveOf(event.key);
    if (step === undefined && wanted === null) return;
    event.preventDefault();
    if (step === undefined) return move(wanted!);
    // The cursor goes from sample to sample, or, with Shift down, by a twentieth of what is shown.
    const index = charts.current?.moveCursor(step, event.shiftKey) ?? null;
    if (spoken.current && index !== null) spoken.current.textContent = spokenText(traces, index, recording.atUnit);
  };
  return (
    <div class="charts">
      <div class="charts-moves" role="group" aria-label={text.moves}>
        <button type="button" onClick={() => move("in")}>
          {text.zoomIn}
        </button>
        <button type="button" class="is-fine" onClick={() => move("out")} disabled={isWhole}>
          {text.zoomOut}
        </button>
        <button type="button" class="is-fine" onClick={() => move("left")} disabled={isWhole}>
          {text.moveLeft}
        </button>
        <button type="button" class="is-fine" onClick={() => move("right")} disabled={isWhole}>
          {text.moveRight}
        </button>
        <button type="button" onClick={() => move("whole")} disabled={isWhole}>
          {text.whole}
        </button>
        <span class="charts-hint">{text.chartsHint}</span>
      </div>
      <div class="charts-plots" role="group" tabIndex={0} aria-label={text.chartsKeys} onKeyDown={onKeyDown} ref={box}>
        {traces.map((trace, i) => (
          <figure class={`chart chart-${trace.name}`} key={trace.name}>
            <figcaption>
              <b>{trace.name}</b> <span class="chart-unit">{trace.unit}</span>
            </figcaption>
            <div
              class="chart-plot"
              role="img"
              aria-label={sentenceOf(trace, range, recording.atUnit)}
              ref={(element) => {
                plots.current[i] = element;
              }}
            />
            <div class="chart-margin">
              {trace.peak ? (
                <>
                  <b>{trace.peak.text}</b> <span>{text.figureAt(atText(trace.peak.at, recording.atUnit))}</span>
                </>
              ) : (
                <span>{words.app.unknown}</span>
              )}
              <span
                class="chart-readout"
                aria-hidden="true"
                ref={(element) => {
                  readouts.current[i] = element;
                }}
              />
            </div>
          </figure>
        ))}
      </div>
      <p class="hidden" role="status" ref={spoken} />
    </div>
  );
}

function readoutText(trace: Trace, over: Trace | null, index: number, atUnit: "s" | "samples"): string {
  const value = trace.values[index];
  if (value === undefined) return "";
  const at = trace.at[index]!;
  const own = text.readout(valueText(value, trace.unit, trace.rangeInS), atText(at, atUnit));
  if (!over?.at.length) return own;
  const step = over.at.length > 1 ? over.at[1]! - over.at[0]! : 1;
  const value2 = over.values[Math.round((at - over.at[0]!) / step)];
  return value2 === undefined ? own : text.readoutOver(own, valueText(value2, over.unit, over.rangeInS));
}

/** Where the cursor is, for a screen reader. */
function spokenText(traces: readonly Trace[], index: number, atUnit: "s" | "samples"): string {
  const at = traces.find(({ at }) => index < at.length)?.at[index] ?? 0;
  const values = traces.flatMap(({ name, values, unit, rangeInS }) =>
    values[index] === undefined ? [] : [`${name} ${valueText(values[index], unit, rangeInS)}`],
  );
  return `${atText(at, atUnit)}: ${values.join(", ")}`;
}

function sentenceOf(trace: Trace, range: Range | null, atUnit: "s" | "samples"): string {
  const shown = range ?? { min: trace.at[0] ?? 0, max: trace.at[trace.at.length - 1] ?? 0 };
  const digits = atUnit === "s" ? 3 : 0;
  const span = atUnit === "s" ? text.seconds : text.sampleNumbers;
  const peak = trace.peak ? text.chartPeak(trace.peak.text, atText(trace.peak.at, atUnit)) : text.chartNoPeak;
  return text.chart(trace.name, trace.unit, shown.min.toFixed(digits), shown.max.toFixed(digits), span, peak);
}
