// Doorbells: rung from the same thread, from other loops and from Workers without one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { type DoorbellMessage, IoError, Loop, ring } from "../mod.ts";
import { bestBackend, testEach, testLoop } from "./support/backends.ts";
import { turnUntil, within } from "./support/drive.ts";
import { program } from "./support/runtime.ts";

/** Rings from a Worker (`tests/programs/ringer.ts`); how many rings found the doorbell open. */
function ringFromWorker(
  message: DoorbellMessage,
  times: number,
  counts = new Int32Array(new SharedArrayBuffer(8)),
): Promise<number> {
  const url = new URL(`file://${program("tests/programs/ringer.ts")}`);
  const worker = new Worker(url, { workerData: { message, times, counts } });
  return within(
    new Promise<number>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    }).finally(() => worker.terminate()),
    "the ringer's end",
  );
}

testLoop("rings come together, and each burst is heard once", (loop) => {
  let heard = 0;
  const doorbell = loop.doorbell((same) => {
    assert.equal(same, doorbell);
    heard += 1;
  });
  for (let burst = 1; burst <= 3; burst++) {
    doorbell.ring();
    assert.equal(ring(structuredClone(doorbell.message)), true);
    turnUntil(loop, () => heard === burst, "heard");
    for (let turn = 0; turn < 5; turn++) loop.turn();
    assert.equal(heard, burst);
  }
  doorbell.close();
});

testLoop("a loop rings another one, whatever both wait with", (loop) => {
  for (const backend of ["io_uring", "epoll", "kqueue", "select"] as const) {
    using other = new Loop({ backend });
    let heard = 0;
    using doorbell = loop.doorbell(() => {
      heard += 1;
    });
    using far = other.doorbell(() => void ring(doorbell.message));
    ring(far.message);
    turnUntil(loop, () => {
      other.turn();
      return heard === 1;
    }, "heard");
  }
});

testLoop("of many doorbells those that were rung are heard", (loop) => {
  const heard: number[] = [];
  const doorbells = Array.from(
    { length: 100 },
    (_, index) => loop.doorbell(() => void heard.push(index)),
  );
  for (const index of [3, 50, 99, 3]) doorbells[index].ring();
  turnUntil(loop, () => heard.length === 3, "heard");
  assert.deepEqual(heard.sort((left, right) => left - right), [3, 50, 99]);
  for (const doorbell of doorbells) doorbell.close();
});

testLoop("a closed doorbell is not heard and cannot be rung", (loop) => {
  let heard = 0;
  const first = loop.doorbell(() => void (heard += 1));
  const { message } = first;
  first.ring();
  first.close();
  first.close();
  first.ring();
  assert.equal(first.closed, true);
  assert.equal(ring(message), false);
  using second = loop.doorbell(() => void (heard += 100));
  assert.notDeepEqual(second.message, message);
  assert.equal(ring(message), false);
  for (let turn = 0; turn < 5; turn++) loop.turn();
  assert.equal(heard, 0);
});

testEach("a sleeping loop is woken from a Worker without a loop", async (backend) => {
  using loop = new Loop({ backend });
  let heard = 0;
  const doorbell = loop.doorbell((same) => {
    heard += 1;
    same.close();
  });
  const rung = ringFromWorker(doorbell.message, 1);
  // Ends with its last handle, so only if the doorbell was heard.
  await within(loop.run(), "the ring");
  assert.deepEqual([heard, await rung], [1, 1]);
});

testEach("a doorbell that is unref'd is heard, but keeps nothing going", async (backend) => {
  using loop = new Loop({ backend });
  let heard = 0;
  using doorbell = loop.doorbell(() => void (heard += 1));
  doorbell.unref();
  await within(loop.run(), "the end of run()");
  doorbell.ring();
  doorbell.ref();
  using last = loop.doorbell(() => doorbell.unref());
  last.unref();
  setTimeout(() => ring(last.message), 1);
  await within(loop.run(), "the end of run()");
  assert.equal(heard, 1);
});

testLoop("what a handler throws leaves its doorbell as it was", (loop) => {
  let calls = 0;
  using doorbell = loop.doorbell(() => {
    calls += 1;
    if (calls === 1) throw new Error("thrown by a doorbell");
  });
  const take = (count: number): void => turnUntil(loop, () => calls === count, "heard");
  doorbell.ring();
  assert.throws(() => take(2), /thrown by a doorbell/);
  doorbell.ring();
  take(2);
});

testLoop("a handler may close the loop, and no other is called then", (loop) => {
  let calls = 0;
  const handler = (): void => {
    calls += 1;
    loop.close();
  };
  const doorbells = [loop.doorbell(handler), loop.doorbell(handler)];
  for (const doorbell of doorbells) doorbell.ring();
  turnUntil(loop, () => loop.closed, "closed");
  assert.equal(calls, 1);
  for (const { closed, message } of doorbells) {
    assert.deepEqual([closed, ring(message)], [true, false]);
  }
});

testEach("an attached loop is woken too", async (backend) => {
  using loop = new Loop({ backend });
  loop.attach();
  for (let round = 0; round < 3; round++) {
    const heard = new Promise<void>((resolve) => {
      const doorbell = loop.doorbell((same) => {
        same.close();
        resolve();
      });
      setTimeout(() => ring(doorbell.message), 5);
    });
    await within(heard, "the ring");
  }
  loop.detach();
});

testEach("no ring of a storm is lost", async (backend) => {
  using loop = new Loop({ backend });
  const counts = new Int32Array(new SharedArrayBuffer(8));
  let heard = 0;
  const storm = loop.doorbell(() => {
    heard += 1;
    const count = Atomics.load(counts, 0);
    Atomics.store(counts, 1, count);
    Atomics.notify(counts, 1);
    if (count === 4_000) storm.unref();
  });
  const rings = [1, 2].map(() => ringFromWorker(storm.message, 2_000, counts));
  await within(loop.run(), "the storm's end");
  assert.deepEqual(await Promise.all(rings), [2_000, 2_000]);
  assert.ok(heard >= 1 && heard <= 4_000, `${heard} heard`);
  storm.close();
});

test("what is no message of a doorbell is refused, and another process's is not rung", () => {
  using loop = new Loop({ backend: bestBackend });
  using doorbell = loop.doorbell(() => {});
  for (const message of [null, undefined, 5, {}, { ...doorbell.message, slot: -1 }]) {
    assert.throws(
      () => ring(message as DoorbellMessage),
      (error) => error instanceof IoError && error.code === "INVALID_ARGUMENT",
    );
  }
  const { process, generation } = doorbell.message;
  assert.equal(ring({ ...doorbell.message, process: (process ^ 1) >>> 0 }), false);
  assert.equal(ring({ ...doorbell.message, generation: generation + 1 }), false);
  assert.equal(ring({ ...doorbell.message, slot: 4_000_000_000 }), false);
  assert.throws(() => loop.doorbell(5 as unknown as () => void), { code: "INVALID_ARGUMENT" });
});

test("a loop has at most 1,024 doorbells, and its end ends them", () => {
  const loop = new Loop({ backend: bestBackend });
  const doorbells = Array.from({ length: 1_024 }, () => loop.doorbell(() => {}));
  assert.throws(() => loop.doorbell(() => {}), { code: "EXHAUSTED", advice: /doorbells/ });
  loop.close();
  assert.ok(doorbells.every((doorbell) => doorbell.closed && !ring(doorbell.message)));
  assert.throws(() => loop.doorbell(() => {}), { code: "LOOP_CLOSED" });
});
