// What can be taken away: files of the relay, and a picture of the charts.
import uPlot from "uplot";
import { words } from "../words";
import type { LinkedCharts } from "./linked";
import { atText } from "./traces";

export function saveBlob(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser reads it after the click; freed at once, some browsers save nothing.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const MARGIN = 16;
const LINE = 18;
/** Room for a channel's name on the left, and for its peak on the right. */
const LEFT = 56;
const RIGHT = 130;
const FONT = "13px system-ui, sans-serif";

/** Save the charts as one picture that stands alone: what they are of at the top, labels in the margins, always light. */
export async function savePicture(name: string, charts: LinkedCharts, title: string[]): Promise<void> {
  const picture = document.createElement("canvas");
  await charts.asPicture(() => {
    const { canvases } = charts;
    const px = uPlot.pxRatio;
    const context = picture.getContext("2d")!;
    const widest = Math.max(...canvases.map(({ width }) => width)) / px;
    const width = widest + LEFT + RIGHT + 2 * MARGIN;
    context.font = FONT;
    const { shown, atUnit } = charts;
    const part = words.waveform.pictureSpan(atText(shown.min, atUnit), atText(shown.max, atUnit));
    const lines = [...title, ...(charts.isWhole ? [] : [part])].flatMap((text, i) =>
      wrapped(context, text, width - 2 * MARGIN).map((line) => ({ line, isBold: i === 0 })),
    );
    picture.width = width * px;
    picture.height = (lines.length * LINE + 3 * MARGIN) * px + canvases.reduce((sum, { height }) => sum + height, 0);
    // In CSS px from here on; setting the size has reset the context.
    context.scale(px, px);
    const style = getComputedStyle(document.querySelector(".charts")!);
    const ink = style.getPropertyValue("--chart-ink");
    context.fillStyle = style.getPropertyValue("--chart-ground");
    context.fillRect(0, 0, picture.width, picture.height);
    context.textBaseline = "top";
    const write = (text: string, x: number, y: number, isBold = false, colour = ink): void => {
      context.font = `${isBold ? "bold " : ""}${FONT}`;
      context.fillStyle = colour;
      context.fillText(text, x, y);
    };
    let y = MARGIN;
    for (const { line, isBold } of lines) {
      write(line, MARGIN, y, isBold);
      y += LINE;
    }
    y += MARGIN;
    canvases.forEach((canvas, i) => {
      const trace = charts.traces[i]!;
      const colour = getComputedStyle(document.querySelector(`.chart-${trace.name}`)!).getPropertyValue("--chart-line");
      write(trace.name, MARGIN, y + LINE, true, colour);
      write(trace.unit, MARGIN, y + 2 * LINE);
      context.drawImage(canvas, MARGIN + LEFT, y, canvas.width / px, canvas.height / px);
      const right = MARGIN + LEFT + canvas.width / px + 6;
      const { peak } = trace;
      write(peak ? peak.text : words.app.unknown, right, y + LINE, true);
      if (peak) write(words.waveform.figureAt(atText(peak.at, atUnit)), right, y + 2 * LINE);
      y += canvas.height / px;
    });
  });
  picture.toBlob((blob) => {
    if (blob) saveBlob(name, blob);
  }, "image/png");
}

/** Return a text as lines that are no wider than that. */
function wrapped(context: CanvasRenderingContext2D, text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
