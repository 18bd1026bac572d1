// Packs what was built with brotli, which this machine can afford to do once and the relay cannot do at all. Holds what
// the first page takes with gzip, as the relay packs it: a browser takes brotli over TLS and from its own machine only.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** What a browser loads until the first page is there must fit a modem link. */
const LIMIT_BYTES = 60_000;
/** The page that is opened first. */
const FIRST_PAGE = /^ConnectPage-/;

const folder = new URL("../sfm/web/", import.meta.url);
const assets = readdirSync(new URL("assets/", folder)).filter((name) => !name.endsWith(".br"));
const read = (name) => readFileSync(new URL(name === "index.html" ? name : `assets/${name}`, folder));
const sizes = new Map();
for (const name of ["index.html", ...assets]) {
  const body = read(name);
  const packed = gzipSync(body, { level: constants.Z_BEST_COMPRESSION });
  sizes.set(name, Math.min(body.length, packed.length));
  if (name === "index.html") continue;
  const brotli = brotliCompressSync(body, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: body.length,
    },
  });
  if (brotli.length < body.length) writeFileSync(new URL(`assets/${name}.br`, folder), brotli);
}

/** What a file makes a browser load at once: what it imports, and not what it may import later. */
function neededBy(name) {
  const text = read(name).toString("utf8");
  if (name === "index.html") return assets.filter((one) => text.includes(`/assets/${one}"`));
  if (!name.endsWith(".js")) return [];
  return [...text.matchAll(/(?:from|import)"\.\/([^"]+)"/g)].map(([, found]) => found);
}

const first = new Set();
const visit = (name) => {
  if (first.has(name)) return;
  first.add(name);
  for (const needed of neededBy(name)) visit(needed);
};
visit("index.html");
for (const name of assets.filter((one) => FIRST_PAGE.test(one))) visit(name);

const sum = (names) => [...names].reduce((total, name) => total + sizes.get(name), 0);
const text = (bytes) => bytes.toLocaleString("en");
const summary = `The web app's first load weighs ${text(sum(first))} bytes with gzip`;
if (sum(first) > LIMIT_BYTES) {
  console.error(`${summary}; it must be ${text(LIMIT_BYTES)} at most.`);
  process.exit(1);
}
console.log(`${summary}, of ${text(LIMIT_BYTES)}; all of its pages ${text(sum(sizes.keys()))}.`);
