// Packs what was built with brotli, which this machine can afford to do once and the relay cannot do at all. Holds what
// all of it weighs with gzip, as the relay packs it: a browser takes brotli over TLS and from its own machine only.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** All that a browser loads must fit a modem link. */
const LIMIT_BYTES = 60_000;

const folder = new URL("../sfm/web/", import.meta.url);
const assets = readdirSync(new URL("assets/", folder)).filter((name) => !name.endsWith(".br")).map((name) => `assets/${name}`);
let total = 0;
for (const name of ["index.html", ...assets]) {
  const body = readFileSync(new URL(name, folder));
  total += Math.min(body.length, gzipSync(body, { level: constants.Z_BEST_COMPRESSION }).length);
  if (!assets.includes(name)) continue;
  const packed = brotliCompressSync(body, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: body.length,
    },
  });
  if (packed.length < body.length) writeFileSync(new URL(`${name}.br`, folder), packed);
}

const summary = `The web app weighs ${total.toLocaleString("en")} bytes with gzip`;
if (total >= LIMIT_BYTES) {
  console.error(`${summary}; it must be less than ${LIMIT_BYTES.toLocaleString("en")}.`);
  process.exit(1);
}
console.log(`${summary}, of ${LIMIT_BYTES.toLocaleString("en")}.`);
