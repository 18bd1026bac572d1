// One channel's chart: axes, the trigger's line, the peak's mark, and the thin line of another event.
import uPlot from "uplot";
import { words } from "../words";
import { drawColumns } from "./columns";
import type { Trace } from "./traces";

export interface Colours {
  ink: string;
  faint: string;
  grid: string;
  ground: string;
  line: string;
  over: string;
  trigger: string;
}

export interface Chart {
  trace: Trace;
  over: Trace | null;
  reach: number;
  atUnit: "s" | "samples";
  isLast: boolean;
  syncKey: string;
  colours: () => Colours;
  onCursor: (index: number | null) => void;
  onDragged: (min: number, max: number) => void;
  onWhole: () => void;
  onDrawn: (took: number) => void;
}

export const AXIS_HEIGHT = 42;
const AXIS_WIDTH = 58;
const FONT = "11px system-ui, sans-serif";

export function optionsOf(
  chart: Chart,
  width: number,
  height: number,
  start: { min: number; max: number },
): uPlot.Options {
  const { colours } = chart;
  // As numbers are written everywhere else here, not as the browser's own language has them.
  const values = (_: uPlot, splits: number[]) => splits.map(String);
  const axis = {
    values,
    font: FONT,
    stroke: () => colours().faint,
    grid: { stroke: () => colours().grid, width: 1 },
    ticks: { show: false },
  };
  let begunMs = 0;
  return {
    width,
    height,
    padding: [6, 10, chart.isLast ? 0 : 6, 0],
    legend: { show: false },
    scales: {
      x: { time: false, min: start.min, max: start.max, auto: false },
      y: { auto: false, range: () => [-chart.reach, chart.reach] },
    },
    axes: [
      chart.isLast
        ? { ...axis, size: 24, labelSize: 18, labelGap: 0, labelFont: FONT, label: timeLabel(chart) }
        : { ...axis, size: 0, values: (_: uPlot, splits: number[]) => splits.map(() => "") },
      { ...axis, size: AXIS_WIDTH, space: (plot) => Math.min(24, plot.height / 6) },
    ],
    series: [
      {},
      {
        stroke: () => colours().line,
        width: 1.25,
        points: { show: false },
        paths: (plot) => ({ stroke: pathOf(plot, chart.trace), flags: 0 }),
      },
    ],
    cursor: {
      y: false,
      points: { size: 5 },
      dataIdx: (_plot, _series, index) => index,
      drag: { x: true, y: false, setScale: false },
      // The charts share where the cursor is, not what is dragged: the range is set for all at once.
      sync: {
        key: chart.syncKey,
        setSeries: false,
        scales: ["x", null],
        filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
      },
      bind: {
        dblclick: () => () => {
          chart.onWhole();
          return null;
        },
      },
    },
    hooks: {
      drawClear: [
        () => {
          begunMs = performance.now();
        },
      ],
      draw: [
        (plot) => {
          drawTrigger(plot, chart);
          if (chart.over) drawOver(plot, chart.over, colours().over);
          drawPeak(plot, chart);
          chart.onDrawn(performance.now() - begunMs);
        },
      ],
      setCursor: [(plot) => chart.onCursor(plot.cursor.left! >= 0 ? (plot.cursor.idx ?? null) : null)],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 4) return;
          const min = plot.posToVal(left, "x");
          const max = plot.posToVal(left + wide, "x");
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          chart.onDragged(min, max);
        },
      ],
    },
  };
}

function timeLabel(chart: Chart): string {
  const { timeAxis, sampleAxis } = words.waveform;
  return chart.atUnit === "s" ? timeAxis : sampleAxis;
}

function drawTrigger(plot: uPlot, { colours, isLast }: Chart): void {
  const { ctx, bbox } = plot;
  const x = Math.round(plot.valToPos(0, "x", true));
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  ctx.save();
  ctx.strokeStyle = colours().trigger;
  ctx.fillStyle = colours().trigger;
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash([4 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  if (isLast) {
    ctx.font = scaledFont();
    ctx.textBaseline = "bottom";
    ctx.textAlign = "left";
    ctx.fillText(words.waveform.trigger, x + 4 * uPlot.pxRatio, bbox.top + bbox.height);
  }
  ctx.restore();
}

/** Return the line of a channel in the shown part of its record, whatever its rate. */
function pathOf(plot: uPlot, { at, values }: Trace): Path2D {
  const path = new Path2D();
  const { min, max } = plot.scales.x!;
  const { left, width } = plot.bbox;
  if (min == null || max == null) return path;
  drawColumns(at, values, { min, max, left, width }, (x, value) =>
    path.lineTo(x, Math.round(plot.valToPos(value, "y", true))),
  );
  return path;
}

function drawOver(plot: uPlot, over: Trace, colour: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 0.75 * uPlot.pxRatio;
  // Half a pixel, as the own line is moved.
  ctx.translate(0.5, 0.5);
  ctx.stroke(pathOf(plot, over));
  ctx.restore();
}

function drawPeak(plot: uPlot, { trace, colours }: Chart): void {
  const { peak } = trace;
  const { ctx, bbox } = plot;
  if (!peak) return;
  const x = plot.valToPos(peak.at, "x", true);
  const y = plot.valToPos(peak.value, "y", true);
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  const px = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = colours().ink;
  ctx.lineWidth = 1.5 * px;
  ctx.beginPath();
  ctx.arc(x, y, 4 * px, 0, 2 * Math.PI);
  ctx.stroke();
  ctx.restore();
}

function scaledFont(): string {
  return `${11 * uPlot.pxRatio}px system-ui, sans-serif`;
}
