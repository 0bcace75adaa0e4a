// Backpressure: `sent`, `queued` and `full` are true, all or nothing; `drain` follows each `full`
// once; what waits stays within the mark.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Connection, Lease, Loop, SendResult } from "../mod.ts";
import { turns, turnUntil } from "./support/drive.ts";
import {
  awaitClosed,
  content,
  contentAt,
  ContentReader,
  ContentWriter,
  listenEcho,
  openPair,
} from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

const bufferSize = 16_384;
/** The smallest mark that a pool of the default sizes allows. */
const smallMark = 2 * bufferSize;

/** Closes both ends of a pair. */
function closePair(loop: Loop, ...conns: Connection[]): void {
  for (const conn of conns) conn.close();
  awaitClosed(loop, ...conns);
}

/** Resumes unless the test has closed it meanwhile. */
function goOn(conn: Connection): void {
  if (conn.state === "open") conn.resume();
}

/** A pool with eight buffers of 16 KiB for messages. */
const tight = { receiveBuffers: 8, slabBytes: 256 << 10, maxBytes: 256 << 10 };

testTransports(
  "the first message is sent, later ones queued, what exceeds the mark is full",
  (loop, { endpoint }) => {
    const reader = new ContentReader();
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
      connect: { highWaterMark: smallMark },
    });
    assert.equal(client.highWaterMark, smallMark);
    assert.equal(client.send(contentAt(0, 10_000)), "sent");
    assert.equal(client.send(contentAt(10_000, 10_000)), "queued");
    assert.equal(client.send(contentAt(20_000, 10_000)), "queued");
    assert.equal(client.queuedBytes, 30_000);
    assert.equal(client.send(contentAt(30_000, smallMark - 30_000 + 1)), "full");
    const lease = loop.allocate()!;
    lease.bytes.set(contentAt(30_000, bufferSize));
    lease.length = smallMark - 30_000 + 1;
    assert.equal(client.send(lease), "full");
    assert.equal(client.queuedBytes, 30_000, "nothing of it was taken");
    assert.equal(client.send(contentAt(30_000, smallMark - 30_000 - 100)), "queued");
    lease.bytes.set(contentAt(smallMark - 100, 100));
    lease.length = 100;
    assert.equal(client.send(lease), "queued", "exactly the mark");
    assert.equal(client.queuedBytes, smallMark);
    assert.equal(client.send("x"), "full");
    turnUntil(loop, () => reader.received === smallMark, "what was taken");
    assert.equal(client.queuedBytes, 0);
    assert.equal(client.send(contentAt(reader.received, 10)), "sent");
    turnUntil(loop, () => reader.received === smallMark + 10, "the last message");
    closePair(loop, client, server);
  },
);

testTransports(
  "drain comes once after any number of full, and never without",
  (loop, { endpoint }) => {
    let drains = 0;
    const reader = new ContentReader();
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
      client: { drain: () => void (drains += 1) },
      connect: { highWaterMark: smallMark },
    });
    client.send(contentAt(0, 1_000));
    turnUntil(loop, () => reader.received === 1_000, "a message that was not full");
    turns(loop);
    assert.equal(drains, 0, "drain without full");
    for (let round = 1; round <= 3; round++) {
      const { received } = reader;
      assert.equal(client.send(content(smallMark, received)), "sent");
      for (let full = 0; full < 4; full++) assert.equal(client.send("x"), "full");
      turnUntil(loop, () => drains === round, "drain");
      assert.ok(client.queuedBytes <= smallMark / 2, "drain while more than half the mark waits");
      turnUntil(loop, () => reader.received === received + smallMark, "what was taken");
      turns(loop);
      assert.equal(drains, round, "a second drain for one full");
    }
    closePair(loop, client, server);
  },
);

