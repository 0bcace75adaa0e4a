// The tasks of package.json and deno.json: start, test, sanitize, planted, bench, soak, build,
// check, fmt.
//
// Each does its own set-up, so that a fresh clone needs nothing but Node and npm, or Deno, or Bun.
// Plain JavaScript over `node:` modules, because it must run before anything is installed or built.

import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { bundle, bundled } from "./lib/bundle.mjs";
import { buildNative, libraryEnvironment, zig } from "./lib/native.mjs";
import { root } from "./lib/paths.mjs";
import { runStages } from "./lib/report.mjs";
import { run, TaskError } from "./lib/run.mjs";
import { sanitizers } from "./lib/sanitizers.mjs";
import { setup } from "./lib/setup.mjs";
import { allStages } from "./lib/stages.mjs";
import { current, needRuntime } from "./lib/tools.mjs";
import { writeTypes } from "./lib/types.mjs";
import { planted } from "./planted.mjs";

const usage = `node scripts/task.mjs TASK [ARGUMENTS]

  start            the main benchmark job
  bench [ARGS]     the benchmarks
  soak [ARGS]      a hundred thousand connections, ten thousand idle ones: what is left behind
  test [WHAT …]    all tests, or: native, sanitize, checks, deno, bun, node, FILE.test.ts …
  sanitize         native tests and C peers: threads, undefined behaviour, Valgrind
  check            formatting, lint, types, documentation, publish dry run, house rules
  build            the library, and the npm package's files in dist/
  fmt              format all sources
  planted [WORD …] plants known bugs, which the simulator must find
`;

const [task = "", ...rest] = process.argv.slice(2);
// `deno task bench -- --help` passes the dashes on, npm does not.
const args = rest[0] === "--" ? rest.slice(1) : rest;

/** @type {Record<string, () => Promise<number>>} */
const tasks = {
  start: () => benchmark("bench/start.ts"),
  bench: () => benchmark("bench/main.ts"),
  soak: () => program("bench/soak.ts"),
  test,
  sanitize: async () => {
    await setup();
    return await runStages(sanitizers) ? 0 : 1;
  },
  check: async () => {
    await setup();
    return await runStages(allStages().filter((stage) => stage.group === "checks")) ? 0 : 1;
  },
  build: async () => {
    await setup();
    await buildNative();
    await bundle();
    await writeTypes();
    return 0;
  },
  fmt: async () => {
    await setup();
    const formatted = await zig(["fmt", "build.zig", "zig", "bench", "tests"]);
    process.stdout.write(formatted.output);
    const { code } = await run(await needRuntime("deno"), ["fmt"], { show: true });
    return formatted.code || code;
  },
  planted: async () => {
    await setup();
    return await planted(args);
  },
};

/** @returns {Promise<number>} */
async function test() {
  const groups = new Set(["native", "sanitize", "checks", "deno", "bun", "node"]);
  const files = args.filter((argument) => argument.endsWith(".test.ts"));
  const chosen = args.filter((argument) => groups.has(argument));
  const unknown = args.filter((argument) => !files.includes(argument) && !groups.has(argument));
  const lost = files.filter((file) => !existsSync(join(root, file)));
  if (unknown.length > 0 || lost.length > 0) {
    throw new TaskError(`Unknown: ${[...unknown, ...lost].join(" ")}\n\n${usage}`);
  }
  await setup();
  // Everything needs the library, so it is built whatever was chosen. A file alone means: on every
  // runtime.
  const wanted = new Set(
    chosen.length > 0 ? chosen : files.length > 0 ? ["deno", "bun", "node"] : groups,
  );
  const stages = allStages(files)
    .filter((stage) => wanted.has(stage.group) || (stage.name === "zig build" && !only("checks")));
  return await runStages(stages) ? 0 : 1;

  /** @param {string} group */
  function only(group) {
    return wanted.size === 1 && wanted.has(group);
  }
}

/**
 * Runs a benchmark that is measured against other programs.
 * @param {string} file
 * @returns {Promise<number>}
 */
async function benchmark(file) {
  await setup();
  await buildNative();
  await buildPeers();
  return await program(file);
}

/**
 * Runs a program of `bench/` on the runtime of this script. Node cannot run TypeScript in its
 * oldest supported version and gets a bundle.
 * @param {string} file
 * @returns {Promise<number>}
 */
async function program(file) {
  await setup();
  await buildNative();
  if (current === "node") await bundle("bench", "examples");
  const command = current === "node"
    ? [bundled(file)]
    : current === "deno"
    ? ["run", "--allow-all", file]
    : [file];
  const { code } = await run(process.execPath, [...command, ...args], {
    show: true,
    env: libraryEnvironment(current),
  });
  return code;
}

/** The programs that are measured against; a benchmark leaves out those that cannot be built. */
async function buildPeers() {
  try {
    await buildNative("bench");
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    console.error(`warning: ${error.message}`);
  }
}

try {
  const action = Object.hasOwn(tasks, task) ? tasks[task] : undefined;
  if (action === undefined) throw new TaskError(usage);
  process.exitCode = await action();
} catch (error) {
  if (!(error instanceof TaskError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
