// The examples do what they say: the programs of examples/, and the code in the API's comments and
// in README.md.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { writeDocExamples } from "../scripts/lib/doc_examples.mjs";
import { runChild } from "./support/child.ts";
import { command, program, root, runtime } from "./support/runtime.ts";

/** What each program prints, with its arguments. */
const programs: Record<string, [args: string[], output: RegExp]> = {
  "echo.ts": [["--once"], /^listening on tcp:.*\nechoed hello\n$/],
  "echo_attached.ts": [["--once"], /^listening on tcp:[^]*fetched beside the loop\n/],
  "worker_leases.ts": [[], /^listening on tcp:.*\nanswered SHOUT\n$/],
  "inproc_workers.ts": [
    [],
    /^one: 3 letters\ntwo: 3 letters\nthree: 5 letters\nfour: 4 letters\n$/,
  ],
  "doorbell.ts": [[], /^10000 primes, the last is 104729\n$/],
  "workers.ts": [[], /^listening on tcp:.*\n(worker [01] echoes client \d\n){6}$/],
  "shutdown.ts": [
    ["--once"],
    /^listening on tcp:.*\nshutting down\nanswer to half of a request\n2 connections ended, 0 /,
  ],
  "streams.ts": [[], /^listening on tcp:[^]*echoed "one\\n[^]*three\\n"\nclosed undefined\n$/],
  "http_hello.ts": [["--once"], /^listening on http:.*\n200 hello\n$/],
  "node_http.ts": [["--once"], /^listening on http:.*\n200 hello 127\.0\.0\.1, .* \/page\n$/],
  "messages.ts": [
    [],
    /^quick -> QUICK\nat once -> AT ONCE\nslow and[^]*slow again -> SLOW AGAIN\n$/,
  ],
  "relay.ts": [[], /^red: hello\nblue: world\n5 bytes up, 10 down, in order\n5 bytes up, 11 /m],
  "udp_echo.ts": [
    ["--once"],
    /^listening on port \d+ .*\nechoed one\nechoed two\nechoed three\n$/,
  ],
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

test("the examples in the API's comments and in README.md run to their end", async () => {
  const temporary = mkdtempSync(join(tmpdir(), "twinpoll-examples-"));
  try {
    const api = pathToFileURL(join(root, "mod.ts")).href;
    const examples = writeDocExamples(root, temporary, api);
    const pages = examples.filter(({ source }) => source === "README.md");
    assert.ok(pages.length >= 4, `${pages.length} examples were found in README.md`);
    assert.ok(examples.length >= 7 + pages.length, `${examples.length} examples were found`);
    for (const { source, code, file } of examples) {
      const { code: exit, stderr } = await runChild(commandOf(file, temporary));
      assert.deepEqual([exit, stderr], [0, ""], `${source}:\n${code}`);
    }
  } finally {
    rmSync(temporary, { recursive: true });
  }
});

/** The command that runs an example in `folder`; Node has bundles of the same. */
function commandOf(file: string, folder: string): string[] {
  const executable = process.execPath;
  if (runtime === "node") return [executable, program(`doc_examples/${file}`)];
  const path = join(folder, file);
  if (runtime === "bun") return [executable, path];
  return [executable, "run", "--no-check", "--allow-ffi", "--no-prompt", path];
}
