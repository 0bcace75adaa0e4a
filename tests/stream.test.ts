// A long stream: 256 MiB in both directions of one connection at once arrive intact, and memory
// does not grow with them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bestBackend } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { command } from "./support/runtime.ts";

test("256 MiB both ways between slow readers arrive intact in bounded memory", async () => {
  const program = command("tests/programs/stream_256.ts");
  const { code, stdout, stderr } = await runChild([...program, bestBackend]);
  assert.deepEqual([code, stderr], [0, ""]);
  const { grownBytes, ...rest } = JSON.parse(stdout);
  assert.deepEqual(rest, {
    received: [256 << 20, 256 << 20],
    isQueueBounded: true,
    lostBuffers: 0,
    openConnections: 0,
  });
  assert.ok(grownBytes < 32 << 20, `memory grew by ${grownBytes} bytes`);
});