testTransports(
  "full leaves a lease with the caller, who can send it later",
  (loop, { endpoint }) => {
    let text = "";
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => void (text += Buffer.from(lease.bytes).toString("latin1")) },
      client: {
        drain(conn): void {
          assert.equal(lease.released, false);
          assert.notEqual(conn.send(lease), "full");
          assert.equal(lease.released, true);
        },
      },
      connect: { highWaterMark: smallMark },
    });
    const lease: Lease = loop.allocate()!;
    lease.length = Buffer.from("the lease").copy(lease.bytes);
    client.send(new Uint8Array(smallMark));
    assert.equal(client.send(lease), "full");
    assert.equal(lease.released, false);
    assert.equal(Buffer.from(lease.bytes).toString(), "the lease");
    turnUntil(loop, () => text.length === smallMark + 9, "everything");
    assert.ok(text.endsWith("\0the lease"));
    closePair(loop, client, server);
  },
);

testTransports(
  "a message above the mark is taken whole when nothing waits, else not at all",
  (loop, { endpoint }) => {
    const reader = new ContentReader();
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
      connect: { highWaterMark: smallMark },
    });
    const large = 5 * smallMark + 3;
    assert.equal(client.send(content(large)), "sent");
    assert.equal(client.queuedBytes, large);
    assert.equal(client.send(content(large)), "full");
    assert.equal(client.queuedBytes, large);
    turnUntil(loop, () => reader.received === large, "the large message");
    closePair(loop, client, server);
  },
);

testTransports(
  "without buffers a message is full, and drain follows once there are some",
  (loop, { endpoint }) => {
    const reader = new ContentReader();
    const answers: SendResult[] = [];
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
      client: { drain: (conn) => void answers.push(conn.send(content(1_000))) },
    });
    const leases: Lease[] = [];
    for (let lease = loop.allocate(); lease !== undefined; lease = loop.allocate()) {
      leases.push(lease);
    }
    assert.equal(leases.length, 8);
    assert.equal(client.send(content(1_000)), "full");
    turns(loop);
    assert.deepEqual(answers, [], "drain without a free buffer");
    for (const lease of leases) lease.release();
    turnUntil(loop, () => reader.received === 1_000, "the message");
    assert.deepEqual(answers, ["sent"]);
    closePair(loop, client, server);
  },
  { pool: tight },
);

testTransports(
  "drain waits until there are as many buffers as the refused message needs",
  (loop, { endpoint }) => {
    const reader = new ContentReader();
    const message = content(4 * bufferSize);
    const answers: SendResult[] = [];
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
      client: { drain: (conn) => void answers.push(conn.send(message)) },
    });
    const leases = Array.from({ length: 8 }, () => loop.allocate()!);
    assert.equal(client.send(message), "full");
    for (const lease of leases.splice(0, 3)) lease.release();
    turns(loop);
    assert.deepEqual(answers, [], "three buffers are not enough");
    for (const lease of leases.splice(0, 1)) lease.release();
    turnUntil(loop, () => reader.received === message.length, "the message");
    assert.deepEqual(answers, ["sent"]);
    for (const lease of leases) lease.release();
    closePair(loop, client, server);
  },
  { pool: tight },
);

testTransports(
  "a message that the pool can never hold throws and sends nothing",
  (loop, { endpoint }) => {
    const reader = new ContentReader();
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
    });
    assert.throws(() => client.send(new Uint8Array(8 * bufferSize + 1)), {
      code: "MESSAGE_TOO_LARGE",
    });
    assert.equal(client.queuedBytes, 0);
    assert.equal(client.send(content(8 * bufferSize)), "sent");
    turnUntil(loop, () => reader.received === 8 * bufferSize, "the largest message");
    closePair(loop, client, server);
  },
  { pool: tight },
);

