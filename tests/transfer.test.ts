// Leases on their way between loops, on one thread and between Workers: no byte is copied, nothing
// is lost, and nothing is received twice.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { Lease, type LeaseMessage, Loop } from "../mod.ts";
import { bestBackend, testLoop } from "./support/backends.ts";
import { turnUntil, untilQuiet, within } from "./support/drive.ts";
import { program } from "./support/runtime.ts";
import { awaitClosed, openPair } from "./support/streams.ts";

const stale = { code: "STALE_LEASE" };

/** What `postMessage` does with a message. */
const posted = (message: LeaseMessage): LeaseMessage => structuredClone(message);

testLoop("a lease moves to another loop with its bytes where they are", (loop) => {
  using other = new Loop({ backend: loop.backend });
  const lease = loop.allocate(600)!;
  lease.bytes.fill(7);
  lease.length = 5;
  const message = posted(lease.transfer());
  assert.equal(lease.released, true);
  assert.throws(() => lease.bytes, stale);
  assert.throws(() => lease.transfer(), stale);
  assert.equal(loop.stats().leases, 0);
  assert.equal(loop.pool.stats().inTransitBytes, 1024);
  const arrived = Lease.receive(other, message);
  assert.deepEqual(arrived.copy(), new Uint8Array(5).fill(7));
  assert.equal(arrived.capacity, 1024);
  assert.equal(loop.pool.stats().inTransitBytes, 0);
  assert.equal(other.stats().leases, 1);
  assert.throws(() => Lease.receive(other, message), stale, "received twice");
  assert.throws(() => Lease.receive(loop, message), stale);
  arrived.release();
  other.turn();
  assert.equal(other.stats().buffersInUse, 0);
  assert.throws(() => Lease.receive(other, message), stale, "and after its end");
});

testLoop(
  "what arrives can be passed on from its handler, and sent by the other loop",
  (loop) => {
    using other = new Loop({ backend: loop.backend });
    const far = openPair(other, {
      server: { data: (_, lease) => void (text += Buffer.from(lease.bytes).toString()) },
    });
    let text = "";
    let message: LeaseMessage | null = null;
    const { client, server } = openPair(loop, {
      server: {
        data(_, lease): void {
          message = lease.transfer();
          assert.equal(lease.released, true);
        },
      },
    });
    client.send("passed on");
    turnUntil(loop, () => message !== null, "the data");
    far.client.send(Lease.receive(other, posted(message!)));
    turnUntil(other, () => text === "passed on", "the bytes at the far end");
    far.client.close();
    awaitClosed(other, far.client, far.server);
    client.close();
    awaitClosed(loop, client, server);
  },
  {},
  { needs: "transfer" },
);

testLoop("a buffer that somebody else uses too is BUSY and stays", (loop) => {
  const { client, server } = openPair(loop);
  const lease = loop.allocate(10)!;
  const slice = lease.slice(0, 5);
  assert.throws(() => lease.transfer(), { code: "BUSY" });
  assert.equal(lease.released, false);
  slice.release();
  lease.retain();
  client.send(lease);
  assert.throws(() => lease.transfer(), { code: "BUSY" });
  turnUntil(loop, () => loop.stats().sentBytes === 10, "the send");
  loop.turn();
  const back = Lease.receive(loop, lease.transfer());
  back.release();
  client.close();
  awaitClosed(loop, client, server);
});

test("whatever is no message is refused, and a forged one is stale", () => {
  using loop = new Loop({ backend: bestBackend });
  const wrong: unknown[] = [null, undefined, 5, "x", {}, { kind: "twinpoll-lease" }];
  for (const message of wrong) {
    assert.throws(() => Lease.receive(loop, message as LeaseMessage), { code: "INVALID_ARGUMENT" });
  }
  assert.throws(() => Lease.receive({} as Loop, {} as LeaseMessage), { code: "INVALID_ARGUMENT" });
  const lease = loop.allocate(512)!;
  const message = lease.transfer();
  const word = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(fc.property(word, word, fc.boolean(), (buffer, generation, isOther) => {
    const forged = { ...message, buffer, generation };
    if (isOther) forged.pool = (message.pool + 1) >>> 0;
    if (buffer === message.buffer && generation === message.generation) return;
    assert.throws(() => Lease.receive(loop, forged), stale);
  }));
  assert.throws(() => Lease.receive(loop, { ...message, pool: (message.pool ^ 2) >>> 0 }), stale);
  // One that names more bytes than there are is received by nobody.
  assert.throws(() => Lease.receive(loop, { ...message, length: 513 }), {
    code: "INVALID_ARGUMENT",
  });
  loop.turn();
  assert.equal(loop.stats().buffersInUse, 0);
  loop.close();
  assert.throws(() => Lease.receive(loop, message), { code: "LOOP_CLOSED" });
});

