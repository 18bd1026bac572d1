import preact from "@preact/preset-vite";
import { defineConfig, type Plugin } from "vite";

// What uPlot hangs on itself for others and we never draw with: steps, bars, splines, joined tables. As long as it
// hangs there it is sent to everybody.
const UNUSED = ["(paths.stepped = stepped);", "(paths.bars    = bars);", "(paths.spline  = monotoneCubic);", "uPlot.join = join;"];

function leaner(): Plugin {
  return {
    name: "leaner-uplot",
    transform(code, id) {
      if (!id.includes("uPlot.esm.js")) return null;
      for (const line of UNUSED) {
        if (!code.includes(line)) throw new Error(`uPlot has changed: ${line} is not there; look what it hangs on itself now`);
        code = code.replace(line, "");
      }
      return { code, map: null };
    },
  };
}

// The built files go where the relay serves them from, and travel in the wheel.
export default defineConfig({
  plugins: [preact(), leaner()],
  base: "/",
  build: {
    outDir: "../sfm/web",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