testTransports(
  "an echo is never answered full, however slowly its peer reads",
  (loop, { endpoint }) => {
    const total = 32 << 20;
    const writer = new ContentWriter(total);
    const reader = new ContentReader();
    const listener = listenEcho(loop, endpoint, { highWaterMark: smallMark });
    const client = loop.connect(listener.address, {
      open: (conn) => writer.write(conn),
      drain: (conn) => writer.write(conn),
      data: (_, lease) => reader.read(lease.bytes),
    });
    // It reads nothing until nothing moves any more, which fills all buffers on the way.
    for (let round = 0; round < 3; round++) {
      client.pause();
      while (turns(loop, 3) > 0 && !writer.isDone);
      client.resume();
      const { received } = reader;
      turnUntil(loop, () => reader.received > received, "some of the echo");
    }
    assert.ok(!writer.isDone && writer.fulls > 0, "the echo server never held its peer back");
    turnUntil(loop, () => reader.received === total, "the echo");
    closePair(loop, client);
    listener.close();
  },
);

testTransports(
  "32 MiB both ways at once with slow readers arrive intact in bounded memory",
  (loop, { endpoint }) => {
    const total = 32 << 20;
    const ends = [0, 1].map(() => ({
      writer: new ContentWriter(total, 10_000),
      reader: new ContentReader(),
      deliveries: 0,
      mostQueued: 0,
    }));
    const handlers = (end: typeof ends[number]): Parameters<typeof loop.connect>[1] => ({
      open: (conn) => end.writer.write(conn),
      drain: (conn) => end.writer.write(conn),
      data(conn, lease): void {
        end.reader.read(lease.bytes);
        end.mostQueued = Math.max(end.mostQueued, conn.queuedBytes);
        end.deliveries += 1;
        if (end.deliveries % 16 !== 0) return;
        conn.pause();
        loop.defer(() => loop.defer(() => goOn(conn)));
      },
    });
    const { client, server } = openPair(loop, {
      endpoint,
      server: handlers(ends[0]),
      client: handlers(ends[1]),
    });
    let mostUsed = 0;
    turnUntil(loop, () => {
      mostUsed = Math.max(mostUsed, loop.stats().buffersInUse);
      return ends.every((end) => end.reader.received === total);
    }, "everything at both ends");
    for (const { writer, mostQueued } of ends) {
      assert.ok(writer.isDone && writer.fulls > 0, "the writer was never held back");
      assert.ok(mostQueued <= client.highWaterMark, `${mostQueued} bytes waited`);
    }
    // Each end may have a mark's worth of messages waiting, each in a buffer of its own, and as
    // many received ones as it has credits; what the kernel fills at once may be more by a ring of
    // them. Sends that copy nothing hold theirs until the peer has acknowledged them.
    const mostHeld = loop.capabilities.features.includes("zeroCopy") ? 2 * (32 + 16) : 0;
    const mostTaken = 2 * (Math.ceil(client.highWaterMark / 10_000) + 64) + 64 + mostHeld;
    assert.ok(mostUsed <= mostTaken, `${mostUsed} were in use`);
    closePair(loop, client, server);
  },
  { pool: { receiveBuffers: 64 } },
);

testTransports(
  "a proxy passes leases on to a slow reader and holds its fast source back",
  (loop, { endpoint }) => {
    const total = 8 << 20;
    const writer = new ContentWriter(total);
    const reader = new ContentReader();
    const waiting: Lease[] = [];
    let fulls = 0;
    const far = openPair(loop, {
      endpoint,
      server: {
        data(conn, lease): void {
          reader.read(lease.bytes);
          conn.pause();
          loop.defer(() => loop.defer(() => goOn(conn)));
        },
      },
      client: {
        drain(conn): void {
          while (waiting.length > 0 && conn.send(waiting[0]) !== "full") waiting.shift();
          if (waiting.length === 0) near.server.resume();
        },
      },
      connect: { highWaterMark: smallMark },
    });
    const near = openPair(loop, {
      endpoint,
      server: {
        data(conn, lease): void {
          if (waiting.length === 0 && far.client.send(lease) !== "full") return;
          fulls += 1;
          waiting.push(lease.retain());
          conn.pause();
        },
      },
      client: { drain: (conn) => writer.write(conn) },
    });
    writer.write(near.client);
    turnUntil(loop, () => reader.received === total, "everything at the far end");
    assert.ok(fulls > 0 && writer.fulls > 0, "nobody was held back");
    closePair(loop, near.client, near.server, far.client, far.server);
  },
);

