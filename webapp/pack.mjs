// Packs what was built with brotli, which this machine can afford to do once and the relay cannot do at all.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

const folder = new URL("../sfm/web/assets/", import.meta.url);
for (const name of readdirSync(folder)) {
  const body = readFileSync(new URL(name, folder));
  const packed = brotliCompressSync(body, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: body.length,
    },
  });
  if (packed.length < body.length) writeFileSync(new URL(`${name}.br`, folder), packed);
}
