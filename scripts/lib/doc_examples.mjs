// The examples in the comments of the API and in README.md, as programs. Deno and Bun run them as
// they are; Node gets bundles of them.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/**
 * @typedef {object} DocExample
 * @property {string} source The file that it is in, relative to the root.
 * @property {string} code As it is there.
 * @property {string} file Where its program is, relative to the folder.
 */

/**
 * Every TypeScript block of README.md, and of the comments of mod.ts, net.ts and src/, that does
 * not say `no-run`.
 * @param {string} root
 * @returns {DocExample[]}
 */
export function docExamples(root) {
  const sources = readdirSync(join(root, "src")).filter((file) => file.endsWith(".ts")).sort();
  const files = ["README.md", "mod.ts", "net.ts", ...sources.map((file) => `src/${file}`)];
  return files.flatMap((source) => {
    const text = readFileSync(join(root, source), "utf8");
    const blocks = source.endsWith(".md") ? blocksOfMarkdown(text) : blocksIn(text);
    return blocks.map((code, index) => {
      const file = `${source.replaceAll("/", "_").replace(/\.\w+$/, "")}_${index}.ts`;
      return { source, code, file };
    });
  });
}

/**
 * @param {string} text Of a source.
 * @returns {string[]}
 */
export function blocksIn(text) {
  const blocks = text.matchAll(/^ \* ```ts\n((?: \*.*\n)+?) \* ```$/gm);
  return Array.from(blocks, ([, block]) => block.replaceAll(/^ \* ?/gm, ""));
}

/**
 * @param {string} text Of a page.
 * @returns {string[]}
 */
function blocksOfMarkdown(text) {
  return Array.from(text.matchAll(/^```ts\n([^]*?)^```$/gm), ([, block]) => block);
}

/**
 * What a server in README.md does for ever ends soon here, and its fixed addresses are free ones.
 * @param {string} code
 * @returns {string}
 */
function shortened(code) {
  return code.replaceAll("loop.run()", "loop.run({ signal: AbortSignal.timeout(100) })")
    .replaceAll("tcp://127.0.0.1:7000", "tcp://127.0.0.1:0")
    .replaceAll("unix:@lines", `unix:@lines-${process.pid}`);
}

/**
 * @param {string} root
 * @param {string} folder Emptied first.
 * @param {string} api What the programs import instead of the package's name: a path or URL of
 *   mod.ts.
 * @returns {DocExample[]}
 */
export function writeDocExamples(root, folder, api) {
  const { name } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const examples = docExamples(root);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const net = api.replace(/mod\.ts$/, "net.ts");
  for (const { source, code, file } of examples) {
    const program = (source.endsWith(".md") ? shortened(code) : code)
      .replaceAll(`"${name}"`, JSON.stringify(api))
      .replaceAll(`"${name}/net"`, JSON.stringify(net))
      .replaceAll('"./mod.ts"', JSON.stringify(api));
    writeFileSync(join(folder, file), program);
  }
  return examples;
}
