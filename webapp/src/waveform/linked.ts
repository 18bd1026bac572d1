// Charts that show the same part of the record: one range for all of them, one cursor.
// Lives as long as the element that they are drawn in; `close` ends the charts.
import uPlot from "uplot";
import { isPrinting } from "../parts/window";
import { firstAt } from "./columns";
import { AXIS_HEIGHT, type Colours, optionsOf } from "./plot";
import { overlaid, reaches, type Trace, wholeOf } from "./traces";
import { kept, leastSpan, type Move, moved, type Range } from "./zoom";

export interface Place {
  plot: HTMLElement;
  readout: (trace: Trace, over: Trace | null, index: number | null) => void;
}

let count = 0;
/** What a sheet of paper has room for beside the labels and under the results, CSS px. */
const PAPER = { width: 520, height: 56 };
/** A saved picture is as large whatever the window is. */
const PICTURE = { width: 880, height: 130 };

export class LinkedCharts {
  readonly whole: Range;
  private range: Range;
  private readonly least: number;
  private readonly plots: uPlot[];
  private readonly watched: ResizeObserver;
  private readonly darkness = matchMedia("(prefers-color-scheme: dark)");
  private colours: Colours[];
  private cursor: number | null = null;
  /** The size of each chart where that does not depend on the window. */
  private fixed: { width: number; height: number } | null = null;
  private readonly unfollow: () => void;

  constructor(
    readonly traces: Trace[],
    over: Trace[],
    readonly atUnit: "s" | "samples",
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
    // On paper, and back: other sizes and colours, and the whole record.
    this.unfollow = isPrinting.subscribe((isNow) => {
      this.fixed = isNow ? PAPER : null;
      this.fit();
      for (const plot of this.plots) plot.setScale("x", isNow ? this.whole : this.range);
      this.recolour();
    });
    this.notify();
  }

  get canvases(): HTMLCanvasElement[] {
    return this.plots.map((plot) => plot.ctx.canvas);
  }

  /** What is shown of the record. */
  get shown(): Range {
    return this.range;
  }

  get isWhole(): boolean {
    return this.range.min <= this.whole.min && this.range.max >= this.whole.max;
  }

  /** How much of the record one pixel of the page shows. */
  get perPx(): number {
    return (this.range.max - this.range.min) / (this.plots[0]!.over.clientWidth || 1);
  }

  /** Where the shown part begins on the page. */
  get leftPx(): number {
    return this.plots[0]!.over.getBoundingClientRect().left;
  }

  positionAt(clientX: number): number {
    return this.range.min + (clientX - this.leftPx) * this.perPx;
  }

  /** Show what begins there, with so much of the record in each pixel. */
  showFrom(min: number, perPx: number): void {
    this.show({ min, max: min + perPx * this.plots[0]!.over.clientWidth });
  }

  /** Move the cursor by a sample, or by a twentieth of what is shown; return the sample that it is at. */
  moveCursor(by: number, isFar: boolean): number | null {
    const at =
      this.traces.map((trace) => trace.at).sort((one, other) => other.length - one.length)[0] ?? new Float64Array();
    const [first, last] = [firstAt(at, this.range.min), Math.min(at.length, firstAt(at, this.range.max) + 1) - 1];
    if (last < first) return null;
    const far = Math.max(1, Math.round((last - first) / 20));
    const from = this.cursor ?? (by > 0 ? first - 1 : last + 1);
    this.cursor = Math.min(last, Math.max(first, from + by * (isFar ? far : 1)));
    for (const plot of this.plots) plot.setCursor({ left: plot.valToPos(at[this.cursor]!, "x"), top: 0 });
    return this.cursor;
  }

  /** Draw in the colours of paper and the size of a picture for as long as `use` takes. */
  async asPicture(use: () => void): Promise<void> {
    const root = document.documentElement;
    root.toggleAttribute("data-printing", true);
    this.fixed = PICTURE;
    this.fit();
    this.recolour();
    // uPlot draws in a microtask of its own.
    await new Promise((resolve) => setTimeout(resolve));
    use();
    root.toggleAttribute("data-printing", false);
    this.fixed = null;
    this.fit();
    this.recolour();
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
    this.unfollow();
    this.watched.disconnect();
    this.darkness.removeEventListener("change", this.recolour);
    for (const plot of this.plots) plot.destroy();
  }

  private notify(): void {
    this.onRange(this.range, this.isWhole);
  }

  private fit(): void {
    this.plots.forEach((plot, i) => {
      const [width, height] = this.sizeOf(i, this.plots.length);
      if (plot.width !== width || plot.height !== height) plot.setSize({ width, height });
    });
  }

  private sizeOf(i: number, of: number): [number, number] {
    const axis = i === of - 1 ? AXIS_HEIGHT : 0;
    if (this.fixed) return [this.fixed.width, this.fixed.height + axis];
    const width = Math.max(200, this.places[i]!.plot.clientWidth);
    // As tall as the window allows beside the title and the figures.
    const height = Math.round(Math.min(220, Math.max(96, (innerHeight * 0.58) / of)));
    return [width, height + axis];
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