test("a sender waits for slow receivers: what is in transit counts for it", () => {
  const pool = { bufferSize: 512, receiveBuffers: 8, slabBytes: 65_536, maxBytes: 65_536 };
  using sender = new Loop({ backend: bestBackend, pool });
  using receiver = new Loop({ backend: bestBackend, pool });
  const messages: LeaseMessage[] = [];
  // The backend takes what it needs for receiving.
  sender.turn();
  for (let lease = sender.allocate(4096); lease; lease = sender.allocate(4096)) {
    messages.push(lease.transfer());
    assert.ok(messages.length < 100);
  }
  assert.ok(messages.length >= 13 && messages.length <= 15, `${messages.length}`);
  assert.equal(sender.pool.stats().inTransitBytes, messages.length * 4096);
  Lease.receive(receiver, messages.pop()!).release();
  receiver.turn();
  sender.turn();
  const again = sender.allocate(4096)!;
  assert.notEqual(again, undefined);
  again.release();
  for (const message of messages) Lease.receive(receiver, message).release();
});

test("a sender's end does not end what it has sent", () => {
  using receiver = new Loop({ backend: bestBackend });
  const sender = new Loop({ backend: bestBackend });
  const lease = sender.allocate(100)!;
  lease.bytes.fill(3);
  const message = lease.transfer();
  sender.close();
  const arrived = Lease.receive(receiver, message);
  assert.deepEqual(arrived.copy(), new Uint8Array(100).fill(3));
  arrived.release();
});

test("what comes from other slabs goes back there", () => {
  const near = new Loop({ backend: bestBackend, pool: { slabBytes: 131_072, maxBytes: 262_144 } });
  const far = new Loop({ backend: bestBackend, pool: { slabBytes: 1 << 21, maxBytes: 1 << 21 } });
  const before = far.pool.stats();
  for (let round = 0; round < 20; round++) {
    const sizes = [512, 1_000, 4_096, 512, 65_536, 8_192, 512];
    const arrived = sizes.map((bytes) => Lease.receive(near, far.allocate(bytes)!.transfer()));
    // In the last round they are left to the end of the loop.
    if (round < 19) { for (const lease of arrived) lease.release(); }
    near.turn();
    far.turn();
  }
  near.close();
  far.close();
  using again = new Loop({ backend: bestBackend, pool: { slabBytes: 1 << 21, maxBytes: 1 << 21 } });
  const { slabs, slabBytes, freeBytes, heldBytes } = again.pool.stats();
  assert.equal(freeBytes + heldBytes, slabs * slabBytes, "a slot was lost");
  assert.equal(slabs, before.slabs);
});

testLoop(
  "transferring gives the credit back, also to a loop that sleeps",
  async (loop) => {
    using other = new Loop({ backend: loop.backend });
    const kept: Lease[] = [];
    let received = 0;
    const { client, server } = openPair(loop, {
      server: {
        data(_, lease): void {
          received += lease.length;
          kept.push(lease.retain());
        },
      },
      listen: { receiveCredits: 1 },
    });
    loop.attach();
    client.send("x".repeat(100_000));
    const limit = Date.now() + 20_000;
    while (received < 100_000) {
      assert.ok(Date.now() < limit, `${received} bytes, then nothing`);
      await untilQuiet(loop);
      for (const lease of kept.splice(0)) Lease.receive(other, lease.transfer()).release();
    }
    loop.detach();
    for (const lease of kept) lease.release();
    client.close();
    awaitClosed(loop, client, server);
  },
  {},
  { needs: "transfer" },
);

