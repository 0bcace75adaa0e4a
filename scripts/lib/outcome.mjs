// What the outcome of a stage means: reasons for skips, backends that no test has opened, and what
// CI does not let pass. Nothing here touches files or processes.

import { describe, isExcused, neverOpened } from "./records.mjs";

/**
 * @typedef {object} Outcome
 * @property {number} passed
 * @property {number} failed
 * @property {import("./results.mjs").TestCase[]} skipped
 * @property {string} output Shown if something failed.
 * @property {string} [backends] Those that its tests have opened, for people.
 * @property {string} [absent] What this stage would need; it did not run.
 */

/**
 * Adds native tests that ran in one go. None at all is a failure: a run that was to test something
 * has not.
 * @param {Outcome} outcome
 * @param {{ passed: number, failed: number, skipped: number } | undefined} counts Undefined if the
 *   tests did not come to their end.
 * @param {{ code: number, output: string }} result A sanitizer's report changes the exit code of
 *   tests that all passed.
 */
export function addNativeTests(outcome, counts, { code, output }) {
  const { passed, failed, skipped } = counts ?? { passed: 0, failed: 0, skipped: 0 };
  outcome.passed += passed;
  outcome.failed += failed;
  // A native test does not know its name.
  for (let index = 0; index < skipped; index++) {
    outcome.skipped.push({ name: "a native test", status: "skipped" });
  }
  outcome.output += output;
  if (failed > 0 || (code === 0 && passed > 0)) return;
  outcome.failed += 1;
  if (code === 0) outcome.output += "\nNo tests were counted.\n";
}

/**
 * Gives skipped tests their reasons, and tells which backends were opened.
 * @param {Outcome} outcome
 * @param {import("./records.mjs").TestRecord} record
 * @param {boolean} complete Whether all tests were to run; a backend of this machine that none of
 *   them has opened is a failure then.
 */
export function judge(outcome, record, complete) {
  let nameless = 0;
  for (const test of outcome.skipped) {
    const reason = record.reasons.get(test.name) ?? test.reason ?? record.nameless[nameless++];
    if (reason !== undefined) test.reason = reason;
  }
  outcome.backends = describe(record);
  if (!complete) return;
  const missing = neverOpened(record).map((backend) =>
    `This machine offers ${backend}, and no test has opened it.`
  );
  if (record.offered.size === 0) missing.push("No test has recorded what this machine offers.");
  outcome.failed += missing.length;
  outcome.output += missing.map((text) => `\n${text}\n`).join("");
}

/**
 * In CI everything must run: what is absent has failed, and so has a test that was skipped, unless
 * it is the kernel that lacks something.
 * @param {Outcome} outcome
 */
export function demandAll(outcome) {
  if (outcome.absent !== undefined) {
    outcome.failed = 1;
    outcome.output = `Absent: ${outcome.absent}. With CI set, every stage must run.`;
  }
  const omitted = outcome.skipped.filter((test) => !isExcused(test.reason));
  outcome.skipped = outcome.skipped.filter((test) => isExcused(test.reason));
  outcome.failed += omitted.length;
  for (const { name, reason } of omitted) {
    outcome.output += `\nSkipped: ${name} (${reason ?? noReason}). With CI set, every test must ` +
      "run that the kernel allows.\n";
  }
}

const noReason = "no reason given";

/**
 * @param {Outcome} outcome
 * @returns {string[]} A line per reason for which tests were skipped.
 */
export function skipLines(outcome) {
  /** @type {Map<string, string[]>} */
  const names = new Map();
  for (const { name, reason = noReason } of outcome.skipped) {
    names.set(reason, [...names.get(reason) ?? [], name]);
  }
  return Array.from(names, ([reason, [first, ...more]]) => {
    const others = more.length > 0 ? ` and ${more.length} more` : "";
    return `${first}${others} (${reason})`;
  });
}
