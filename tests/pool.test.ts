// The pool: what was asked for, what was granted and why not; growth up to the limit and never past
// it; size classes, alignment, quarantine, poison; leaks told at the end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IoError, type LeakReport, type Lease, Loop, type PoolStats } from "../mod.ts";
import { bestBackend, testLoop, unavailable } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { testUnless } from "./support/record.ts";
import { awaitClosed, openPair } from "./support/streams.ts";

const kib = 1024;
const mib = 1024 * kib;
/** A pool of one small slab. */
const tight = { bufferSize: 512, receiveBuffers: 8, slabBytes: 64 * kib, maxBytes: 64 * kib };

/** The accounts of a pool must add up, and stay within its limit. */
function check(stats: PoolStats): void {
  const parts = stats.inUseBytes + stats.receiveBytes + stats.cachedBytes + stats.quarantinedBytes +
    stats.inTransitBytes;
  assert.equal(stats.heldBytes, parts);
  assert.ok(stats.heldBytes <= stats.maxBytes, `${stats.heldBytes} of ${stats.maxBytes}`);
}

/** Allocates until there is no more. */
function exhaust(loop: Loop, bytes: number): Lease[] {
  const leases: Lease[] = [];
  for (;;) {
    const lease = loop.allocate(bytes);
    if (lease === undefined) return leases;
    leases.push(lease);
    assert.ok(leases.length < 1_000_000, "no limit");
  }
}

function release(loop: Loop, leases: Lease[]): void {
  for (const lease of leases) lease.release();
  loop.turn();
}

testLoop("a buffer is of the smallest class that fits, and aligned to its size", (loop) => {
  const cases = [
    [1, 512],
    [512, 512],
    [513, 1024],
    [16_384, 16_384],
    [100_000, 131_072],
    [4 * mib, 4 * mib],
    [4 * mib + 1, 4 * mib + 4096],
  ];
  for (const [length, capacity] of cases) {
    const lease = loop.allocate(length)!;
    assert.equal(lease.length, length);
    assert.equal(lease.capacity, capacity);
    const { byteOffset } = lease.bytes;
    assert.equal(byteOffset % Math.min(capacity, 4096), 0, `${length} bytes at ${byteOffset}`);
    lease.release();
  }
  const aligned = loop.allocate(100, { alignment: 4096 })!;
  assert.equal(aligned.length, 100);
  assert.equal(aligned.bytes.byteOffset % 4096, 0);
  aligned.release();
});

testLoop("lengths and alignments that cannot be are refused", (loop) => {
  const { slabBytes } = loop.capabilities;
  for (const bad of [0, -1, 1.5, NaN, Infinity, slabBytes + 1, "1" as unknown as number]) {
    assert.throws(() => loop.allocate(bad), { code: "INVALID_ARGUMENT" }, `${bad}`);
  }
  for (const bad of [0, 3, -4096, 8192, 1.5, NaN, "512" as unknown as number]) {
    assert.throws(() => loop.allocate(1, { alignment: bad }), { code: "INVALID_ARGUMENT" });
  }
});

testLoop("memory is mapped as it is needed, up to the limit and never past it", (loop) => {
  const before = loop.pool.stats();
  check(before);
  assert.equal(before.maxBytes, mib);
  const leases = exhaust(loop, 16 * kib);
  const full = loop.pool.stats();
  check(full);
  assert.ok(full.slabs > before.slabs || before.slabs >= 8, `${full.slabs} slabs`);
  assert.ok(full.slabs * full.slabBytes <= mib || full.slabs === before.slabs);
  // All but what is kept for receiving.
  assert.equal(leases.length * 16 * kib, mib - 8 * 512 - 12 * kib);
  assert.ok(full.refused > before.refused);
  assert.equal(full.leases, leases.length);
  release(loop, leases);
  const after = loop.pool.stats();
  assert.equal(after.inUseBytes, 0);
  assert.equal(after.leases, 0);
  // Everything is to be had again, in other sizes too.
  release(loop, exhaust(loop, 512));
  release(loop, exhaust(loop, 128 * kib));
}, { pool: { bufferSize: 512, receiveBuffers: 8, slabBytes: 128 * kib, maxBytes: mib } });

testLoop("one small lease keeps nothing from use but itself", (loop) => {
  const lone = loop.allocate(512)!;
  const leases = exhaust(loop, 512);
  // 128 slots of 512 bytes, 8 of them for receiving.
  assert.equal(leases.length, 119);
  release(loop, leases);
  const larger = loop.allocate(16 * kib)!;
  assert.equal(larger.capacity, 16 * kib);
  larger.release();
  lone.release();
  loop.turn();
}, { pool: tight });

