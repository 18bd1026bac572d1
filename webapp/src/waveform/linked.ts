// Charts that show the same part of the record: one range for all of them, one cursor.
// Lives as long as the element that they are drawn in; `close` ends the charts.
import uPlot from "uplot";
import { AXIS_HEIGHT, optionsOf, type Colours } from "./plot";
import { overlaid, reaches, wholeOf, type Trace } from "./traces";
import { kept, leastSpan, moved, type Move, type Range } from "./zoom";

export interface Place {
  plot: HTMLElement;
  readout: (trace: Trace, over: Trace | null, index: number | null) => void;
}

let count = 0;

export class LinkedCharts {
  readonly whole: Range;
  private range: Range;
  private readonly least: number;
  private readonly plots: uPlot[];
  private readonly watched: ResizeObserver;
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");
  private colours: Colours[];

  constructor(
    traces: Trace[],
    over: Trace[],
    atUnit: "s" | "samples",
    private readonly places: Place[],
    private readonly onRange: (range: Range, isWhole: boolean) => void,
    wanted: Range | null,
  ) {
    const matched = overlaid(traces, over);
    const laid = matched.filter((trace) => trace !== null);
    this.whole = wholeOf([...traces, ...laid]) ?? { min: 0, max: 1 };
    this.least = leastSpan(this.whole, Math.max(...traces.map((trace) => trace.at.length)));
    this.range = wanted ? kept(wanted, this.whole, this.least) : this.whole;
    const reach = reaches(traces, laid);
    const syncKey = `waveform ${count++}`;
    this.colours = places.map(({ plot }) => coloursAt(plot));
    this.plots = traces.map((trace, i) => {
      const place = places[i]!;
      const chart = {
        trace,
        over: matched[i]!,
        reach: reach[i]!,
        atUnit,
        isLast: i === traces.length - 1,
        syncKey,
        colours: () => this.colours[i]!,
        onCursor: (index: number | null) => place.readout(trace, matched[i]!, index),
        onDragged: (min: number, max: number) => this.show({ min, max }),
        onWhole: () => this.move("whole"),
        onDrawn: (tookMs: number) => noteDrawing(trace.name, tookMs),
      };
      const [width, height] = this.sizeOf(i, traces.length);
      return new uPlot(optionsOf(chart, width, height, this.range), [trace.at, trace.values], place.plot);
    });
    this.watched = new ResizeObserver(() => this.fit());
    if (places[0]) this.watched.observe(places[0].plot);
    this.darkness.addEventListener("change", this.recolour);
    this.notify();
  }

  get canvases(): HTMLCanvasElement[] {
    return this.plots.map((plot) => plot.ctx.canvas);
  }

  show(range: Range): void {
    this.range = kept(range, this.whole, this.least);
    for (const plot of this.plots) plot.setScale("x", this.range);
    this.notify();
  }

  move(move: Move): void {
    this.show(moved(this.range, move, this.whole, this.least));
  }

  close(): void {
    this.watched.disconnect();
    this.darkness.removeEventListener("change", this.recolour);
    for (const plot of this.plots) plot.destroy();
  }

  private notify(): void {
    this.onRange(this.range, this.range.min <= this.whole.min && this.range.max >= this.whole.max);
  }

  private fit(): void {
    this.plots.forEach((plot, i) => {
      const [width, height] = this.sizeOf(i, this.plots.length);
      if (plot.width !== width || plot.height !== height) plot.setSize({ width, height });
    });
  }

  private sizeOf(i: number, of: number): [number, number] {
    const width = Math.max(200, this.places[i]!.plot.clientWidth);
    const height = width < 600 ? 104 : 138;
    return [width, height + (i === of - 1 ? AXIS_HEIGHT : 0)];
  }

  private readonly recolour = (): void => {
    this.colours = this.places.map(({ plot }) => coloursAt(plot));
    for (const plot of this.plots) plot.redraw(false, true);
  };
}

function coloursAt(element: HTMLElement): Colours {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    ink: of("--chart-ink"),
    faint: of("--chart-faint"),
    grid: of("--chart-grid"),
    ground: of("--chart-ground"),
    line: of("--chart-line"),
    over: of("--chart-over"),
    trigger: of("--chart-trigger"),
  };
}

/** Publish how long the last drawing of a channel took, for measurements. */
function noteDrawing(name: string, tookMs: number): void {
  const mark = `draw ${name}`;
  performance.clearMeasures(mark);
  performance.measure(mark, { start: performance.now() - tookMs, duration: tookMs });
}
