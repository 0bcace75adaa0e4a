// The hot path leaves nothing behind: a million echoes do not grow the script's heap.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bestBackend } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { commandWithGc } from "./support/runtime.ts";

test("a million 64-byte echoes grow the heap by less than 1 MB", async () => {
  const program = commandWithGc("tests/programs/heap.ts");
  const { code, stdout, stderr } = await runChild([...program, bestBackend]);
  assert.deepEqual([code, stderr], [0, ""]);
  const { isDone, grownBytes } = JSON.parse(stdout);
  assert.equal(isDone, true);
  assert.ok(grownBytes < 1_000_000, `the heap grew by ${grownBytes} bytes`);
});
