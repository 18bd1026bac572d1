import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { build, type Rolldown } from "vite";
import { expect, it } from "vitest";
import { leaner, leanerUplot } from "./leaner";
import { optionsOf, type Chart } from "./src/waveform/plot";

const file = fileURLToPath(new URL("node_modules/uplot/dist/uPlot.esm.js", import.meta.url));
const text = readFileSync(file, "utf8");

/** Return what the bundler leaves of uPlot. */
async function bundled(): Promise<string> {
  const lib = { entry: file, formats: ["es" as const] };
  const built = await build({ configFile: false, logLevel: "silent", plugins: [leanerUplot()], build: { write: false, minify: false, lib } });
  return (built as Rolldown.RolldownOutput[])[0]!.output[0].code;
}

/** Return the names that a script asks for and that nobody gives. */
function unknownNames(code: string): string[] {
  const name = "uplot.js";
  const options: ts.CompilerOptions = { allowJs: true, checkJs: true, noEmit: true, target: ts.ScriptTarget.ES2022, lib: ["lib.es2023.d.ts", "lib.dom.d.ts"] };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (file, version) => (file === name ? ts.createSourceFile(file, code, version) : read(file, version));
  const program = ts.createProgram([name], options, host);
  const found = [...program.getSyntacticDiagnostics(), ...program.getSemanticDiagnostics(program.getSourceFile(name))];
  // "Cannot find name", with and without a proposal; what is no syntax.
  return found
    .filter(({ code: kind }) => [2304, 2552, 2663, 18004].includes(kind) || kind < 2000)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
}

it("leaves nothing in uPlot that asks for what was taken out", async () => {
  const code = await bundled();
  expect(unknownNames(code)).toEqual([]);
  expect(unknownNames(code.replace(/^var retNull.*$/m, ""))).not.toEqual([]);
  expect(code.length).toBeLessThan(text.length / 2);
}, 60_000);

it("stops at a uPlot that is another", () => {
  expect(() => leaner(text.replace("const mode = self.mode;", "const mode = self.kind;"))).toThrow(/uPlot has changed: const mode = self.mode;/);
  expect(() => leaner(leaner(text))).toThrow(/uPlot has changed/);
});

it("takes out only what the charts' options never ask for", () => {
  const { mode, scales, axes, series, cursor, legend, bands, plugins } = optionsOf({} as Chart, 600, 138, { min: 0, max: 1 });
  expect([mode, bands, plugins]).toEqual([undefined, undefined, undefined]);
  expect(scales).toMatchObject({ x: { time: false, min: 0, max: 1 }, y: { auto: false, range: expect.any(Function) } });
  for (const scale of Object.values(scales!)) {
    for (const unused of ["distr", "ori", "dir", "from"]) expect(scale).not.toHaveProperty(unused);
  }
  for (const axis of axes!) expect(axis).toMatchObject({ values: expect.any(Function) });
  expect(axes!.every(({ side }) => side === undefined)).toBe(true);
  expect(series).toHaveLength(2);
  expect(series[1]).toMatchObject({ points: { show: false }, paths: expect.any(Function) });
  expect(series[1]).not.toHaveProperty("fill");
  expect(legend).toEqual({ show: false });
  expect(cursor).toMatchObject({ drag: { x: true, y: false, setScale: false }, dataIdx: expect.any(Function) });
  expect(cursor).not.toHaveProperty("focus");
  expect(cursor).not.toHaveProperty("lock");
  expect(cursor!.drag).not.toHaveProperty("uni");
  const shared = cursor!.sync!.filters!.pub!;
  const kinds = ["mousedown", "mousemove", "mouseup", "mouseleave", "dblclick", "setSeries"];
  expect(kinds.filter((kind) => shared(kind, {} as never, 0, 0, 0, 0, null))).toEqual(["mousemove", "mouseleave"]);
});
