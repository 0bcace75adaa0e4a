// A program of somebody else's, as far as types go: the examples, with the npm package installed
// instead of its sources beside them.

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { filesIn } from "./bundle.mjs";
import { dist, root } from "./paths.mjs";
import { run } from "./run.mjs";
import { writeTypes } from "./types.mjs";

/** What the declarations of the package are known to lose if nobody looks. */
const disposals = `
import { Loop } from "PACKAGE";
import { createServer } from "PACKAGE/net";
using loop = new Loop();
await using server = createServer();
console.log(loop.closed, server.listening);
`;

/**
 * Checks the types of programs that import the package by its name.
 * @param {string} deno
 * @param {number} limitMs
 * @returns {Promise<import("./run.mjs").RunResult>}
 */
export async function checkConsumer(deno, limitMs) {
  await writeTypes();
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-consumer-"));
  try {
    const { name } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    install(folder, name);
    writeFileSync(join(folder, "disposals.ts"), disposals.replaceAll("PACKAGE", name));
    for (const example of filesIn("examples")) {
      const text = readFileSync(join(root, example), "utf8")
        .replaceAll('"../mod.ts"', `"${name}"`)
        .replaceAll('"../net.ts"', `"${name}/net"`);
      writeFileSync(join(folder, basename(example)), text);
    }
    return await run(deno, ["check", "--node-modules-dir=manual", folder], {
      limitMs,
      cwd: folder,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * What an installation of the package has for a checker of types.
 * @param {string} folder
 * @param {string} name
 */
function install(folder, name) {
  const modules = join(folder, "node_modules");
  const target = join(modules, name);
  mkdirSync(join(target, "dist"), { recursive: true });
  mkdirSync(join(modules, "@types"));
  cpSync(join(root, "package.json"), join(target, "package.json"));
  cpSync(join(dist, "types"), join(target, "dist", "types"), { recursive: true });
  for (const other of ["@types/node", "undici-types"]) {
    symlinkSync(join(root, "node_modules", other), join(modules, other));
  }
  const own = { type: "module", dependencies: { [name]: "*" } };
  writeFileSync(join(folder, "package.json"), JSON.stringify(own));
}