testLoop("released bytes are overwritten where that is asked for", (loop) => {
  const lease = loop.allocate(600)!;
  const { bytes } = lease;
  bytes.fill(7);
  lease.release();
  loop.turn();
  assert.ok(bytes.every((byte) => byte === 0xdb), "no longer what it was");
}, { pool: { poison: true } });

testLoop("a quarantine by time ends with the loop's clock", (loop) => {
  const leases = exhaust(loop, 512);
  release(loop, leases);
  assert.equal(loop.allocate(512), undefined);
  assert.equal(loop.pool.stats().quarantinedBytes, leases.length * 512);
  check(loop.pool.stats());
  loop.advance(9_000);
  loop.turn();
  assert.equal(loop.allocate(512), undefined);
  loop.advance(1_000);
  loop.turn();
  release(loop, [loop.allocate(512)!]);
  assert.equal(loop.pool.stats().releasedEarly, 0);
}, { clock: "virtual", pool: { ...tight, quarantine: { timeMs: 10 } } });

testLoop(
  "a quarantine by count keeps the last ones back, and yields when there is no other",
  (loop) => {
    const first = loop.allocate(512)!;
    const place = first.bytes.byteOffset;
    first.release();
    loop.turn();
    for (let count = 0; count < 5; count++) {
      const lease = loop.allocate(512)!;
      assert.notEqual(lease.bytes.byteOffset, place);
      lease.release();
      loop.turn();
    }
    assert.equal(loop.pool.stats().quarantinedBytes, 5 * 512);
    assert.equal(loop.pool.stats().releasedEarly, 0);
    const leases = exhaust(loop, 512);
    assert.equal(leases.length, 120);
    assert.ok(loop.pool.stats().releasedEarly > 0);
    release(loop, leases);
  },
  { pool: { ...tight, quarantine: { count: 5 } } },
);

testLoop("a quarantine by count does not keep drain back", (loop) => {
  let drains = 0;
  const { client, server } = openPair(loop, { client: { drain: () => void (drains += 1) } });
  const leases = exhaust(loop, 4096);
  assert.equal(client.send(new Uint8Array(4096)), "full");
  release(loop, leases);
  turnUntil(loop, () => drains === 1, "drain");
  client.close();
  awaitClosed(loop, client, server);
}, { pool: { ...tight, quarantine: { count: 60_000 } } });

testLoop("nor runs of pages", (loop) => {
  for (let count = 0; count < 20; count++) {
    const lease = loop.allocate(5 * mib);
    assert.notEqual(lease, undefined, `the ${count + 1}th`);
    lease!.release();
    loop.turn();
  }
}, { pool: { slabBytes: 8 * mib, maxBytes: 64 * mib, quarantine: { count: 100 } } });

test("what was asked for and what was granted is told", () => {
  using loop = new Loop({ pool: { hugePages: "2MiB", lock: true, prefault: true, numaNode: 0 } });
  const { pages, lock, prefault, numa } = loop.pool.stats();
  assert.equal(pages.asked, "2MiB");
  assert.ok(["4KiB", "2MiB", "transparent"].includes(pages.granted), pages.granted);
  if (pages.granted !== "2MiB") assert.match(pages.reason!, /./);
  assert.equal(lock.asked, true);
  assert.ok(lock.granted || lock.reason !== undefined);
  assert.equal(prefault.asked, true);
  assert.equal(numa.asked, 0);
  assert.ok(numa.granted === 0 || numa.reason !== undefined);
});

test("a node that does not exist is a wish that is not granted", () => {
  using loop = new Loop({ pool: { numaNode: 1023 } });
  const { numa } = loop.pool.stats();
  assert.equal(numa.asked, 1023);
  assert.equal(numa.granted, null);
  assert.match(numa.reason!, /EINVAL|ENOSYS|EPERM/);
  assert.match(numa.advice!, /node/);
});

test("with strict a refusal is an error that names the option", () => {
  assert.throws(
    () => new Loop({ pool: { numaNode: 1023, strict: true } }),
    (error) => {
      assert.ok(error instanceof IoError);
      assert.equal(error.code, "NOT_GRANTED");
      assert.match(error.message, /numaNode/);
      assert.match(error.advice, /node/);
      assert.ok(error.errno! > 0, `errno ${error.errno}`);
      return true;
    },
  );
  using loop = new Loop({ pool: { strict: true, lock: false } });
  assert.equal(loop.pool.stats().lock.asked, false);
});

