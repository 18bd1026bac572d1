import { expect, it } from "vitest";
import { plainly } from "./plainly";

it.each([
  ["tcp:10.0.0.5:12345: connection refused", "tcp:10.0.0.5:12345: connection refused"],
  [
    "tcp:a:1 failed 3 times in a row and is left alone for another 20 s; force=true asks it all the same; last: no answer",
    "tcp:a:1 failed 3 times in a row and is left alone for another 20 s; a forced refresh asks it all the same; last: no answer",
  ],
  ["Wait a while. SFM_DATABASE_URL is none; set it. Try again.", "Wait a while. Try again."],
  ["no answer to POLL (5B) within 4 s", "no answer to the first call within 4 s"],
  [
    "no answer to POLL (5B) within 20 s: the unit is silent. Is it switched on? Check the power.",
    "no answer to the first call within 20 s: the unit is silent. Is it switched on? Check the power.",
  ],
  ["no answer to stop monitoring (97) within 4 s", "no answer to stop monitoring within 4 s"],
  [
    "no route leads to unit BE1 now; say where it is: seismo-relay location move NAME BE1",
    "no route leads to unit BE1 now",
  ],
  ["", ""],
])("%o", (report, plain) => {
  expect(plainly(report)).toBe(plain);
});
