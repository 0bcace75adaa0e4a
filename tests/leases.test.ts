// Leases: valid as long as they say, never alive again, given back exactly once; the pool is whole
// after every scenario.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Connection, type Lease, Loop } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { awaitClosed, content, ContentReader, openPair } from "./support/streams.ts";

const stale = { code: "STALE_LEASE" };

/** A pair whose server hands each delivery to `data`. */
function openSink(
  loop: Loop,
  data: (conn: Connection, lease: Lease) => void,
): { client: Connection; server: Connection; close: () => void } {
  const { client, server } = openPair(loop, { server: { data } });
  const close = (): void => {
    client.close();
    awaitClosed(loop, client, server);
  };
  return { client, server, close };
}

/** Every way to use a lease that has ended must say so. */
function assertEnded(lease: Lease): void {
  assert.equal(lease.released, true);
  assert.throws(() => lease.bytes, stale);
  assert.throws(() => lease.copy(), stale);
  assert.throws(() => lease.retain(), stale);
  assert.throws(() => lease.release(), stale);
  assert.throws(() => lease.length = 1, stale);
  lease[Symbol.dispose]();
}

testLoop("an allocated lease is writable up to its capacity", (loop) => {
  const lease = loop.allocate()!;
  const { capacity } = lease;
  assert.equal(capacity, loop.capabilities.bufferSize);
  assert.equal(lease.length, capacity);
  assert.equal(lease.bytes.length, capacity);
  lease.bytes.fill(7);
  lease.length = 5;
  assert.deepEqual(lease.copy(), new Uint8Array(5).fill(7));
  lease.length = 0;
  assert.equal(lease.bytes.length, 0);
  for (const bad of [-1, capacity + 1, 1.5, NaN, Infinity, "5" as unknown as number]) {
    assert.throws(() => lease.length = bad, { code: "INVALID_ARGUMENT" });
  }
  assert.equal(lease.length, 0, "a refused length changes nothing");
  lease.release();
  assertEnded(lease);
});

testLoop("each reference is given back once", (loop) => {
  const lease = loop.allocate()!;
  assert.equal(lease.retain(), lease);
  lease.release();
  assert.equal(lease.released, false);
  lease.release();
  assertEnded(lease);
  {
    using other = loop.allocate()!;
    assert.equal(other.released, false);
  }
  turns(loop, 1, 0);
  assert.equal(loop.stats().buffersInUse, 0);
});

testLoop("a lease that was only borrowed ends with its handler", (loop) => {
  let kept: Lease | null = null;
  let bytes: Uint8Array | null = null;
  const { client, close } = openSink(loop, (_, lease) => {
    if (kept !== null) return;
    kept = lease;
    bytes = lease.copy();
    assert.equal(lease.length, 4);
    assert.equal(lease.capacity, 4);
    assert.throws(() => lease.length = 2, { code: "INVALID_ARGUMENT" });
  });
  client.send("data");
  turnUntil(loop, () => kept !== null, "the data");
  assertEnded(kept!);
  assert.equal(Buffer.from(bytes!).toString(), "data", "a copy lives on");
  close();
});

testLoop("with debug a borrowed lease never comes alive again", (loop) => {
  const leases: Lease[] = [];
  const { client, close } = openSink(loop, (_, lease) => {
    assert.ok(!leases.includes(lease));
    for (const earlier of leases) assertEnded(earlier);
    leases.push(lease);
  });
  // More deliveries than there are receive buffers.
  for (let count = 1; count <= 24; count++) {
    client.send("x");
    turnUntil(loop, () => leases.length === count, "a delivery");
  }
  for (const lease of leases) assertEnded(lease);
  close();
}, { debug: true, pool: { receiveBuffers: 8 } });

testLoop("a retained lease keeps its bytes, and never comes alive again", (loop) => {
  const ended: Lease[] = [];
  const kept: Lease[] = [];
  let received = 0;
  const { client, close } = openSink(loop, (_, lease) => {
    assert.ok(!ended.includes(lease), "the object of a retained lease was reused");
    received += 1;
    kept.push(lease.retain());
  });
  for (let count = 1; count <= 40; count++) {
    client.send(`message ${count}`);
    turnUntil(loop, () => received === count, "a delivery");
    if (kept.length < 5) continue;
    for (const [index, lease] of kept.entries()) {
      const text = Buffer.from(lease.bytes).toString();
      assert.equal(text, `message ${count - kept.length + 1 + index}`);
    }
    const oldest = kept.shift()!;
    oldest.release();
    ended.push(oldest);
    for (const lease of ended) assertEnded(lease);
  }
  for (const lease of kept) lease.release();
  close();
}, { pool: { receiveBuffers: 8 } });

testLoop("release() inside the handler ends a borrowed lease", (loop) => {
  let seen = 0;
  const { client, close } = openSink(loop, (conn, lease) => {
    seen += 1;
    lease.release();
    assertEnded(lease);
    assert.throws(() => conn.send(lease), stale);
  });
  client.send("x");
  turnUntil(loop, () => seen === 1, "the data");
  close();
});

testLoop("one delivery can be sent to many connections", (loop) => {
  const texts = ["", "", ""];
  const receivers = texts.map((_, index) =>
    openPair(loop, {
      server: {
        data: (_, lease) => void (texts[index] += Buffer.from(lease.bytes).toString()),
      },
    })
  );
  const { client, close } = openSink(loop, (_, lease) => {
    for (const { client } of receivers) assert.equal(client.send(lease.retain()), "sent");
    assert.equal(lease.released, false, "still borrowed");
  });
  client.send("to all");
  turnUntil(loop, () => texts.every((text) => text.length === 6), "the copies");
  assert.deepEqual(texts, ["to all", "to all", "to all"]);
  for (const { client } of receivers) client.close();
  close();
});