test("options that contradict each other are refused by name", () => {
  const refuse = (pool: object, name: RegExp): void => {
    assert.throws(() => new Loop({ pool }), (error) => {
      assert.ok(error instanceof IoError);
      assert.equal(error.code, "INVALID_OPTION");
      assert.match(error.message, name);
      return true;
    });
  };
  refuse({ maxBytes: 64 * kib, slabBytes: 128 * kib }, /maxBytes/);
  refuse({ maxBytes: 32 * kib }, /maxBytes/);
  refuse({ maxBytes: 16 * mib, hugePages: "1GiB" }, /maxBytes|slabBytes/);
  refuse({ slabBytes: 100_000 }, /slabBytes/);
  refuse({ slabBytes: 32 * kib }, /slabBytes/);
  refuse({ slabBytes: mib, hugePages: "2MiB" }, /slabBytes/);
  refuse({ bufferSize: mib, maxBytes: 2 * mib }, /bufferSize|receiveBuffers/);
  refuse({ receiveBuffers: 1024, bufferSize: 16 * kib, maxBytes: 16 * mib }, /receiveBuffers/);
  refuse({ hugePages: "4MiB" }, /hugePages/);
  refuse({ numaNode: -1 }, /numaNode/);
  refuse({ quarantine: { count: -1 } }, /quarantine/);
  refuse({ quarantine: { timeMs: 1e9 } }, /quarantine/);
  refuse({ lock: 1 }, /lock/);
});

test("leases that are still held at the end are told, in debug with their place", () => {
  const reports: LeakReport[] = [];
  const onLeak = (report: LeakReport): void => void reports.push(report);
  const loop = new Loop({ debug: true, onLeak });
  const kept = loop.allocate(600)!;
  loop.allocate()!.release();
  loop.turn();
  loop.close();
  assert.equal(kept.released, true);
  assert.equal(reports.length, 1);
  assert.equal(reports[0].leases, 1);
  assert.equal(reports[0].places.length, 1);
  assert.equal(reports[0].places[0].bytes, 1024);
  assert.match(reports[0].places[0].place, /pool\.test/);

  const quiet = new Loop({ onLeak });
  quiet.allocate();
  quiet.allocate();
  quiet.close();
  assert.equal(reports.length, 2);
  assert.equal(reports[1].leases, 2);
  assert.equal(quiet.stats().leases, 2);

  const clean = new Loop({ debug: true, onLeak });
  clean.allocate()!.release();
  clean.close();
  assert.equal(reports.length, 2, "nothing was held");
});

test("the memory of a closed loop is another's", () => {
  const pool = { ...tight, numaNode: undefined, poison: false, prefault: true };
  const open = (): Loop => new Loop({ backend: bestBackend, pool });
  const first = open();
  const kept = exhaust(first, 512);
  const { slabs } = first.pool.stats();
  first.close();
  assert.throws(() => kept[0].bytes, { code: "STALE_LEASE" });
  for (let round = 0; round < 20; round++) {
    using loop = open();
    assert.equal(exhaust(loop, 512).length, kept.length);
    assert.equal(loop.pool.stats().slabs, slabs);
    turns(loop, 1, 0);
  }
});

testUnless(unavailable("io_uring"), "slabs are registered as they come, and cloned", () => {
  const pool = { ...tight, bufferSize: 512, maxBytes: 256 * kib, fixedBuffers: true };
  const open = (): Loop => new Loop({ backend: "io_uring", pool });
  using first = open();
  const { fixed } = first.pool.stats();
  assert.equal(fixed.asked, true);
  if (!fixed.granted) return assert.match(fixed.reason!, /ENOMEM|EPERM/);
  const leases = exhaust(first, 16 * kib);
  first.turn();
  const { fixed: grown, slabs } = first.pool.stats();
  assert.deepEqual([grown.granted, grown.slabs], [true, slabs]);
  using second = open();
  assert.deepEqual(second.pool.stats().fixed, grown);
  release(first, leases);
});

test("epoll registers nothing, and says so", () => {
  using loop = new Loop({ backend: "epoll", pool: { fixedBuffers: true } });
  const { fixed } = loop.pool.stats();
  assert.deepEqual([fixed.asked, fixed.granted], [true, false]);
  assert.match(fixed.reason!, /this backend registers nothing/);
});
