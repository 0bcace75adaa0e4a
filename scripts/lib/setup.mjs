// Installs the packages that package.json names, if they are missing or not those of the lock file.
//
// npm is preferred because it honours package-lock.json. Where only Deno or only Bun is installed,
// that one installs the versions of package.json.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { modules, root } from "./paths.mjs";
import { run, TaskError } from "./run.mjs";
import { current, findNpm, findRuntime, findZig, forget } from "./tools.mjs";

/**
 * @param {string} path
 * @returns {any}
 */
function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** @returns {Promise<void>} */
export async function setup() {
  if (!isInstalled()) {
    await install();
    forget();
    if (!isInstalled()) throw new TaskError("The installation left packages of the wrong version.");
  }
  if (current === "deno") await installCompiler();
}

/** Whether every package has the version that the lock file and package.json ask for. */
function isInstalled() {
  const { dependencies = {}, devDependencies = {} } = readJson(join(root, "package.json"));
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    const manifest = join(modules, name, "package.json");
    if (!existsSync(manifest) || readJson(manifest).version !== version) return false;
  }
  // npm's own record of what it has installed; Deno and Bun leave none.
  const record = join(modules, ".package-lock.json");
  if (!existsSync(record)) return true;
  const installed = readJson(record).packages;
  const locked = readJson(join(root, "package-lock.json")).packages;
  return Object.entries(installed).every(([path, entry]) => {
    return locked[path]?.version === entry.version;
  }) && Object.entries(locked).every(([path, entry]) => {
    return path === "" || entry.optional || path in installed;
  });
}

async function install() {
  const npm = findNpm();
  const [command, args] = npm !== undefined && await findRuntime("node") !== undefined
    ? [npm, ["ci"]]
    : current === "deno"
    ? [process.execPath, ["install"]]
    : current === "bun"
    ? [process.execPath, ["install", "--no-save"]]
    : [undefined, []];
  if (command === undefined) throw new TaskError("npm is needed to install the packages.");
  await step(command, args);
}

/**
 * Deno skips the optional dependencies of the root, and the compiler is one, because it exists for
 * some platforms only.
 */
async function installCompiler() {
  try {
    await findZig();
  } catch (error) {
    const name = `@zigc/${process.platform}-${process.arch}`;
    const version = readJson(join(root, "package.json")).optionalDependencies[name];
    if (process.env.ZIG || version === undefined) throw error;
    await step(process.execPath, ["install", "--no-save", `npm:${name}@${version}`]);
  }
}

/**
 * @param {string} command
 * @param {string[]} args
 */
async function step(command, args) {
  const name = command.split("/").at(-1);
  console.log(`setup: ${name} ${args.join(" ")}`);
  const { code, output, ms, timedOut } = await run(command, args, { limitMs: 600_000 });
  if (code !== 0) {
    const reason = timedOut ? "took too long" : `failed with exit code ${code}`;
    throw new TaskError(`${output}\n${name} ${args.join(" ")} ${reason}.`);
  }
  console.log(`setup: done in ${(ms / 1000).toFixed(1)} s`);
}
