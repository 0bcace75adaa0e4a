// Runs a child process: captured or shown, and never longer than its time limit.
//
// A captured child leads its own process group, and the whole group is killed at the end, so that
// nothing a test has started outlives it.

import { spawn } from "node:child_process";
import process from "node:process";
import { root } from "./paths.mjs";

/**
 * @typedef {object} RunOptions
 * @property {number} [limitMs] After this long the process group is killed; default: no limit.
 * @property {Record<string, string>} [env] Added to the environment.
 * @property {string} [cwd] Default: the root of the clone.
 * @property {boolean} [show] Let the child use this terminal instead of capturing its output.
 */

/**
 * @typedef {object} RunResult
 * @property {number} code Exit code; 128 if a signal ended it, 127 if it could not be started.
 * @property {string} output Standard output and standard error, as they came.
 * @property {boolean} timedOut
 * @property {number} ms How long it ran.
 */

/** @type {Set<number>} Leaders of the groups that are running. */
const groups = new Set();
/** @type {import("node:child_process").ChildProcess | undefined} The one that has the terminal. */
let shown;

/** @param {number} pid */
function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nothing of the group is left.
  }
}

for (const [signal, code] of /** @type {const} */ ([["SIGINT", 130], ["SIGTERM", 143]])) {
  process.on(signal, () => {
    for (const pid of groups) killGroup(pid);
    if (shown === undefined) process.exit(code);
    // The terminal has interrupted the child too; either way it may finish in order.
    if (signal === "SIGTERM") shown.kill(signal);
  });
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<RunResult>}
 */
export function run(command, args, options = {}) {
  const started = performance.now();
  const captured = !options.show;
  return new Promise((resolve) => {
    /** @type {string[]} */
    const chunks = [];
    let timedOut = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let settled = false;

    /** @param {number} code */
    const settle = (code) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      if (child.pid !== undefined) groups.delete(child.pid);
      if (shown === child) shown = undefined;
      resolve({ code, output: chunks.join(""), timedOut, ms: performance.now() - started });
    };

    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...(captured ? { NO_COLOR: "1" } : {}), ...options.env },
      stdio: captured ? ["ignore", "pipe", "pipe"] : "inherit",
      detached: captured,
    });
    child.on("error", (error) => {
      chunks.push(`${command}: ${error.message}\n`);
      settle(127);
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8");
      stream?.on("data", (text) => chunks.push(text));
    }
    // "exit" comes even while a stray grandchild holds the pipes open; what is still in them gets a
    // moment to arrive.
    child.on("exit", (code) => {
      if (!captured) return settle(code ?? 128);
      if (child.pid !== undefined) killGroup(child.pid);
      setTimeout(() => settle(code ?? 128), 2000).unref?.();
    });
    child.on("close", (code) => settle(code ?? 128));

    if (!captured) shown = child;
    else if (child.pid !== undefined) groups.add(child.pid);
    if (options.limitMs !== undefined) {
      timer = setTimeout(() => {
        timedOut = true;
        if (child.pid !== undefined && captured) killGroup(child.pid);
        else child.kill("SIGKILL");
      }, options.limitMs);
    }
  });
}

/** A failure whose message says all there is to say; shown without a stack trace. */
export class TaskError extends Error {}
