import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

// What pages share comes in one file with the app: a slow phone takes some 10 ms for each file more.
const SHARED = /[\\/]src[\\/](\w+\.tsx?$|(api|data|parts|shell|unit)[\\/]|commands[\\/](FetchAll|Monitoring))/;

// The built files go where the relay serves them from, and travel in the wheel.
export default defineConfig({
  plugins: [preact()],
  base: "/",
  worker: { format: "es" },
  build: {
    outDir: "../sfm/web",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "app", test: SHARED }] } } },
  },
});
