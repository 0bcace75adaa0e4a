// The native side: everything goes through build.zig, whose cache makes an unchanged build a no-op.

import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "./paths.mjs";
import { run, TaskError } from "./run.mjs";
import { findZig } from "./tools.mjs";

/** Where `zig build` puts the library. */
export const library = join(root, "zig-out", "lib", "libtwinpoll.so");

/** A kqueue for Linux, so that the backend over it can be tested. */
const kqueue = join(root, "zig-out", "tools", "libkqueue-standin.so");

/** Where `zig build cross` puts the library for each system, and what it puts there. */
export const crossFolder = join(root, "zig-out", "cross");
export const crossLibraries = [
  "x86_64-linux/libtwinpoll.so",
  "aarch64-linux/libtwinpoll.so",
  "x86_64-macos/libtwinpoll.dylib",
  "aarch64-macos/libtwinpoll.dylib",
  "x86_64-freebsd/libtwinpoll.so",
  "aarch64-freebsd/libtwinpoll.so",
];

/**
 * A bundle may lie deeper than the sources, so Node is told where the library is.
 * @param {import("./tools.mjs").Runtime} runtime
 * @returns {Record<string, string>}
 */
export function libraryEnvironment(runtime) {
  /** @type {Record<string, string>} */
  const environment = { TWINPOLL_KQUEUE: process.env.TWINPOLL_KQUEUE ?? kqueue };
  if (runtime === "node" && !process.env.TWINPOLL_LIBRARY) environment.TWINPOLL_LIBRARY = library;
  return environment;
}

/**
 * @param {string[]} args
 * @param {number} [limitMs]
 * @param {Record<string, string>} [extra] Added to the environment.
 * @returns {Promise<import("./run.mjs").RunResult>}
 */
export async function zig(args, limitMs = 900_000, extra = {}) {
  const { path, env } = await findZig();
  return await run(path, args, { env: { ...env, ...extra }, limitMs });
}

/**
 * Builds the library, or more.
 * @param {...string} steps Names of steps in build.zig; none for the library.
 * @returns {Promise<void>}
 */
export async function buildNative(...steps) {
  const { code, output, ms } = await zig(["build", ...steps]);
  if (code !== 0) throw new TaskError(`${output}\nzig build ${steps.join(" ")} failed.`);
  // An unchanged build is quick and not worth a line.
  if (ms > 2000) console.log(`setup: zig build ${steps.join(" ")} ${(ms / 1000).toFixed(1)} s`);
  if (steps.length === 0 && !existsSync(library)) {
    throw new TaskError(`zig build did not make ${library}.`);
  }
}
