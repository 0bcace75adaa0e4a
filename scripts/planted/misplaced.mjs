// Whether every fault can be planted: code changes, and a text that is not there once, and only
// once, has to follow it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../lib/paths.mjs";
import { faults } from "./faults.mjs";

/** @returns {string[]} A complaint for each that cannot be planted, as "file:line: what". */
export function misplacedFaults() {
  return faults.flatMap(({ about, file, text }) => {
    const places = readFileSync(join(root, file), "utf8").split(text).length - 1;
    return places === 1 ? [] : [`${file}:1: ${places} places for the planted fault "${about}"`];
  });
}
