// A terminated worker leaves nothing behind: its thread closes its loops as it ends.

import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { type DoorbellMessage, IoError, type Loop, ring } from "../mod.ts";
import { testEach, withLoop } from "./support/backends.ts";
import { within } from "./support/drive.ts";
import { program } from "./support/runtime.ts";

/** Whether the port can be listened on now. */
function isFree(loop: Loop, port: number): boolean {
  try {
    loop.listen(`tcp://127.0.0.1:${port}`, {}).close();
    return true;
  } catch (error) {
    assert.ok(error instanceof IoError);
    assert.equal(error.code, "EADDRINUSE");
    return false;
  }
}

testEach("a terminated worker's listener and doorbell are gone", async (backend) => {
  const path = program("tests/programs/abandoned.ts");
  const worker = new Worker(new URL(`file://${path}`), { workerData: { backend } });
  const { port, doorbell } = await within(
    new Promise<{ port: number; doorbell: DoorbellMessage }>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    }),
    "the worker's port and doorbell",
  );
  assert.equal(ring(doorbell), true);
  await withLoop({ backend }, async (loop) => {
    assert.equal(isFree(loop, port), false);
    await worker.terminate();
    // The runtimes do not say when the thread itself has ended.
    for (let attempt = 0; attempt < 500 && !isFree(loop, port); attempt++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(isFree(loop, port), true);
    assert.equal(ring(doorbell), false);
  });
});
