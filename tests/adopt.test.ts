// Memory of the application: sent in place, and told when nothing uses it any more.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Loop, type NativeMemory } from "../mod.ts";
import { buffer_slab_shift, buffer_unit } from "../src/native/abi.ts";
import { loadLibrary } from "../src/native/library.ts";
import { bestBackend, testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { RawLoop } from "./support/raw_loop.ts";
import { awaitClosed, content, ContentReader, openPair } from "./support/streams.ts";

const { functions, adapter } = loadLibrary();
const size = 65_536;
const usedAt = 32_768;

/**
 * Native memory with a pointer as this runtime has them: the slab of a loop that nothing else in
 * the test uses. `bytes` is its second half.
 */
function native(): { memory: NativeMemory; bytes: Uint8Array } & Disposable {
  const raw = new RawLoop(bestBackend);
  let name = raw.takeBuffer(usedAt);
  while (name >= 0 && (name & (2 ** buffer_slab_shift - 1)) * buffer_unit !== usedAt) {
    name = raw.takeBuffer(512);
  }
  const slab = Math.max(0, name) >>> buffer_slab_shift;
  const pointer: unknown = functions.tp_slab(raw.handle, slab);
  const bytes = new Uint8Array(adapter.view(pointer, size), usedAt, size - usedAt);
  const dispose = (): void => raw[Symbol.dispose]();
  return { memory: { pointer, byteLength: size }, bytes, [Symbol.dispose]: dispose };
}

testLoop("adopted memory is sent in place, and told when it is free", (loop) => {
  using source = native();
  const reader = new ContentReader();
  let released = 0;
  const { client, server } = openPair(loop, {
    server: { data: (_, lease) => reader.read(lease.bytes) },
  });
  const lease = loop.pool.adopt(source.memory, { released: () => void (released += 1) });
  assert.equal(lease.length, size);
  assert.equal(loop.pool.stats().adoptedBytes, size);
  lease.bytes.set(content(30_000), usedAt);
  assert.deepEqual(source.bytes.subarray(0, 30_000), content(30_000), "the same memory");
  for (let from = 0; from < 30_000; from += 10_000) {
    client.send(lease.slice(usedAt + from, usedAt + from + 10_000));
  }
  turnUntil(loop, () => reader.received === 30_000, "the bytes");
  loop.turn();
  assert.equal(released, 0, "the script still has it");
  assert.throws(() => lease.transfer(), { code: "INVALID_ARGUMENT" });
  lease.release();
  turnUntil(loop, () => released === 1, "the end of the adoption");
  assert.equal(loop.pool.stats().adoptedBytes, 0);
  assert.throws(() => lease.bytes, { code: "STALE_LEASE" });
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("a number is used again, with a view of the new memory", (loop) => {
  using first = native();
  using second = native();
  for (let round = 0; round < 6; round++) {
    const source = round % 2 === 0 ? first : second;
    first.bytes.fill(100);
    second.bytes.fill(100);
    let released = 0;
    const lease = loop.pool.adopt(source.memory, { released: () => void (released += 1) });
    source.bytes.fill(round + 1);
    assert.equal(lease.bytes[usedAt], round + 1);
    lease.release();
    turnUntil(loop, () => released === 1, "the end of the adoption");
  }
});

testLoop("adopting before the release of the last one was told costs nobody its call", (loop) => {
  using source = native();
  const told: number[] = [];
  const adopt = (number: number): void => {
    const lease = loop.pool.adopt(source.memory, { released: () => void told.push(number) });
    lease.release();
  };
  // Timers of one turn come before what else it reports.
  for (let number = 0; number < 4; number++) {
    loop.startTimer(() => adopt(number), { delayUs: number === 0 ? 0 : 1 });
  }
  adopt(9);
  turnUntil(loop, () => told.length === 5, "every call");
  assert.deepEqual(told.toSorted(), [0, 1, 2, 3, 9]);
});

test("as many adoptions as there can be cost no slab", () => {
  using source = native();
  const loop = new Loop({ backend: bestBackend });
  for (let round = 0; round < 5; round++) {
    const leases = Array.from({ length: 256 }, () => loop.pool.adopt(source.memory));
    assert.throws(() => loop.pool.adopt(source.memory), { code: "EXHAUSTED" });
    for (const lease of leases) lease.release();
    turnUntil(loop, () => loop.pool.stats().adoptedBytes === 0, "their end");
    loop.turn();
  }
  loop.close();
  using other = new Loop({ pool: { slabBytes: 65_536, maxBytes: 16 << 20 } });
  const leases = Array.from({ length: 100 }, () => other.allocate(65_536));
  assert.ok(leases.every((lease) => lease !== undefined));
});

test("an address is as good as a pointer", () => {
  using loop = new Loop();
  using source = native();
  source.bytes.fill(9);
  const address = adapter.address(source.memory.pointer);
  for (const pointer of [address, Number(address)]) {
    const lease = loop.pool.adopt({ pointer, byteLength: size });
    assert.equal(lease.bytes[usedAt], 9);
    lease.release();
    loop.turn();
  }
});

test("what is no memory is refused", () => {
  using loop = new Loop();
  using source = native();
  const { pointer } = source.memory;
  const refuse = (memory: unknown, code: string): void => {
    assert.throws(() => loop.pool.adopt(memory as NativeMemory), { code });
  };
  for (const byteLength of [0, -1, 1.5, NaN, 2 ** 30 + 1, "1"]) {
    refuse({ pointer, byteLength }, "INVALID_ARGUMENT");
  }
  for (const wrong of [0, 0n, -1n, null, undefined, "pointer", 1.5, 2n ** 64n]) {
    refuse({ pointer: wrong, byteLength: 1 }, "INVALID_ARGUMENT");
  }
  refuse(null, "INVALID_ARGUMENT");
  refuse({ pointer: 4096n, byteLength: 1 }, "EFAULT");
  const released = 5 as unknown as () => void;
  assert.throws(() => loop.pool.adopt(source.memory, { released }), { code: "INVALID_ARGUMENT" });
  loop.close();
  refuse(source.memory, "LOOP_CLOSED");
});

test("closing the loop ends the adoption, and says so", () => {
  using source = native();
  const loop = new Loop();
  const events: string[] = [];
  const lease = loop.pool.adopt(source.memory, { released: () => void events.push("released") });
  loop.close();
  assert.deepEqual(events, ["released"]);
  assert.equal(lease.released, true);
});
