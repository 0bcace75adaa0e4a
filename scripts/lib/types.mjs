// Declarations for the npm package. `deno pack` is what writes them; from the archive that it makes
// only the .d.ts files are kept.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { dist } from "./paths.mjs";
import { run, TaskError } from "./run.mjs";
import { needRuntime } from "./tools.mjs";

/** @returns {Promise<void>} */
export async function writeTypes() {
  const archive = join(dist, "types.tgz");
  mkdirSync(dist, { recursive: true });
  const args = ["pack", "--allow-dirty", "--no-source-maps", "-o", archive];
  const { code, output } = await run(await needRuntime("deno"), args, { limitMs: 120_000 });
  if (code !== 0) throw new TaskError(`${output}\ndeno pack failed.`);
  for (const { path, text } of files(gunzipSync(readFileSync(archive)))) {
    if (!path.endsWith(".d.ts")) continue;
    const target = join(dist, "types", path.replace(/^package\//, ""));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, withDisposal(text));
  }
  rmSync(archive);
}

/**
 * `deno pack` leaves out the members of classes that are named by symbols.
 * @param {string} text Declarations.
 */
function withDisposal(text) {
  const disposable = /^.*\bdeclare class .* implements (Async)?Disposable \{\n[^]*?(?=^\}$)/gm;
  return text.replaceAll(disposable, (declared, isAsync) => {
    const member = isAsync ? "[Symbol.asyncDispose](): Promise<void>" : "[Symbol.dispose](): void";
    return declared.includes(member) ? declared : `${declared}  ${member};\n`;
  });
}

/**
 * Reads a tar archive of plain files: a header of 512 bytes with the path at 0 and the size, in
 * octal, at 124; then the contents, padded to 512.
 * @param {Uint8Array} tar
 */
function* files(tar) {
  const decoder = new TextDecoder();
  /** @param {number} at @param {number} length */
  const field = (at, length) => decoder.decode(tar.subarray(at, at + length)).split("\0")[0];
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const size = parseInt(field(at + 124, 12), 8);
    const prefix = field(at + 345, 155);
    const name = field(at, 100);
    yield {
      path: prefix ? `${prefix}/${name}` : name,
      text: decoder.decode(tar.subarray(at + 512, at + 512 + size)),
    };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
