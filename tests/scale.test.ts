// What many connections cost: idle ones no buffer, reading ones no more than the pool may have.
// What else an idle one costs is measured natively, where no runtime's heap is in the way.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bestBackend } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { command } from "./support/runtime.ts";

/** What `tests/programs/scale.ts` prints. */
interface Scale {
  readonly inUseWhileIdle: number;
  readonly heldBytesMost: number;
  readonly maxBytes: number;
  readonly echoed: number;
  readonly wrong: number;
}

async function run(idle: number, reading: number): Promise<Scale> {
  const args = [bestBackend, String(idle), String(reading)];
  const { code, stdout, stderr } = await runChild([...command("tests/programs/scale.ts"), ...args]);
  assert.deepEqual([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

test("1,000 idle connections hold no receive buffer", async () => {
  const { inUseWhileIdle } = await run(1_000, 0);
  assert.equal(inUseWhileIdle, 0);
});

test("10,000 reading connections stay within maxBytes, and none is forgotten", async () => {
  const { heldBytesMost, maxBytes, echoed, wrong } = await run(0, 5_000);
  assert.ok(heldBytesMost <= maxBytes, `${heldBytesMost} of ${maxBytes}`);
  assert.equal(wrong, 0);
  assert.equal(echoed, 10_000);
});
