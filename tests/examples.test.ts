// The examples do what they say: the programs of examples/, and the code in the API's comments.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { runChild } from "./support/child.ts";
import { command, root, runtime } from "./support/runtime.ts";

/** What each program prints, with its arguments. */
const programs: Record<string, [args: string[], output: RegExp]> = {
  "echo.ts": [["--once"], /^listening on tcp:.*\nechoed hello\n$/],
  "echo_attached.ts": [["--once"], /^listening on tcp:[^]*fetched beside the loop\n/],
  "worker_leases.ts": [[], /^listening on tcp:.*\nanswered SHOUT\n$/],
  "timers.ts": [[], /^tick 1, at the end of its turn\n[^]*later: after \d+ ms\n/],
};

test("every program of examples/ runs to its end", async () => {
  const files = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"));
  assert.deepEqual(files.toSorted(), Object.keys(programs).toSorted());
  for (const [file, [args, output]] of Object.entries(programs)) {
    const { code, stdout, stderr } = await runChild([...command(`examples/${file}`), ...args]);
    assert.deepEqual([code, stderr], [0, ""], file);
    assert.match(stdout, output);
  }
});

/** The TypeScript blocks in the comments of a file that do not say `no-run`. */
function blocksOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8");
  return Array.from(
    text.matchAll(/^ \* ```ts\n((?: \*.*\n)+?) \* ```$/gm),
    ([, block]) => block.replaceAll(/^ \* ?/gm, ""),
  );
}

const skip = runtime === "node" ? "Node 20 does not run TypeScript" : false;

test("the examples in the API's comments run to their end", { skip }, async () => {
  const sources = readdirSync(join(root, "src")).filter((file) => file.endsWith(".ts"));
  const files = ["mod.ts", ...sources.map((file) => `src/${file}`)];
  const { name } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-examples-"));
  let count = 0;
  try {
    for (const file of files) {
      for (const block of blocksOf(file)) {
        const program = join(folder, `${count++}.ts`);
        const url = pathToFileURL(join(root, "mod.ts")).href;
        writeFileSync(program, block.replaceAll(`"${name}"`, JSON.stringify(url)));
        const words = runtime === "deno"
          ? ["run", "--no-check", "--allow-ffi", "--no-prompt", program]
          : [program];
        const { code, stderr } = await runChild([process.execPath, ...words]);
        assert.deepEqual([code, stderr], [0, ""], `${file}:\n${block}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.ok(count >= 7, `${count} examples were found`);
});
