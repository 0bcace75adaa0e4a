// The examples in the comments of the API, as programs. Deno and Bun run them as they are; Node
// gets bundles of them.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @typedef {object} DocExample
 * @property {string} source The file that it is in, relative to the root.
 * @property {string} code As it is in the comment.
 * @property {string} file Where its program is, relative to the folder.
 */

/**
 * Every TypeScript block in the comments of mod.ts, net.ts and src/ that does not say `no-run`.
 * @param {string} root
 * @returns {DocExample[]}
 */
export function docExamples(root) {
  const sources = readdirSync(join(root, "src")).filter((file) => file.endsWith(".ts")).sort();
  return ["mod.ts", "net.ts", ...sources.map((file) => `src/${file}`)].flatMap((source) => {
    const text = readFileSync(join(root, source), "utf8");
    return blocksIn(text).map((code, index) => {
      const file = `${source.replaceAll("/", "_").replace(/\.ts$/, "")}_${index}.ts`;
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
  for (const { code, file } of examples) {
    const net = api.replace(/mod\.ts$/, "net.ts");
    const program = code.replaceAll(`"${name}"`, JSON.stringify(api))
      .replaceAll(`"${name}/net"`, JSON.stringify(net));
    writeFileSync(join(folder, file), program);
  }
  return examples;
}
