// Finds the tools: zig, deno, bun, node. A candidate counts only if it runs.
//
// A package manager that runs no install scripts (Deno) leaves launchers in node_modules/.bin that
// need another runtime, so the platform packages' own binaries are looked at first.

import { accessSync, constants, existsSync, readdirSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { modules } from "./paths.mjs";
import { run, TaskError } from "./run.mjs";

/** @typedef {"deno" | "bun" | "node"} Runtime */

/** @type {readonly Runtime[]} */
export const runtimes = ["deno", "bun", "node"];

/** The version that build.zig is written for, and the prefix that is accepted. */
const zigVersion = "0.16.";
const nodeMajor = 20;

/** Which runtime runs this script. Bun and Deno set `process.versions.node` too. */
/** @type {Runtime} */
export const current = process.versions.bun ? "bun" : process.versions.deno ? "deno" : "node";

/**
 * @param {string} name
 * @returns {string[]} Every executable of that name on PATH, in order.
 */
function onPath(name) {
  return (process.env.PATH ?? "").split(delimiter).filter(Boolean).map((dir) => join(dir, name))
    .filter(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Binaries inside platform packages of a scope, as npm, Bun and Deno lay them out.
 * @param {string} scope
 * @param {string} file
 * @param {RegExp} [pattern] Of the package's name.
 */
function inPackages(scope, file, pattern = /./) {
  return [modules, join(modules, ".deno", "node_modules")].flatMap((dir) => {
    const folder = join(dir, scope);
    if (!existsSync(folder)) return [];
    return readdirSync(folder).filter((name) => pattern.test(name))
      .map((name) => join(folder, name, file));
  }).filter(isExecutable);
}

/**
 * @param {string} path
 * @param {string[]} args
 * @returns {Promise<string>} What it printed, or "" if it does not run.
 */
async function answer(path, args) {
  const { code, output } = await run(path, args, { limitMs: 20_000 });
  return code === 0 ? output.trim() : "";
}

/**
 * @typedef {object} Zig
 * @property {string} path
 * @property {Record<string, string>} env What it needs in its environment.
 */

/**
 * @returns {Promise<Zig>}
 * @throws {TaskError} With what to do, if there is no compiler.
 */
export async function findZig() {
  const asked = process.env.ZIG;
  const candidates = asked ? [asked] : [
    join(modules, ".bin", "zig"),
    ...inPackages("@zigc", "bin/zig"),
    ...onPath("zig"),
  ];
  const rejected = [];
  for (const path of candidates) {
    if (!asked && !existsSync(path)) continue;
    const version = await answer(path, ["version"]);
    if (version.startsWith(zigVersion)) return { path, env: zigEnvironment(path) };
    rejected.push(`${path} (${version || "does not run"})`);
  }
  throw new TaskError(
    `No Zig ${zigVersion}x compiler found. ` +
      (rejected.length > 0 ? `Rejected: ${rejected.join(", ")}. ` : "") +
      "Set ZIG to the path of one, put one on PATH, or install the npm packages (npm ci).",
  );
}

/**
 * The npm package of the compiler finds its standard library as a sibling; where the package
 * manager does not put the two side by side, it must be told.
 * @param {string} path
 * @returns {Record<string, string>}
 */
function zigEnvironment(path) {
  const library = join(modules, "@zigc", "lib");
  if (process.env.ZIG_LIB_DIR || !path.startsWith(modules) || !existsSync(library)) return {};
  const scope = dirname(dirname(dirname(realpathSync(path))));
  return existsSync(join(scope, "lib", "std")) ? {} : { ZIG_LIB_DIR: realpathSync(library) };
}

/** @type {Map<Runtime, Promise<string | undefined>>} */
const found = new Map();

/**
 * @param {Runtime} runtime
 * @returns {Promise<string | undefined>} Its executable, or undefined if it is absent. Asked again
 *   after an installation with `forget`.
 */
export function findRuntime(runtime) {
  let search = found.get(runtime);
  if (search === undefined) found.set(runtime, search = searchRuntime(runtime));
  return search;
}

/** Forgets what was found: new packages have been installed. */
export function forget() {
  found.clear();
}

/** @param {Runtime} runtime */
async function searchRuntime(runtime) {
  if (runtime === current) return process.execPath;
  for (const path of candidatesFor(runtime)) {
    if (await isRuntime(runtime, path)) return path;
  }
  return undefined;
}

/** @param {Runtime} runtime */
function candidatesFor(runtime) {
  const platform = new RegExp(
    `${process.platform}-${process.arch.replace("arm64", "a(rm|arch)64")}`,
  );
  const packaged = runtime === "deno"
    ? inPackages("@deno", "deno", platform)
    : runtime === "bun"
    ? inPackages("@oven", "bin/bun", platform)
    : [];
  return [...packaged, ...onPath(runtime), join(modules, ".bin", runtime)];
}

/**
 * Deno and Bun put a `node` of their own on PATH for scripts; that is not Node.
 * @param {Runtime} runtime
 * @param {string} path
 */
async function isRuntime(runtime, path) {
  if (runtime !== "node") return await answer(path, ["--version"]) !== "";
  const text = await answer(path, ["-p", "JSON.stringify(process.versions)"]);
  if (!text.startsWith("{")) return false;
  const versions = JSON.parse(text);
  return !versions.bun && !versions.deno && parseInt(versions.node) >= nodeMajor;
}

/**
 * @param {Runtime} runtime
 * @returns {Promise<string>}
 */
export async function needRuntime(runtime) {
  const path = await findRuntime(runtime);
  if (path === undefined) throw new TaskError(`${runtime} is needed for this and was not found.`);
  return path;
}

/**
 * @param {string} name
 * @returns {string | undefined} A program of the system.
 */
export function executable(name) {
  return onPath(name)[0];
}

/** @returns {string | undefined} npm's command-line script or executable. */
export function findNpm() {
  return onPath("npm")[0];
}
