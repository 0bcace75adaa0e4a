// Threads: a loop is refused to every thread but its own, and each thread may have loops of its
// own.

import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { BackendKind, LoopOptions as Layout, Status } from "../src/native/abi.ts";
import { loadLibrary } from "../src/native/library.ts";
import { testEach, withLoop } from "./support/backends.ts";
import { Signal, within } from "./support/drive.ts";
import { program } from "./support/runtime.ts";
import { listenEcho } from "./support/streams.ts";

/** What `tests/programs/thread.ts` answers with. */
interface Answer {
  readonly statuses: Readonly<Record<string, number>>;
  readonly isRegionRefused: boolean;
  readonly echoed: string;
}

/** Runs the worker to its end; its answer. */
async function askThread(handle: number, backend: string): Promise<Answer> {
  const path = program("tests/programs/thread.ts");
  const worker = new Worker(new URL(`file://${path}`), { workerData: { handle, backend } });
  const exited = new Signal();
  worker.once("exit", () => exited.fire());
  const answer = new Promise<Answer>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  try {
    return await within(answer, "the worker's answer");
  } finally {
    await worker.terminate();
    await within(exited.promise, "the worker's end");
  }
}

testEach("a loop of this thread is refused to a worker, which has its own", async (backend) => {
  const { functions } = loadLibrary();
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  words[Layout.backend] = BackendKind[backend];
  const handle = functions.tp_loop_open(new Uint8Array(words.buffer), words.byteLength);
  assert.ok(handle >= 0);
  try {
    const { statuses, isRegionRefused, echoed } = await askThread(handle, backend);
    for (const [name, status] of Object.entries(statuses)) {
      assert.equal(status, Status.wrong_thread, name);
    }
    assert.equal(isRegionRefused, true);
    assert.equal(echoed, "of this thread");
    assert.equal(functions.tp_loop_turn(handle, 0, 0, 0), 0, "the loop is not harmed");
  } finally {
    assert.equal(functions.tp_loop_close(handle), 0);
  }
});

testEach("loops of two threads run at the same time", async (backend) => {
  await withLoop({ backend }, async (loop) => {
    loop.attach();
    const listener = listenEcho(loop);
    const answers = await Promise.all([0, 1, 2].map(() => askThread(0xffff_ffff, backend)));
    for (const { statuses, echoed } of answers) {
      assert.equal(statuses.tp_loop_turn, Status.stale_handle);
      assert.equal(echoed, "of this thread");
    }
    loop.detach();
    listener.close();
  });
});
