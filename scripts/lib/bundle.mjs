// Bundles TypeScript for Node, whose oldest supported version cannot run it: the entries of the npm
// package, tests and benchmarks for running here. The folders of dist/ mirror the clone's.

import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { writeDocExamples } from "./doc_examples.mjs";
import { dist, root } from "./paths.mjs";
import { run, TaskError } from "./run.mjs";
import { needRuntime } from "./tools.mjs";

/**
 * @param {string} folder Relative to the root of the clone.
 * @param {string} [ending]
 * @returns {string[]} Files below it, relative to the root, in alphabetical order.
 */
export function filesIn(folder, ending = ".ts") {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

/**
 * @param {string} source A TypeScript file, relative to the root.
 * @returns {string} Its bundle.
 */
export function bundled(source) {
  return join(dist, source.replace(/\.ts$/, ".js"));
}

/** What the npm package exports, and its command. They share what they have in common. */
const entries = ["mod.ts", "net.ts", "cli.ts"];

/**
 * @param {string[]} folders Bundled whole, beside the package's entries: each file on its own, so
 *   that workers and child processes can name one.
 * @returns {Promise<void>}
 */
export async function bundle(...folders) {
  for (const file of existsSync(dist) ? readdirSync(dist) : []) {
    if (/^chunk-.*\.js$/.test(file)) rmSync(join(dist, file));
  }
  await build(entries.map((source) => `./${source}`), dist, root, [
    "--splitting",
    "--chunk-naming=chunk-[hash].[ext]",
  ]);
  nameClasses();
  makeExecutable(bundled("cli.ts"));
  const sources = folders.flatMap((folder) => filesIn(folder));
  if (sources.length > 0) await build(sources.map((source) => `./${source}`), dist, root);
}

/**
 * Bundles the examples in the API's comments to dist/doc_examples/.
 * @returns {Promise<void>}
 */
export async function bundleDocExamples() {
  const target = join(dist, "doc_examples");
  const folder = join(target, "source");
  rmSync(target, { recursive: true, force: true });
  const examples = writeDocExamples(root, folder, join(root, "mod.ts"));
  await build(examples.map(({ file }) => join(folder, file)), target, folder);
}

/**
 * @param {string[]} sources
 * @param {string} target The folder for the bundles.
 * @param {string} above The folder whose structure they keep.
 * @param {string[]} [options] Further ones of the bundler.
 */
async function build(sources, target, above, options = []) {
  const bun = await needRuntime("bun");
  const { code, output } = await run(bun, [
    "build",
    ...sources,
    `--outdir=${target}`,
    `--root=${above}`,
    "--target=node",
    "--format=esm",
    "--packages=external",
    ...options,
  ], { limitMs: 120_000 });
  if (code !== 0) throw new TaskError(`${output}\nBundling failed.`);
}

/**
 * The bundler numbers what an entry exports. Programs see the names of classes, in errors that
 * nobody catches for instance, and get those of the sources.
 */
function nameClasses() {
  for (const file of readdirSync(dist).filter((name) => name.endsWith(".js"))) {
    const path = join(dist, file);
    const text = readFileSync(path, "utf8").replaceAll(
      /^class ([A-Za-z]+)\d+( extends \w+)? \{$/gm,
      '$&\n  static {\n    Object.defineProperty(this, "name", { value: "$1" });\n  }',
    );
    writeFileSync(path, text);
  }
}

/** @param {string} path */
function makeExecutable(path) {
  const text = readFileSync(path, "utf8").replace(/^#!.*\n/, "");
  writeFileSync(path, `#!/usr/bin/env node\n${text}`);
  chmodSync(path, 0o755);
}
