// The stages that run native tests and C peers under sanitizers: threads, undefined behaviour, and
// Valgrind. Each first finds the fault that was planted for it in tests/native/faulty.c, so that
// silence means something.
//
// The thread sanitizer does not see the system calls of the library, so what the kernel writes
// (rings, buffers) is no write to it, and needs no suppression.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { libraryEnvironment, zig } from "./native.mjs";
import { addNativeTests, judge } from "./outcome.mjs";
import { root } from "./paths.mjs";
import { Recording } from "./recording.mjs";
import { parseZigRunner } from "./results.mjs";
import { run } from "./run.mjs";
import { executable } from "./tools.mjs";

/** @typedef {import("./outcome.mjs").Outcome} Outcome */
/** @typedef {import("./stages.mjs").Stage} Stage */

const folder = join(root, "zig-out", "sanitize");
const limitMs = 600_000;
/** Valgrind takes some forty times as long as the tests alone. */
const valgrindLimitMs = 900_000;
/** Any number that no test ends with. */
const faultExit = 99;

/**
 * Counts of one step and what it printed, added to those of a stage.
 * @param {Outcome} stage
 * @param {string} name
 * @param {boolean} ok
 * @param {string} output
 */
function count(stage, name, ok, output) {
  if (ok) stage.passed += 1;
  else stage.failed += 1;
  if (!ok) stage.output += `${name}:\n${output}\n`;
}

/** @returns {Outcome} */
function empty() {
  return { passed: 0, failed: 0, skipped: [], output: "" };
}

/**
 * @param {Outcome} stage
 * @param {string} step Of build.zig.
 * @returns {Promise<boolean>} Whether there is something to run.
 */
async function build(stage, step) {
  const result = await zig(["build", "tools", step]);
  if (result.code !== 0) count(stage, `zig build ${step}`, false, result.output);
  return result.code === 0;
}

/**
 * Runs a program with a fault in it, which must be found.
 * @param {Outcome} stage
 * @param {string[]} command
 * @param {RegExp} finding What the sanitizer says.
 */
async function expectFinding(stage, command, finding) {
  const [program, ...args] = command;
  const { code, output } = await run(program, args, { limitMs });
  const ok = code !== 0 && finding.test(output);
  count(stage, `planted fault: ${args.at(-1)}`, ok, `Not found (exit code ${code}).\n${output}`);
}

/**
 * Runs the native tests in one process.
 * @param {Outcome} stage
 * @param {string} name Of the stage.
 * @param {string[]} command
 * @param {Record<string, string>} [env]
 * @param {number} [testsLimitMs]
 */
async function runTests(stage, name, command, env = {}, testsLimitMs = limitMs) {
  const recording = new Recording(name);
  const [program, ...args] = command;
  const result = await run(program, args, {
    limitMs: testsLimitMs,
    env: { ...libraryEnvironment("deno"), ...env, ...recording.env },
  });
  addNativeTests(stage, parseZigRunner(result.output), result);
  if (result.timedOut) stage.output += `\nNo end after ${testsLimitMs / 1000} s: killed.\n`;
  judge(stage, recording.read(), false);
}

/** @type {Stage} */
const racesStage = {
  group: "sanitize",
  name: "data races",
  run: async () => {
    const stage = empty();
    if (!await build(stage, "sanitize")) return stage;
    await expectFinding(stage, [join(folder, "faulty-thread"), "race"], /data race/);
    const env = { TSAN_OPTIONS: `exitcode=${faultExit}` };
    await runTests(stage, "data races", [join(folder, "thread-tests")], env);
    return stage;
  },
};

/** @type {Stage} */
const undefinedStage = {
  group: "sanitize",
  name: "undefined behaviour",
  run: async () => {
    const stage = empty();
    if (!await build(stage, "sanitize")) return stage;
    const faulty = join(folder, "faulty-undefined_behaviour");
    await expectFinding(stage, [faulty, "overflow"], /signed integer overflow/);
    await runTests(stage, "undefined behaviour", [join(folder, "safe-tests")]);
    for (const peer of ["echo_epoll", liburingPeer]) await runEcho(stage, peer);
    await runFixed(stage);
    return stage;
  },
};