testLoop("what is retained and given back in the handler is still delivered", (loop) => {
  let sent = "";
  const { client, server, close } = openSink(loop, (conn, lease) => {
    // As for a receiver that answered "full".
    lease.retain().release();
    assert.equal(lease.released, false);
    assert.equal(lease.bytes.length, 4);
    {
      using kept = lease.retain();
      assert.equal(kept, lease);
    }
    assert.equal(conn.send(lease.retain()), "sent");
    lease.retain().release();
    sent = conn.send(lease);
    assertEnded(lease);
  });
  client.send("data");
  turnUntil(loop, () => sent !== "", "the data");
  assert.equal(sent, "queued");
  turnUntil(loop, () => server.queuedBytes === 0, "the echo");
  client.send("more");
  turnUntil(loop, () => loop.stats().sentBytes === 4 + 8 + 4 + 8, "the second echo");
  close();
});

testLoop("a received part can be sent on, before and after the lease", (loop) => {
  const { client, close } = openSink(loop, (conn, lease) => {
    const kept = lease.retain();
    assert.equal(conn.send(lease.bytes.subarray(1, 3)), "sent");
    assert.equal(conn.send(kept), "queued");
    assert.equal(lease.released, false, "still borrowed: one right was sent");
    conn.send(lease);
    assertEnded(lease);
  });
  client.send("abcd");
  turnUntil(loop, () => loop.stats().sentBytes === 4 + 2 + 4 + 4, "the answers");
  close();
});

testLoop("a lease that was sent or released cannot be sent", (loop) => {
  const reader = new ContentReader();
  const { client, close } = openSink(loop, (_, lease) => reader.read(lease.bytes));
  const sent = loop.allocate()!;
  sent.bytes.set(content(sent.capacity));
  assert.equal(client.send(sent), "sent");
  assertEnded(sent);
  assert.throws(() => client.send(sent), stale);
  const released = loop.allocate()!;
  released.release();
  assert.throws(() => client.send(released), stale);
  turnUntil(loop, () => reader.received === sent.capacity, "the lease's bytes");
  close();
});

testLoop("an empty lease is sent without a byte", (loop) => {
  let bytes = 0;
  const { client, close } = openSink(loop, (_, lease) => void (bytes += lease.length));
  const lease = loop.allocate()!;
  lease.length = 0;
  assert.equal(client.send(lease), "sent");
  assertEnded(lease);
  client.send("end");
  turnUntil(loop, () => bytes === 3, "what came after");
  close();
});

testLoop("a lease of another loop is WRONG_LOOP and stays with the caller", (loop) => {
  using other = new Loop({ backend: loop.backend });
  const { client, close } = openSink(loop, () => {});
  const lease = other.allocate()!;
  assert.throws(() => client.send(lease), { code: "WRONG_LOOP" });
  assert.equal(lease.released, false);
  lease.release();
  other.turn();
  assert.equal(other.stats().buffersInUse, 0);
  close();
});

testLoop("when its loop closes a lease ends", (loop) => {
  const kept: Lease[] = [loop.allocate()!];
  const { client } = openSink(loop, (_, lease) => void kept.push(lease.retain()));
  client.send("x");
  turnUntil(loop, () => kept.length === 2, "the data");
  loop.close();
  for (const lease of kept) {
    assert.equal(lease.released, true);
    assert.throws(() => lease.bytes, stale);
    assert.throws(() => lease.copy(), stale);
    assert.throws(() => lease.retain(), stale);
    lease[Symbol.dispose]();
  }
  assert.throws(() => loop.allocate(), { code: "LOOP_CLOSED" });
});

testLoop("allocate answers undefined when all are taken, and recovers", (loop) => {
  for (let round = 0; round < 3; round++) {
    const leases: Lease[] = [];
    for (let lease = loop.allocate(); lease !== undefined; lease = loop.allocate()) {
      leases.push(lease);
      assert.equal(loop.stats().leases, leases.length);
    }
    assert.equal(leases.length, 16);
    assert.equal(loop.allocate(), undefined);
    const distinct = new Set(leases.map((lease) => lease.bytes.byteOffset));
    assert.equal(distinct.size, 16, "two leases over one buffer");
    for (const lease of leases) lease.release();
    loop.turn();
    assert.equal(loop.stats().buffersInUse, 0);
  }
}, { pool: { receiveBuffers: 16, slabBytes: 512 << 10, maxBytes: 512 << 10 } });

testLoop("transferring a lease's memory away does not break later deliveries", (loop) => {
  const reader = new ContentReader();
  let transfers = 0;
  const { client, close } = openSink(loop, (_, lease) => {
    reader.read(lease.bytes);
    const { buffer } = lease.bytes;
    structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
    transfers += 1;
    assert.equal(lease.bytes.length, lease.length, "a new view");
  });
  const mine = loop.allocate()!;
  mine.length = 3;
  for (let position = 0; position < 100_000; position += 10_000) {
    client.send(content(10_000, position));
    turnUntil(loop, () => reader.received === position + 10_000, "a delivery");
  }
  assert.ok(transfers >= 10);
  assert.equal(mine.bytes.length, 3);
  mine.release();
  close();
});

testLoop("bytes that were transferred away cannot be sent", (loop) => {
  const { client, close } = openSink(loop, () => {});
  const bytes = new Uint8Array(10);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  assert.throws(() => client.send(bytes), { code: "INVALID_ARGUMENT" });
  for (const bad of [null, undefined, 5, {}, [1], [[]], new ArrayBuffer(4), new Uint16Array(2)]) {
    assert.throws(() => client.send(bad as unknown as string), { code: "INVALID_ARGUMENT" });
  }
  assert.equal(client.queuedBytes, 0);
  close();
});
