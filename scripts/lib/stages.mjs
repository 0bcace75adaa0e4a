// The stages of `npm test` and `npm run check`. A stage answers how many tests it ran and how they
// ended; it does not throw for a failure of what it tests.

import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { bundle, bundled, bundleDocExamples, filesIn } from "./bundle.mjs";
import { checkConsumer } from "./consumer.mjs";
import { crossFolder, crossLibraries, libraryEnvironment, zig } from "./native.mjs";
import { addNativeTests, judge } from "./outcome.mjs";
import { results } from "./paths.mjs";
import { Recording } from "./recording.mjs";
import { parseJunit, parseTap, parseZigSummary } from "./results.mjs";
import { run } from "./run.mjs";
import { quickSanitizers } from "./sanitizers.mjs";
import { tidy } from "../tidy.mjs";
import { findRuntime } from "./tools.mjs";

/** @typedef {import("./outcome.mjs").Outcome} Outcome */

/**
 * @typedef {object} Stage
 * @property {"native" | "sanitize" | "checks" | import("./tools.mjs").Runtime} group
 * @property {string} name
 * @property {() => Promise<Outcome>} run
 */

const checkLimitMs = 180_000;
const nativeLimitMs = 900_000;
/** For one test file; a slow machine may need more. */
const fileLimitMs = Number(process.env.TWINPOLL_TEST_LIMIT_MS ?? 120_000);
/** For all test files on one runtime. */
const runtimeLimitMs = 5 * fileLimitMs;

/**
 * A stage that counts as one test.
 * @param {import("./run.mjs").RunResult} result
 * @param {number} limitMs
 * @returns {Outcome}
 */
function single(result, limitMs) {
  const ok = result.code === 0 && !result.timedOut;
  const output = result.output + overdue(result, limitMs);
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: [], output };
}

/**
 * @param {import("./run.mjs").RunResult} result
 * @param {number} limitMs
 */
function overdue(result, limitMs) {
  return result.timedOut ? `\nNo end after ${limitMs / 1000} s: killed.\n` : "";
}

/**
 * @param {string} what
 * @returns {Outcome}
 */
function absent(what) {
  return { passed: 0, failed: 0, skipped: [], output: "", absent: what };
}

/**
 * @param {"native" | "checks"} group
 * @param {string} name
 * @param {string[]} args
 * @returns {Stage}
 */
function zigStage(group, name, args) {
  return {
    group,
    name,
    run: async () => single(await zig(args, nativeLimitMs), nativeLimitMs),
  };
}

/** @returns {Promise<Outcome>} */
async function zigTests() {
  const recording = new Recording("zig tests");
  const args = ["build", "test", "--summary", "all"];
  const result = await zig(args, nativeLimitMs, recording.env);
  /** @type {Outcome} */
  const outcome = { passed: 0, failed: 0, skipped: [], output: "" };
  addNativeTests(outcome, parseZigSummary(result.output), result);
  outcome.output += overdue(result, nativeLimitMs);
  judge(outcome, recording.read(), true);
  return outcome;
}

/**
 * The library for each system it knows: one test each. Nothing here runs what was built.
 * @returns {Promise<Outcome>}
 */
async function crossBuilds() {
  rmSync(crossFolder, { recursive: true, force: true });
  const result = await zig(["build", "cross"], nativeLimitMs);
  let output = result.output + overdue(result, nativeLimitMs);
  let passed = 0;
  for (const name of crossLibraries) {
    const fault = faultOf(name);
    if (fault === undefined) passed += 1;
    else output += `\n${name}: ${fault}\n`;
  }
  const missing = crossLibraries.length - passed;
  const failed = missing === 0 && result.code !== 0 ? 1 : missing;
  return { passed, failed, skipped: [], output };
}

/**
 * @param {string} name One of `crossLibraries`.
 * @returns {string | undefined}
 */
function faultOf(name) {
  const file = join(crossFolder, name);
  if (!existsSync(file)) return "was not built";
  // It would load with one libc only.
  if (name.includes("-linux/") && readFileSync(file).includes("libc.so")) return "needs a libc";
  return undefined;
}

/**
 * @param {string} name
 * @param {string[]} args
 * @returns {Stage}
 */
function denoStage(name, args) {
  return {
    group: "checks",
    name,
    run: async () => {
      const deno = await findRuntime("deno");
      if (deno === undefined) return absent("deno");
      return single(await run(deno, args, { limitMs: checkLimitMs }), checkLimitMs);
    },
  };
}

/** @type {Stage} */
const consumerStage = {
  group: "checks",
  name: "npm types",
  run: async () => {
    const deno = await findRuntime("deno");
    if (deno === undefined) return absent("deno");
    return single(await checkConsumer(deno, checkLimitMs), checkLimitMs);
  },
};

/** @type {Stage} */
const tidyStage = {
  group: "checks",
  name: "tidy",
  run: () => {
    const complaints = tidy();
    const ok = complaints.length === 0;
    return Promise.resolve({
      passed: ok ? 1 : 0,
      failed: ok ? 0 : 1,
      skipped: [],
      output: complaints.join("\n"),
    });
  },
};

