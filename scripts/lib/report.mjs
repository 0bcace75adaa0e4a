// Runs stages one after the other and tells how each went.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { demandAll, skipLines } from "./outcome.mjs";
import { results } from "./paths.mjs";
import { TaskError } from "./run.mjs";

/** So much of a failed stage's output is shown; all of it is in the results folder. */
const shownLines = 200;

/**
 * @param {import("./stages.mjs").Stage[]} stages
 * @returns {Promise<boolean>} Whether nothing failed.
 */
export async function runStages(stages) {
  mkdirSync(results, { recursive: true });
  let passed = 0;
  let failed = 0;
  /** @type {string[]} What a reader of "ok" would otherwise not know. */
  const notes = [];

  for (const stage of stages) {
    const started = performance.now();
    const outcome = await attempt(stage);
    if (process.env.CI) demandAll(outcome);
    passed += outcome.passed;
    failed += outcome.failed;
    notes.push(...skipLines(outcome).map((text) => `skipped, ${stage.name}: ${text}`));
    if (outcome.backends !== undefined) notes.push(`opened, ${stage.name}: ${outcome.backends}`);
    writeFileSync(join(results, `${stage.name.replaceAll(" ", "-")}.log`), outcome.output);
    console.log(line(stage, outcome, performance.now() - started));
    if (outcome.failed > 0) console.log(tail(outcome.output));
  }

  for (const note of notes) console.log(note);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}

/**
 * @param {import("./stages.mjs").Stage} stage
 * @returns {Promise<import("./outcome.mjs").Outcome>}
 */
async function attempt(stage) {
  try {
    return await stage.run();
  } catch (error) {
    const text = error instanceof TaskError ? error.message : String(Object(error).stack ?? error);
    return { passed: 0, failed: 1, skipped: [], output: text };
  }
}

/**
 * @param {import("./stages.mjs").Stage} stage
 * @param {import("./outcome.mjs").Outcome} outcome
 * @param {number} ms
 */
function line(stage, outcome, ms) {
  const verdict = outcome.failed > 0 ? "FAILED" : outcome.absent !== undefined ? "absent" : "ok";
  const counts = [`${outcome.passed} passed`];
  if (outcome.failed > 0) counts.push(`${outcome.failed} failed`);
  if (outcome.skipped.length > 0) counts.push(`${outcome.skipped.length} skipped`);
  const text = outcome.absent !== undefined ? `not found: ${outcome.absent}` : counts.join(", ");
  const seconds = `${(ms / 1000).toFixed(1)} s`;
  return `${verdict.padEnd(7)} ${stage.name.padEnd(19)} ${seconds.padStart(7)}  ${text}`;
}

/** @param {string} output */
function tail(output) {
  const lines = output.trimEnd().split("\n");
  const hidden = lines.length - shownLines;
  const head = hidden > 0 ? [`(${hidden} lines before this are in the log)`] : [];
  return [...head, ...lines.slice(-shownLines)].map((text) => `    ${text}`).join("\n");
}