testTransports("nothing is delivered while paused, and nothing is lost", (loop, { endpoint }) => {
  const total = 2 << 20;
  const writer = new ContentWriter(total);
  const reader = new ContentReader();
  let pauses = 0;
  const { client, server } = openPair(loop, {
    endpoint,
    server: {
      data(conn, lease): void {
        reader.read(lease.bytes);
        if (reader.received < (pauses + 1) * 100_000) return;
        conn.pause();
        pauses += 1;
      },
    },
    client: { drain: (conn) => writer.write(conn) },
  });
  writer.write(client);
  while (reader.received < total) {
    const before = pauses;
    turnUntil(loop, () => pauses > before || reader.received === total, "a pause or the end");
    // What this turn had received may still have been delivered, but nothing after it.
    const { received } = reader;
    turns(loop, 3);
    if (server.paused) assert.equal(reader.received, received, "delivered while paused");
    server.resume();
  }
  assert.ok(pauses >= 10, `${pauses} pauses`);
  closePair(loop, client, server);
});

testTransports(
  "pause() inside a handler holds for the turns after it, and is idempotent",
  (loop, { endpoint }) => {
    const reader = new ContentReader();
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
    });
    server.pause();
    server.pause();
    assert.equal(server.paused, true);
    client.send(content(50_000));
    turns(loop);
    assert.equal(reader.received, 0);
    server.resume();
    server.resume();
    assert.equal(server.paused, false);
    turnUntil(loop, () => reader.received === 50_000, "what was held back");
    closePair(loop, client, server);
  },
);

testTransports(
  "when the script keeps what it may have, delivery waits and goes on",
  (loop, { endpoint }) => {
    const total = 1 << 20;
    const writer = new ContentWriter(total);
    const reader = new ContentReader();
    const kept: Lease[] = [];
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => void kept.push(lease.retain()) },
      client: { drain: (conn) => writer.write(conn) },
      listen: { receiveCredits: 8 },
    });
    writer.write(client);
    while (reader.received < total) {
      const wanted = Math.min(8, Math.ceil((total - reader.received) / bufferSize));
      turnUntil(loop, () => kept.length >= wanted, "as many as there are credits");
      turns(loop, 3);
      assert.ok(kept.length <= 8, `${kept.length} were delivered`);
      for (const lease of kept.splice(0)) {
        reader.read(lease.bytes);
        lease.release();
      }
    }
    closePair(loop, client, server);
  },
  { pool: { receiveBuffers: 8, slabBytes: 2 << 20, maxBytes: 2 << 20 } },
  { needs: "credits" },
);

testTransports(
  "who sends many messages by itself leaves places for the answers of others",
  (loop, { endpoint }) => {
    const { client: many, server } = openPair(loop, {
      endpoint,
      server: { open: (conn) => conn.pause() },
    });
    let taken = 0;
    const answers: string[] = [];
    const { client } = openPair(loop, {
      endpoint,
      server: {
        data(conn, lease): void {
          while (many.send("x") !== "full") taken += 1;
          assert.ok(many.queuedBytes < many.highWaterMark, "it was not the bytes that were many");
          answers.push(conn.send(lease));
        },
      },
    });
    for (let round = 1; round <= 5; round++) {
      turnUntil(loop, () => client.send("hello") !== "full", "room");
      turnUntil(loop, () => answers.length === round, "the answer");
    }
    assert.deepEqual(answers, Array(5).fill("sent"));
    assert.ok(taken > 100, `${taken} were taken`);
    for (const conn of [client, many, server]) conn.abort();
  },
  { entries: 64 },
);
