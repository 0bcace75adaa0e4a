// House rules that formatters and linters do not know: sizes, leftovers, which part may import
// which, and that every planted fault has its place. `node scripts/tidy.mjs` prints the complaints;
// `npm test` counts them as one check.

import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { filesIn } from "./lib/bundle.mjs";
import { root } from "./lib/paths.mjs";
import { misplacedFaults } from "./planted/misplaced.mjs";

const maxLines = 500;
const maxColumns = 100;
const generated = new Set(["src/native/abi.ts"]);
/** One file on purpose: the only place where script and native agree on anything. */
const whole = new Set(["zig/layout.zig"]);

/** Spelled so that this file does not complain about itself. */
const leftovers = new RegExp(["TO" + "DO", "FIX" + "ME"].map((word) => `\\b${word}\\b`).join("|"));
const exclusive = new RegExp("\\." + "only\\(");

/** The rows of the house, from the ground up. A file imports from its own folder and from below. */
/** @type {Record<string, number>} */
const rows = {
  layout: 0,
  sys: 1,
  memory: 2,
  backend: 3,
  loop: 4,
  net: 5,
  watch: 5,
  block: 5,
  rdma: 5,
  abi: 6,
};

const runtimeFiles = new Set(["deno", "bun", "node"].map((name) => `src/native/${name}.ts`));
const nativeInterface = new Set(
  ["adapter", "library", "abi"].map((name) => `src/native/${name}.ts`),
);

/** @returns {string[]} Complaints as "file:line: what"; none if all is tidy. */
export function tidy() {
  /** @type {string[]} */
  const complaints = [];
  const top = ["mod.ts", "net.ts", "cli.ts", "build.zig"];
  const folders = ["zig", "src", "tests", "bench", "examples", "scripts"];
  const found = folders.flatMap((folder) =>
    [".zig", ".ts", ".mjs", ".c", ".sh"].flatMap((ending) => filesIn(folder, ending))
  );
  for (const file of [...top, ...found]) {
    if (generated.has(file)) continue;
    const text = read(file);
    if (text === undefined) continue;
    const lines = text.split("\n");
    /** @param {number} line @param {string} what */
    const complain = (line, what) => complaints.push(`${file}:${line}: ${what}`);

    if (lines.length - 1 > maxLines && !whole.has(file) && /\.(zig|ts|mjs)$/.test(file)) {
      complain(lines.length, `more than ${maxLines} lines; is it two concepts?`);
    }
    if (!text.endsWith("\n")) complain(lines.length, "no newline at the end");
    lines.forEach((line, index) => {
      for (const what of complaintsAbout(line)) complain(index + 1, what);
    });
    for (const { line, what } of importComplaints(file, lines)) complain(line, what);
  }
  return complaints.concat(misplacedFaults());
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(join(root, file), "utf8");
  } catch {
    return undefined;
  }
}

/**
 * @param {string} line
 * @returns {string[]}
 */
function complaintsAbout(line) {
  const found = [];
  // A link cannot be broken.
  if ([...line].length > maxColumns && !line.includes("https://")) {
    found.push(`more than ${maxColumns} columns`);
  }
  if (/\s$/.test(line)) found.push("white space at the end");
  if (leftovers.test(line)) found.push("a leftover note; do it or write an issue");
  if (exclusive.test(line)) found.push("an exclusive test hides the others");
  return found;
}

/**
 * @param {string} file
 * @param {string[]} lines
 */
function importComplaints(file, lines) {
  /** @type {{ line: number, what: string }[]} */
  const found = [];
  lines.forEach((text, index) => {
    const what = file.endsWith(".zig")
      ? zigComplaint(file, text)
      : file.endsWith(".ts")
      ? scriptComplaint(file, text)
      : undefined;
    if (what !== undefined) found.push({ line: index + 1, what });
  });
  return found;
}

/**
 * @param {string} file
 * @param {string} line
 */
function zigComplaint(file, line) {
  const from = zigFolder(file);
  const row = rows[from];
  // Files above the rows (tests, tools) may import anything.
  if (row === undefined) return undefined;
  for (const [, path] of line.replace(/\/\/.*/, "").matchAll(/@import\("([^"]+\.zig)"\)/g)) {
    const to = zigFolder(normalize(join(dirname(file), path)));
    if (to === from) continue;
    const target = rows[to];
    if (target === undefined || target >= row) {
      return `${from} must not import ${path}: arrows point down`;
    }
  }
  return undefined;
}

/** @param {string} file A path such as zig/loop/loop.zig or zig/layout.zig. */
function zigFolder(file) {
  return file.match(/^zig\/(\w+)[/.]/)?.[1] ?? "";
}

/**
 * @param {string} file
 * @param {string} line
 */
function scriptComplaint(file, line) {
  const isSource = file.startsWith("src/") || ["mod.ts", "net.ts", "cli.ts"].includes(file);
  if (!isSource) return undefined;
  const code = line.replace(/^\s*(\*|\/\*|\/\/).*/, "").replace(/\s\/\/ .*/, "");
  if (!runtimeFiles.has(file) && /\bDeno\.|["'](bun:ffi|koffi)["']/.test(code)) {
    return "only src/native/{deno,bun,node}.ts know their runtime";
  }
  if (file.startsWith("src/native/")) return undefined;
  for (const [, path] of code.matchAll(/(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g)) {
    const target = normalize(join(dirname(file), path));
    if (target.startsWith("src/native/") && !nativeInterface.has(target)) {
      return `${target} is not part of the interface of src/native`;
    }
  }
  return undefined;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const complaints = tidy();
  for (const complaint of complaints) console.log(complaint);
  process.exitCode = complaints.length > 0 ? 1 : 0;
}
