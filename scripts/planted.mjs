// Tests the tests: plants known bugs, one at a time, and runs the simulator until it finds each.
// `node scripts/task.mjs planted [WORD …]`: those whose description has one of the words.
//
// The sources are copied to a temporary folder; all builds share one cache there, so that each
// compiles little more than what was changed. Debug builds: they are the quickest to make.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./lib/paths.mjs";
import { run, TaskError } from "./lib/run.mjs";
import { findZig } from "./lib/tools.mjs";
import { faults } from "./planted/faults.mjs";
import { misplacedFaults } from "./planted/misplaced.mjs";

const seeds = 3000;
const buildLimitMs = 300_000;
const runLimitMs = 300_000;

/**
 * @param {string[]} words
 * @returns {Promise<number>} The exit code: 0 when every fault was found.
 */
export async function planted(words) {
  const chosen = faults.filter(({ about }) =>
    words.length === 0 || words.some((word) => about.includes(word))
  );
  if (chosen.length === 0) throw new TaskError(`No fault's description has ${words.join(" or ")}.`);
  const lost = misplacedFaults();
  if (lost.length > 0) throw new TaskError(lost.join("\n"));
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-planted-"));
  try {
    cpSync(join(root, "zig"), join(folder, "zig"), { recursive: true });
    await expectClean(folder);
    let missed = 0;
    for (const fault of chosen) {
      const started = performance.now();
      const verdict = await plant(folder, fault);
      if (!verdict.found) missed += 1;
      const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`;
      const label = verdict.found ? "found" : "MISSED";
      const columns = [label.padEnd(7), verdict.by.padEnd(10), seconds.padStart(7)];
      console.log(`${columns.join(" ")}  ${fault.about}`);
      if (!verdict.found) console.log(verdict.output);
    }
    console.log(`${chosen.length - missed} found, ${missed} missed`);
    return missed === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A simulator that fails anyway would find everything.
 * @param {string} folder
 */
async function expectClean(folder) {
  const { code, output } = await simulate(folder);
  if (code !== 0) throw new TaskError(`${output}\nThe simulator fails without a planted fault.`);
}

/**
 * @param {string} folder
 * @param {import("./planted/faults.mjs").Fault} fault
 * @returns {Promise<{ found: boolean, by: string, output: string }>}
 */
async function plant(folder, fault) {
  const path = join(folder, fault.file);
  const source = readFileSync(join(root, fault.file), "utf8");
  writeFileSync(path, source.replace(fault.text, () => fault.instead));
  try {
    const { code, output } = await simulate(folder);
    const seed = output.match(/^seed (\d+) failed/m)?.[1];
    return { found: code !== 0 && seed !== undefined, by: `seed ${seed ?? "-"}`, output };
  } finally {
    writeFileSync(path, source);
  }
}

/**
 * Builds the simulator of a copy and runs it.
 * @param {string} folder
 */
async function simulate(folder) {
  const { path, env } = await findZig();
  const program = join(folder, "simulate");
  const build = await run(path, [
    "build-exe",
    "zig/simulate.zig",
    "-lc",
    "--cache-dir",
    join(folder, "cache"),
    `-femit-bin=${program}`,
  ], { cwd: folder, env: { ...env }, limitMs: buildLimitMs });
  if (build.code !== 0) throw new TaskError(`${build.output}\nThe simulator does not build.`);
  return await run(program, ["--seeds", String(seeds)], { cwd: folder, limitMs: runLimitMs });
}