/** Starts an echo server, loads it for a moment, ends it; the exit code is 0 if both went well. */
const echoJob = `
: > "$3" # what an earlier run has left
"$1" 0 > "$3" & server=$!
for attempt in $(seq 200); do
  port=$(sed -n 's/^listening //p' "$3"); [ -n "$port" ] && break
  grep -q ^unavailable "$3" && exit 77
  kill -0 $server || exit 3
  sleep 0.05
done
"$2" --port "$port" --conns 20 --size 3000 --depth 4 --seconds 0.2 --warmup 0.1; loaded=$?
kill -TERM $server; wait $server; ended=$?
echo "load $loaded, server $ended"; exit $((loaded + ended))`;

/** As in the benchmarks, this peer is there only where liburing is installed. */
const liburingPeer = "echo_io_uring";

/**
 * @param {Outcome} stage
 * @param {string} peer Of bench/native.
 */
async function runEcho(stage, peer) {
  const server = join(folder, peer);
  if (!existsSync(server)) {
    if (peer !== liburingPeer) return count(stage, peer, false, `${server} was not built.`);
    const reason = "liburing is not installed";
    return void stage.skipped.push({ name: peer, status: "skipped", reason });
  }
  const load = join(folder, "twinpoll-load");
  const args = ["-c", echoJob, "echo-job", server, load, join(folder, `${peer}.out`)];
  const { code, output } = await run("/bin/sh", args, { limitMs });
  if (code === 77) {
    stage.skipped.push({ name: peer, status: "skipped", reason: "kernel: io_uring: unavailable" });
  } else {
    count(stage, peer, code === 0 && !output.includes("panic:"), output);
  }
}

/** @param {Outcome} stage */
async function runFixed(stage) {
  const args = ["--seconds", "0.02", "--rounds", "1", "--size", "4096", "--conns", "4"];
  const command = join(folder, "fixed");
  const { code, output } = await run(command, [...args, "--pages", "small"], { limitMs });
  // 1 says that this kernel refused a variant.
  const refused = code === 1 && /not available|: io_uring /.test(output);
  if (refused) {
    const reason = "kernel: io_uring: the kernel refuses it, or a variant";
    stage.skipped.push({ name: "fixed", status: "skipped", reason });
  } else {
    count(stage, "fixed", code === 0, output);
  }
}

/** @type {Stage} */
const valgrindStage = {
  group: "sanitize",
  name: "valgrind",
  run: async () => {
    const stage = empty();
    const valgrind = executable("valgrind");
    if (valgrind === undefined) return { ...stage, absent: "valgrind" };
    if (!await build(stage, "sanitize-valgrind")) return stage;
    const command = [
      valgrind,
      `--error-exitcode=${faultExit}`,
      "--leak-check=full",
      // What threads that live as long as the process point to is only "possibly" lost.
      "--errors-for-leak-kinds=definite",
      "--show-leak-kinds=definite",
      // The exit code tells of a child; its report would be mixed with ours.
      "--child-silent-after-fork=yes",
      `--suppressions=${join(root, "tests", "native", "valgrind.supp")}`,
    ];
    const faulty = join(folder, "faulty-none");
    await expectFinding(stage, [...command, faulty, "invalid"], /Invalid read of size 1/);
    await expectFinding(stage, [...command, faulty, "leak"], /definitely lost/);
    const tests = [...command, join(folder, "plain-tests")];
    await runTests(stage, "valgrind", tests, {}, valgrindLimitMs);
    return stage;
  },
};

/** Those that are quick enough for every run of the tests. */
export const quickSanitizers = [racesStage, undefinedStage];

/** All, in the order in which they run. */
export const sanitizers = [...quickSanitizers, valgrindStage];