/**
 * How each runtime runs a test file and reports to `report`.
 * @type {Record<import("./tools.mjs").Runtime, (file: string, report: string) => string[]>}
 */
const commands = {
  deno: (file, report) => ["test", "--allow-all", "--no-check", `--junit-path=${report}`, file],
  bun: (file, report) => [
    "test",
    `--timeout=${fileLimitMs}`,
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    `./${file}`,
  ],
  node: (file, report) => [
    "--test",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=tap",
    `--test-reporter-destination=${report}`,
    bundled(file),
  ],
};

/**
 * @param {import("./tools.mjs").Runtime} runtime
 * @param {string[]} chosen Test files; none for all.
 * @returns {Stage}
 */
function runtimeStage(runtime, chosen) {
  return {
    group: runtime,
    name: `tests on ${runtime}`,
    run: async () => {
      const executable = await findRuntime(runtime);
      if (executable === undefined) return absent(runtime);
      if (runtime === "node") {
        if (await findRuntime("bun") === undefined) return absent("bun, to bundle for node");
        await bundle("tests", "examples");
        await bundleDocExamples();
      }
      const files = chosen.length > 0 ? chosen : filesIn("tests", ".test.ts");
      if (files.length === 0) return single({ ...nothing, output: "No test files." }, 0);

      /** @type {Outcome} */
      const total = { passed: 0, failed: 0, skipped: [], output: "" };
      const recording = new Recording(`tests on ${runtime}`);
      const deadline = performance.now() + runtimeLimitMs;
      for (const file of files) {
        const leftMs = deadline - performance.now();
        const outcome = await testFile(runtime, executable, file, leftMs, recording.env);
        total.passed += outcome.passed;
        total.failed += outcome.failed;
        total.skipped.push(...outcome.skipped);
        if (outcome.failed > 0) total.output += `${file} on ${runtime}:\n${outcome.output}\n`;
      }
      judge(total, recording.read(), chosen.length === 0);
      return total;
    },
  };
}

/** @type {import("./run.mjs").RunResult} */
const nothing = { code: 1, output: "", timedOut: false, ms: 0 };

/**
 * Runs a file in a process of its own: one that crashes or hangs takes no other's results along.
 * @param {import("./tools.mjs").Runtime} runtime
 * @param {string} executable
 * @param {string} file
 * @param {number} leftMs What is left of the runtime's time.
 * @param {Record<string, string>} env For the tests.
 * @returns {Promise<Outcome>}
 */
async function testFile(runtime, executable, file, leftMs, env) {
  if (leftMs <= 0) return single({ ...nothing, output: "Not run: no time left." }, 0);
  const limitMs = Math.min(leftMs, fileLimitMs);
  const ending = runtime === "node" ? "tap" : "xml";
  const report = join(results, `${runtime}-${basename(file, ".test.ts")}.${ending}`);
  mkdirSync(results, { recursive: true });
  rmSync(report, { force: true });
  const result = await run(executable, commands[runtime](file, report), {
    limitMs,
    env: { DENO_NO_UPDATE_CHECK: "1", ...libraryEnvironment(runtime), ...env },
  });

  /** @type {import("./results.mjs").TestCase[]} */
  let cases = [];
  let output = result.output + overdue(result, limitMs);
  try {
    const text = readFileSync(report, "utf8");
    cases = runtime === "node" ? parseTap(text) : parseJunit(text);
  } catch {
    output += "\nThe runner left no report.\n";
  }
  const passed = cases.filter((test) => test.status === "passed").length;
  const skipped = cases.filter((test) => test.status === "skipped");
  let failed = cases.filter((test) => test.status === "failed").length;
  if (result.timedOut) {
    failed += 1;
  } else if (failed === 0 && (result.code !== 0 || cases.length === 0)) {
    // A crash, an error outside of any test, or a file that tests nothing.
    failed = 1;
    output += `\nExit code ${result.code}, ${cases.length} tests, none failed.\n`;
  }
  return { passed, failed, skipped, output };
}

/**
 * @param {string[]} files Test files for the runtimes; none for all.
 * @returns {Stage[]} In the order in which they run.
 */
export function allStages(files = []) {
  return [
    zigStage("checks", "zig fmt", ["fmt", "--check", "build.zig", "zig", "bench", "tests"]),
    zigStage("native", "zig build", ["build", "install", "tools"]),
    zigStage("native", "generated files", ["build", "check-generated"]),
    { group: "native", name: "zig tests", run: zigTests },
    { group: "native", name: "cross builds", run: crossBuilds },
    ...quickSanitizers,
    denoStage("deno fmt", ["fmt", "--check"]),
    denoStage("deno lint", ["lint"]),
    // The types of plain JavaScript are in comments, which the rules of deno.json do not see.
    denoStage("lint of scripts", ["lint", "--no-config", "scripts"]),
    // With the examples in comments and in README.md.
    denoStage("deno check", ["check", "--doc", ".", "README.md"]),
    consumerStage,
    denoStage("deno doc", ["doc", "--lint", "mod.ts", "net.ts"]),
    denoStage("deno publish", ["publish", "--dry-run", "--allow-dirty"]),
    tidyStage,
    runtimeStage("deno", files),
    runtimeStage("bun", files),
    runtimeStage("node", files),
  ];
}
