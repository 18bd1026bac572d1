// uPlot without what nothing here draws with. It decides most things by its options, which no bundler can see through.
// What ours (src/waveform/plot.ts) always say is written into it instead of the question, and the bundler drops the
// rest: 9 kB packed. Only what the app would be too heavy, or too slow to start, without. Each place must be there as
// often as is shown here; a new uPlot stops the build, and is to be read again. `leaner.test.ts` holds that nothing is left
// that asks for what was taken away, and our options to the facts.
import type { Plugin } from "vite";

type Place = [is: string | RegExp, becomes: string, times?: number];

const PLACES: Place[] = [
  // Positions ascend and are shared by all lines of a chart; they are no times of day, and every scale is linear.
  ["const mode = self.mode;", "const mode = 1;"],
  ["mode == 1 && scales[s.scale].time", "false"],
  ["let isTime = sc.time;", "const isTime = false;", 2],
  ["scaleX.time", "false"],
  [/^const \[ timeIncrs.*$/gm, "", 2],
  [/^\tconst _time(AxisSplits|AxisVals|SeriesVal) .*$/gm, "", 3],
  ["const xScaleDistr = scaleX.distr;", "const xScaleDistr = 1;"],
  [/\b(?:sc|wsc|scale|scaleX)\.distr (==|>=) +(\d+)/g, "(1 $1 $2)", 22],
  // What is asked of the browser when the app starts: alone a tenth of the time until something is seen.
  ["const localTz = new Intl.DateTimeFormat().resolvedOptions().timeZone;", ""],
  ["const numFormatter = new", "const numFormatter = /* @__PURE__ */ new"],
  // The range of positions is always set, and that of values always given by a function.
  ["if (scaleKey != xScaleKey || (mode == 2 && !isTime)) {", "if (false) {"],
  [/^\t{5}\(.* : snapNumY\)$/gm, "null", 1],
  ["[_min, _max] = rangeNum(_min, _max, rangePad, true);", ";"],
  // We say beside a chart what the cursor is at, and draw no legend.
  ["const showLegend = legend.show;", "const showLegend = false;"],
  ["if (legend.live) {\n\t\tconst getMultiVals", "if (false) {\n\t\tconst getMultiVals"],
  // No line is brought forward or hidden among others, and values have no holes.
  ["const cursorFocus = focus.prox >= 0;", "const cursorFocus = false;"],
  ["if (cursor.dataIdx == null) {", "if (false) {"],
  ["idx != -1 && setSeries(idx, opts, true, false);", ""],
  // We draw the line ourselves (columns.ts) and no dots on it; nothing is filled, no band lies between lines.
  ["const linearPath = linear() ;", "const linearPath = null;"],
  ["const pointsPath = points() ;", "const pointsPath = null;"],
  ["flags != 0 && bands.forEach(", "false && bands.forEach("],
  // Charts share where the cursor is, not what is dragged; the range is set for all at once (linked.ts).
  ["if (src != null) {\n\t\t\t\tlet [xKey, yKey]", "if (false) {\n\t\t\t\tlet [xKey, yKey]"],
  // What is hung on the library and on a chart for others.
  [/^uPlot\.(assign|fmtNum|rangeNum|rangeLog|rangeAsinh|orient|sync) .*$/gm, "", 7],
  [/^\tuPlot\.(join|fmtDate|tzDate|addGap|clipGaps) .*$/gm, "", 5],
  [/^\t\(paths\.(linear|stepped|bars|spline) .*$/gm, "", 4],
  ["let paths = uPlot.paths = {\n\t\tpoints,\n\t};", ""],
  [/^\tself\.(addSeries|delSeries|setSeries|addBand|setBand|delBand|batch|setLegend|posToIdx) = \w+;$/gm, "", 9],
];

/** Return uPlot's own text without what is never used; throws where it is not the text that was read. */
export function leaner(code: string): string {
  for (const [is, becomes, times = 1] of PLACES) {
    const found = typeof is === "string" ? code.split(is).length - 1 : (code.match(is) ?? []).length;
    if (found !== times) throw new Error(`uPlot has changed: ${is} is there ${found} times, not ${times}; look what it does there now`);
    code = code.replaceAll(is, becomes);
  }
  return code;
}

export function leanerUplot(): Plugin {
  return {
    name: "leaner-uplot",
    transform: (code, id) => (id.includes("uPlot.esm.js") ? { code: leaner(code), map: null } : null),
  };
}
