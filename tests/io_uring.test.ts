// Options of the io_uring backend: their ranges, a checked stream with backpressure over each, a
// loop that closes with everything in flight, and the errors where they do not belong.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  IoError,
  type IoUringFeature,
  type IoUringOptions,
  type Lease,
  Loop,
  type LoopOptions,
} from "../mod.ts";
import { withoutFeature } from "./support/backends.ts";
import { testUnless } from "./support/record.ts";
import { turnUntil } from "./support/drive.ts";
import { ContentReader, ContentWriter, openPair } from "./support/streams.ts";

interface Case {
  readonly feature: IoUringFeature;
  readonly options: IoUringOptions;
}

const cases: readonly Case[] = [
  { feature: "registeredRing", options: {} },
  { feature: "sqpoll", options: { sqpoll: { idleMs: 10 } } },
  { feature: "zeroCopy", options: { zeroCopyBytes: 1_000 } },
  { feature: "minWait", options: { minWaitUs: 200, minWaitCount: 8 } },
  { feature: "napi", options: { napiUs: 1 } },
  { feature: "bundles", options: { bundles: true } },
  { feature: "incrementalBuffers", options: { incrementalBuffers: true } },
];

function loopWith(options: IoUringOptions, pool: LoopOptions["pool"] = {}): Loop {
  return new Loop({ backend: "io_uring", ioUring: options, pool });
}

/** Sends a stream there and back through an echo that honours `full`, and checks every byte. */
function streamThrough(loop: Loop, total: number): void {
  const reader = new ContentReader();
  const writer = new ContentWriter(total, 6_000);
  const { client, server } = openPair(loop, {
    server: {
      data(conn, lease): void {
        assert.notEqual(conn.send(lease), "full", "an echo was answered full");
      },
    },
    client: {
      data: (_conn, lease) => reader.read(lease.bytes),
      drain: (conn) => writer.write(conn),
    },
  });
  writer.write(client);
  // The reader stops for a while, so that everything before it fills up.
  client.pause();
  for (let turn = 0; turn < 50; turn++) loop.turn();
  const before = reader.received;
  loop.turn();
  assert.equal(reader.received, before, "a paused connection delivers nothing");
  client.resume();
  turnUntil(loop, () => reader.received === total, "the stream came back");
  assert.ok(writer.isDone && writer.fulls > 0, "there was no backpressure");
  client.close();
  turnUntil(loop, () => client.state === "closed" && server.state === "closed", "both closed");
  turnUntil(loop, () => loop.stats().buffersInUse === 0, "every buffer is back");
}

for (const { feature, options } of cases) {
  testUnless(withoutFeature(feature), `a stream with ${feature} keeps every byte`, () => {
    using loop = loopWith(options, { bufferSize: 4_096 });
    assert.ok(loop.capabilities.features.includes(feature));
    streamThrough(loop, 2_000_000);
    const { zeroCopies, zeroCopiesCopied } = loop.stats();
    assert.equal(zeroCopies > 0, feature === "zeroCopy");
    assert.ok(zeroCopiesCopied <= zeroCopies);
  });

  testUnless(
    withoutFeature(feature),
    `a loop with ${feature} closes with everything in flight`,
    () => {
      const loop = loopWith(options, { bufferSize: 4_096 });
      const lost = loop.pool.stats().lostBytes;
      const reasons: (string | undefined)[] = [];
      const { client } = openPair(loop, {
        server: { data: (conn, lease) => void conn.send(lease) },
        client: { close: (_conn, error) => void reasons.push(error?.code) },
      });
      const writer = new ContentWriter(1_000_000);
      writer.write(client);
      loop.turn();
      writer.write(client);
      loop.turn();
      loop.close();
      assert.deepEqual(reasons, ["LOOP_CLOSED"]);
      using next = loopWith({});
      assert.equal(next.pool.stats().lostBytes, lost);
    },
  );
}

