// uPlot without what nothing here draws with. It decides most things by its options, which no bundler can see through.
// What ours (src/waveform/plot.ts) always say is written into it instead of the question, and the bundler drops the
// rest: 8 kB packed. Each place must be there as often as is said here; a new uPlot stops the build, and is to be read
// again. `leaner.test.ts` holds that nothing is left that asks for what was taken away, and our options to the facts.
import type { Plugin } from "vite";

type Place = [is: string | RegExp, becomes: string, times?: number];

const PLACES: Place[] = [
  // Positions ascend and are shared by all lines of a chart; they are no times of day, and every scale is linear.
  ["const mode = self.mode;", "const mode = 1;"],
  ["const mode = u.mode;", "const mode = 1;"],
  ["let mode = self.mode;", "const mode = 1;"],
  ["mode == 1 && scales[s.scale].time", "false"],
  ["let isTime = sc.time;", "const isTime = false;", 2],
  ["scaleX.time", "false"],
  [/^const \[ timeIncrs.*$/gm, "", 2],
  [/^\tconst _time(AxisSplits|AxisVals|SeriesVal) .*$/gm, "", 3],
  [/^\tconst _(tz|fmt)Date .*$/gm, "", 2],
  // Alone it took a tenth of the time until something is seen.
  ["const localTz = new Intl.DateTimeFormat().resolvedOptions().timeZone;", ""],
  [/^const (days3|months3) = /gm, "$&/* @__PURE__ */ ", 2],
  ["genIncrs(2, -53, 53, [1]);", ""],
  ["const xScaleDistr = scaleX.distr;", "const xScaleDistr = 1;"],
  ["let distr = sc.distr;", "const distr = 1;", 2],
  [/\b(?:sc|wsc|scale|scaleX)\.distr (==|>=) +(\d+)/g, "(1 $1 $2)", 22],
  // The range of positions is always set, and that of values always said by a function.
  ["if (scaleKey != xScaleKey || (mode == 2 && !isTime)) {", "if (false) {"],
  [/^\t{5}\(.* : snapNumY\)$/gm, "null", 1],
  ["[_min, _max] = rangeNum(_min, _max, rangePad, true);", ";"],
  // Positions run to the right, values upwards.
  [/\bscaleX\.ori == 0/g, "true", 24],
  [/\bscaleX\.ori == 1/g, "false", 9],
  ["src.axes[0].side % 2 == 1", "false"],
  ["const dir = scaleX.dir * (true ? 1 : -1);", "const dir = 1;", 4],
  // We say beside a chart what the cursor is at, and draw no legend.
  ["const showLegend = legend.show;", "const showLegend = false;"],
  ["if (legend.live) {\n\t\tconst getMultiVals", "if (false) {\n\t\tconst getMultiVals"],
  ["let multiValLegend = false;", "const multiValLegend = false;"],
  ["legend.show && legend.live && shouldSetLegend", "false"],
  [/^\t\tmarkers\.(width|dash|stroke|fill).*$/gm, "", 4],
  // No line is brought forward or hidden among others, and values have no holes.
  ["const cursorFocus = focus.prox >= 0;", "const cursorFocus = false;"],
  ["if (cursor.dataIdx == null) {", "if (false) {"],
  ["idx != -1 && setSeries(idx, opts, true, false);", ""],
  // We draw the line ourselves (columns.ts) and no dots on it; nothing is filled, no band lies between lines.
  ["const linearPath = linear() ;", "const linearPath = null;"],
  ["const pointsPath = points() ;", "const pointsPath = null;"],
  ["let show = s.points.show(self, i, i0, i1, _gaps);", "const show = false;"],
  ["let idxs = s.points.filter(self, i, show, _gaps);", "const idxs = null;"],
  ["flags != 0 && bands.forEach(", "false && bands.forEach("],
  ["s.fillTo = fnOrSelf(s.fillTo || seriesFillTo);", ""],
  // Charts share where the cursor is, not what is dragged; the range is set for all at once (linked.ts).
  ["if (src != null) {\n\t\t\t\tlet [xKey, yKey]", "if (false) {\n\t\t\t\tlet [xKey, yKey]"],
  ["if (drag.setScale && hasSelect && chgSelect) {", "if (false) {"],
  ["drag.y && rawDY >= drag.dist", "false"],
  ["let uni = drag.uni;", "const uni = null;"],
  ["else if (cursor.lock) {", "else if (false) {"],
  // Numbers on the axes are written by us. The browser's own way is made when the app starts, and takes it 10 ms.
  ["const numFormatter = new", "const numFormatter = /* @__PURE__ */ new"],
  ["sv || numSeriesVal;", "sv;"],
  ["av || numAxisVals", "av"],
  // What is hung on the library and on a chart for others.
  [/^uPlot\.(assign|fmtNum|rangeNum|rangeLog|rangeAsinh|orient|sync) .*$/gm, "", 7],
  [/^\tuPlot\.(join|fmtDate|tzDate|addGap|clipGaps) .*$/gm, "", 5],
  [/^\t\(paths\.(linear|stepped|bars|spline) .*$/gm, "", 4],
  ["let paths = uPlot.paths = {\n\t\tpoints,\n\t};", ""],
  [/^\tself\.(addSeries|delSeries|setSeries|addBand|setBand|delBand|batch|setLegend|posToIdx) = \w+;$/gm, "", 9],
  ["(opts.plugins || []).forEach(", "[].forEach(", 2],
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
