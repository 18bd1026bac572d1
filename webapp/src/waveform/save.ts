// What can be taken away: picture, table, data.
import uPlot from "uplot";

export function saveText(name: string, text: string, type: string): void {
  saveBlob(name, new Blob([text], { type }));
}

function saveBlob(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser reads it after the click; freed at once, some browsers save nothing.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const MARGIN = 12;
const LINE = 18;

/** Save the charts as one picture, each under its heading, with what they are of at the top. */
export function savePicture(
  name: string,
  canvases: HTMLCanvasElement[],
  headings: string[],
  title: string[],
  colours: { ink: string; ground: string },
): void {
  const px = uPlot.pxRatio;
  const width = Math.max(...canvases.map((canvas) => canvas.width)) + 2 * MARGIN * px;
  const height = canvases.reduce((sum, canvas) => sum + canvas.height + LINE * px, (title.length * LINE + 3 * MARGIN) * px);
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [width, height];
  const context = picture.getContext("2d")!;
  context.fillStyle = colours.ground;
  context.fillRect(0, 0, width, height);
  context.fillStyle = colours.ink;
  context.textBaseline = "top";
  let y = MARGIN * px;
  const write = (text: string, weight: string) => {
    context.font = `${weight} ${13 * px}px system-ui, sans-serif`;
    context.fillText(text, MARGIN * px, y);
    y += LINE * px;
  };
  title.forEach((text, i) => write(text, i ? "normal" : "bold"));
  y += MARGIN * px;
  canvases.forEach((canvas, i) => {
    write(headings[i]!, "bold");
    context.drawImage(canvas, MARGIN * px, y);
    y += canvas.height;
  });
  picture.toBlob((blob) => blob && saveBlob(name, blob), "image/png");
}