testUnless(
  withoutFeature("incrementalBuffers"),
  "messages that share a buffer can be kept and sent on",
  () => {
    using loop = loopWith({ incrementalBuffers: true }, { bufferSize: 4_096 });
    const count = 8;
    const rounds = 40;
    const kept: Lease[] = [];
    let received = 0;
    let deliveries = 0;
    const pairs = Array.from({ length: count }, (_, index) =>
      openPair(loop, {
        server: {
          data(conn, lease): void {
            received += lease.length;
            // Every other one is kept, and sent back later.
            if (deliveries++ % 2 === 0) kept.push(lease.retain());
            else conn.send(lease);
          },
        },
        client: {
          data(_conn, lease): void {
            echoed += lease.length;
            for (const byte of lease.bytes) assert.equal(byte, index);
          },
        },
      }));
    let echoed = 0;
    let sent = 0;
    for (let round = 1; round <= rounds; round++) {
      pairs.forEach(({ client }, index) => {
        client.send(new Uint8Array(30 + index).fill(index));
        sent += 30 + index;
      });
      turnUntil(loop, () => received === sent, "the messages");
    }
    assert.ok(kept.length >= rounds * count / 2);
    const { buffersInUse } = loop.stats();
    assert.ok(
      buffersInUse < kept.length / 4,
      `${buffersInUse} buffers for ${kept.length} messages`,
    );
    for (const lease of kept.splice(0)) {
      pairs[lease.bytes[0]].server.send(lease);
    }
    turnUntil(loop, () => echoed === sent, "what was kept came back");
    for (const { client } of pairs) client.close();
    turnUntil(loop, () => loop.stats().openConnections === 0, "all closed");
    turnUntil(loop, () => loop.stats().buffersInUse === 0, "every buffer is back");
  },
);

testUnless(withoutFeature("sqpoll"), "all options together", () => {
  using loop = loopWith({
    sqpoll: { idleMs: 5, cpu: 0 },
    zeroCopyBytes: 3_000,
    minWaitUs: 100,
    napiUs: 1,
    bundles: true,
    incrementalBuffers: true,
    bestEffort: true,
  }, { bufferSize: 4_096, fixedBuffers: true });
  assert.ok(loop.capabilities.setupFlags.includes("SQPOLL"));
  assert.ok(!loop.capabilities.setupFlags.includes("DEFER_TASKRUN"));
  streamThrough(loop, 1_000_000);
});

testUnless(
  withoutFeature("sqpoll"),
  "a CPU that is not there: NOT_GRANTED, with the option and the errno",
  () => {
    const open = (bestEffort: boolean): Loop => loopWith({ sqpoll: { cpu: 4_095 }, bestEffort });
    assert.throws(() => open(false), (error) => {
      assert.ok(error instanceof IoError);
      assert.equal(error.code, "NOT_GRANTED");
      assert.match(error.message, /ioUring\.sqpoll/);
      assert.equal(error.errno, 22);
      assert.match(error.advice, /bestEffort/);
      return true;
    });
    using loop = open(true);
    assert.ok(!loop.capabilities.features.includes("sqpoll"));
  },
);

test("options that are out of their range are named", () => {
  const integers: [name: string, make: (value: unknown) => object, wrong: unknown[]][] = [
    ["ioUring.zeroCopyBytes", (zeroCopyBytes) => ({ zeroCopyBytes }), [-1, 2 ** 30 + 1]],
    ["ioUring.minWaitUs", (minWaitUs) => ({ minWaitUs }), [-1, 1_000_001]],
    ["ioUring.minWaitCount", (minWaitCount) => ({ minWaitCount }), [0, 4_097]],
    ["ioUring.napiUs", (napiUs) => ({ napiUs }), [-1, 1_000_001]],
    ["ioUring.sqpoll.idleMs", (idleMs) => ({ sqpoll: { idleMs } }), [0, 60_001]],
    ["ioUring.sqpoll.cpu", (cpu) => ({ sqpoll: { cpu } }), [-1, 4_096]],
  ];
  const noInteger = [NaN, 1.5, Infinity, "8", null, true, {}, 8n];
  const refuses = (name: string, ioUring: unknown): void => {
    assert.throws(() => new Loop({ ioUring } as LoopOptions), (error) => {
      assert.ok(error instanceof IoError);
      assert.equal(error.code, "INVALID_OPTION", error.message);
      assert.ok(error.message.includes(name), `${error.message} does not name ${name}`);
      return true;
    });
  };
  for (const [name, make, wrong] of integers) {
    for (const value of [...wrong, ...noInteger]) refuses(name, make(value));
  }
  for (const value of [0, "yes", null, {}]) {
    refuses("ioUring.bundles", { bundles: value });
    refuses("ioUring.incrementalBuffers", { incrementalBuffers: value });
    refuses("ioUring.bestEffort", { bestEffort: value });
  }
  for (const value of [0, "yes", null]) refuses("ioUring.sqpoll", { sqpoll: value });
  for (const value of [0, "yes", null, true]) refuses("ioUring", value);
});

test("another backend has no use for the options", () => {
  for (const backend of ["epoll", "select"] as const) {
    assert.throws(() => new Loop({ backend, ioUring: { sqpoll: true } }), {
      code: "INVALID_OPTION",
      message: new RegExp(`ioUring.*${backend}`),
    });
  }
});

testUnless(
  withoutFeature("bundles"),
  "with an option that is not best effort, auto is io_uring",
  () => {
    using loop = new Loop({ ioUring: { bundles: true } });
    assert.equal(loop.backend, "io_uring");
  },
);