testLoop("drain follows when what was in transit is received, however late", async (loop) => {
  const { backend, capabilities } = loop;
  using other = new Loop({ backend });
  const messages: LeaseMessage[] = [];
  let drains = 0;
  const { client, server } = openPair(loop, { client: { drain: () => void (drains += 1) } });
  loop.turn();
  for (let lease = loop.allocate(4096); lease; lease = loop.allocate(4096)) {
    messages.push(lease.transfer());
  }
  assert.equal(client.send(new Uint8Array(capabilities.maxBytes / 4)), "full");
  loop.attach();
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(drains, 0);
  for (const message of messages) Lease.receive(other, message).release();
  for (let tick = 0; drains === 0; tick++) {
    assert.ok(tick < 500, "drain never came");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  loop.detach();
  client.close();
  awaitClosed(loop, client, server);
}, { pool: { bufferSize: 512, receiveBuffers: 8, slabBytes: 131_072, maxBytes: 131_072 } });

test("what closed loops have left in transit does not starve later ones", () => {
  const pool = { bufferSize: 512, receiveBuffers: 8, slabBytes: 262_144, maxBytes: 262_144 };
  const messages: LeaseMessage[] = [];
  for (let round = 0; round < 5; round++) {
    using loop = new Loop({ backend: bestBackend, pool });
    loop.turn();
    let count = 0;
    for (let lease = loop.allocate(16_384); lease; lease = loop.allocate(16_384)) {
      messages.push(lease.transfer());
      count += 1;
    }
    assert.ok(count >= 12, `the ${round + 1}th loop had ${count} buffers`);
  }
  using last = new Loop({ backend: bestBackend });
  for (const message of messages) Lease.receive(last, message).release();
});

/** One step of a random program over several loops; `at` chooses a lease or a message. */
type Step = readonly [what: number, loop: number, at: number, bytes: number];

test("no sequence of steps over three loops loses a buffer or hands one out twice", () => {
  const pool = { bufferSize: 512, receiveBuffers: 8, slabBytes: 131_072, maxBytes: 131_072 };
  const open = (): Loop => new Loop({ backend: bestBackend, pool });
  const loops = [open(), open(), open()];
  const nat = fc.nat(1_000);
  const step: fc.Arbitrary<Step> = fc.tuple(fc.nat(11), fc.nat(2), nat, fc.nat(9_000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const leases: { lease: Lease; loop: number; mark: number }[] = [];
      const messages: { message: LeaseMessage; mark: number }[] = [];
      let marks = 0;
      for (const [what, index, at, bytes] of steps) {
        const loop = loops[index];
        const entry = leases[at % leases.length];
        if (what <= 3) {
          const lease = loop.allocate(bytes + 1);
          if (lease === undefined) continue;
          const mark = ++marks % 251;
          lease.bytes.fill(mark);
          leases.push({ lease, loop: index, mark });
        } else if (what <= 6 && entry !== undefined) {
          assert.ok(entry.lease.bytes.every((byte) => byte === entry.mark), "another's bytes");
          entry.lease.release();
          leases.splice(leases.indexOf(entry), 1);
        } else if (what === 7 && entry !== undefined && bytes % 2 === 0) {
          leases.push({ ...entry, lease: entry.lease.slice(0, Math.min(5, entry.lease.length)) });
        } else if (what === 8 && entry !== undefined) {
          try {
            messages.push({ message: posted(entry.lease.transfer()), mark: entry.mark });
            leases.splice(leases.indexOf(entry), 1);
          } catch (error) {
            assert.equal((error as { code: string }).code, "BUSY");
          }
        } else if (what === 9 && messages.length > 0) {
          const [{ message, mark }] = messages.splice(at % messages.length, 1);
          leases.push({ lease: Lease.receive(loop, message), loop: index, mark });
        } else if (what === 10) {
          loop.turn();
        } else if (what === 11 && bytes < 900) {
          loop.close();
          for (const ended of leases.filter((one) => one.loop === index)) {
            assert.equal(ended.lease.released, true);
            leases.splice(leases.indexOf(ended), 1);
          }
          loops[index] = open();
        }
      }
      for (const { message } of messages) Lease.receive(loops[0], message).release();
      for (const { lease } of leases) lease.release();
      for (const loop of loops) {
        loop.turn();
        const stats = loop.pool.stats();
        assert.equal(stats.inUseBytes, 0);
        assert.equal(stats.leases, 0);
        assert.equal(stats.heldBytes, stats.receiveBytes + stats.cachedBytes);
      }
      const held = loops.reduce((sum, loop) => sum + loop.pool.stats().heldBytes, 0);
      const { slabs, slabBytes, freeBytes, lostBytes } = loops[0].pool.stats();
      assert.equal(held + freeBytes + lostBytes, slabs * slabBytes, "a slot was lost");
    }),
    { numRuns: 1_000 },
  );
  for (const loop of loops) loop.close();
});

test("leases go to a Worker and come back, each once", async () => {
  const path = program("tests/programs/exchange.ts");
  const worker = new Worker(new URL(`file://${path}`), { workerData: { backend: bestBackend } });
  using loop = new Loop({ backend: bestBackend });
  const total = 300;
  try {
    const done = new Promise<number>((resolve, reject) => {
      let count = 0;
      worker.on("message", (message: LeaseMessage) => {
        try {
          using lease = Lease.receive(loop, message);
          const [first] = lease.bytes;
          assert.equal(lease.length, 100 + count);
          assert.ok(lease.bytes.every((byte) => byte === first));
          assert.equal(first, (count + 1) % 256, "the worker added one to each byte");
          count += 1;
          if (count === total) resolve(count);
        } catch (error) {
          reject(error);
        }
      });
      worker.once("error", reject);
    });
    for (let count = 0; count < total; count++) {
      const lease = loop.allocate(100 + count)!;
      lease.bytes.fill(count % 256);
      worker.postMessage(lease.transfer());
    }
    assert.equal(await within(done, "all leases back"), total);
  } finally {
    await worker.terminate();
  }
  loop.turn();
  assert.equal(loop.stats().buffersInUse, 0);
  assert.equal(loop.pool.stats().inTransitBytes, 0);
});
