// In-process connections to a Worker's loop: both sides sleep and wake each other, much goes both
// ways at once, and a Worker that is terminated leaves a reset and nothing else.

import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import type { BackendName, Connection, Loop } from "../mod.ts";
import { testEach, withLoop } from "./support/backends.ts";
import { Signal, within } from "./support/drive.ts";
import { program } from "./support/runtime.ts";
import { ContentReader, ContentWriter, Recorder } from "./support/streams.ts";

type Driver = "run" | "attach";

interface Echo {
  readonly worker: Worker;
  readonly name: string;
}

let names = 0;

/** The next message of a worker. */
function messageOf<Message>(worker: Worker, what: string): Promise<Message> {
  const promise = new Promise<Message>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return within(promise, what);
}

async function startEcho(backend: BackendName, driver: Driver): Promise<Echo> {
  const path = program("tests/programs/piped.ts");
  const name = `inproc://worker-${++names}`;
  const worker = new Worker(new URL(`file://${path}`), { workerData: { backend, name, driver } });
  await messageOf(worker, "the worker's listener");
  return { worker, name };
}

/** Drives a loop until `done`, as the test is about. */
async function drive(loop: Loop, driver: Driver, done: Signal, what: string): Promise<void> {
  if (driver === "attach") {
    loop.attach();
    await within(done.promise, what);
    return loop.detach();
  }
  const ended = new AbortController();
  void done.promise.then(() => ended.abort());
  await within(loop.run({ signal: ended.signal }), what);
}

const drivers: readonly Driver[] = ["run", "attach"];

for (const driver of drivers) {
  testEach(`loops of two threads wake each other from sleep, by ${driver}`, async (backend) => {
    const { worker, name } = await startEcho(backend, driver);
    await withLoop({ backend }, async (loop) => {
      const done = new Signal();
      let trips = 0;
      let pauses = 0;
      const conn = loop.connect(name, {
        open: (conn) => void conn.send("0"),
        data(conn, lease): void {
          assert.equal(new TextDecoder().decode(lease.bytes), String(trips));
          trips += 1;
          if (trips === 400) return conn.close();
          // Bursts in which both are awake, and pauses in which both fall asleep.
          if (trips % 20 !== 0) return void conn.send(String(trips));
          pauses += 1;
          setTimeout(() => void conn.send(String(trips)), pauses % 4 === 0 ? 15 : pauses % 3);
        },
        close(_, error): void {
          assert.equal(error, null);
          done.fire();
        },
      });
      await drive(loop, driver, done, "four hundred round trips");
      assert.equal(trips, 400);
      assert.equal(conn.state, "closed");
    });
    worker.postMessage("stop");
    const left = await messageOf<{ buffersInUse: number }>(worker, "what is left");
    assert.deepEqual(left, { buffersInUse: 0 });
    await worker.terminate();
  });
}

testEach("much goes both ways between two threads, and every byte arrives", async (backend) => {
  const { worker, name } = await startEcho(backend, "run");
  const total = 8 << 20;
  await withLoop({ backend }, async (loop) => {
    const done = new Signal();
    const ends = [16_384, 100, 60_000].map((part) => {
      const writer = new ContentWriter(total, part);
      const reader = new ContentReader();
      return { writer, reader };
    });
    let closed = 0;
    for (const { writer, reader } of ends) {
      const write = (conn: Connection): void => writer.write(conn);
      loop.connect(name, {
        open: write,
        drain: write,
        data(conn, lease): void {
          reader.read(lease.bytes);
          if (reader.received === total) conn.close();
        },
        close(_, error): void {
          assert.equal(error, null);
          closed += 1;
          if (closed === ends.length) done.fire();
        },
      });
    }
    await drive(loop, "run", done, "everything");
    assert.ok(ends.every(({ reader }) => reader.received === total));
    loop.turn();
    assert.equal(loop.pool.stats().inTransitBytes, 0);
  });
  worker.postMessage("stop");
  const left = await messageOf<{ buffersInUse: number }>(worker, "what is left");
  assert.deepEqual(left, { buffersInUse: 0 });
  await worker.terminate();
});

testEach("a terminated worker leaves a reset, a free name and no buffer", async (backend) => {
  for (let round = 0; round < 3; round++) {
    const { worker, name } = await startEcho(backend, "attach");
    await withLoop({ backend }, async (loop) => {
      const done = new Signal();
      const writer = new ContentWriter(1 << 30);
      let received = 0;
      const recorder = new Recorder({
        open: (conn) => writer.write(conn),
        drain: (conn) => writer.write(conn),
        data(_, lease): void {
          received += lease.length;
          if (received > round * 1_000_000 && !stopping) {
            stopping = true;
            void worker.terminate();
          }
        },
        close: () => done.fire(),
      });
      let stopping = false;
      loop.connect(name, recorder);
      await drive(loop, "attach", done, "the reset");
      assert.equal(recorder.events.at(-1), "close:ECONNRESET");
      loop.turn();
      loop.turn();
      assert.equal(loop.stats().buffersInUse, 0);
      assert.equal(loop.pool.stats().inTransitBytes, 0);
      loop.listen(name, {}).close();
    });
  }
});
