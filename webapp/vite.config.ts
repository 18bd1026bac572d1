import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

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
  },
});
