// Where the tests of one stage record what they tell about themselves: a file in the results
// folder.

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { results } from "./paths.mjs";
import { parseRecord } from "./records.mjs";

export class Recording {
  #path;

  /** @param {string} name Of the stage; what was recorded under it before is dropped. */
  constructor(name) {
    this.#path = join(results, `${name.replaceAll(" ", "-")}.record`);
    mkdirSync(results, { recursive: true });
    rmSync(this.#path, { force: true });
  }

  /** @returns {Record<string, string>} What the tests need in their environment. */
  get env() {
    return { TWINPOLL_TEST_RECORD: this.#path };
  }

  /** @returns {import("./records.mjs").TestRecord} What was recorded so far. */
  read() {
    try {
      return parseRecord(readFileSync(this.#path, "utf8"));
    } catch {
      return parseRecord("");
    }
  }
}
