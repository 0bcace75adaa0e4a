// Credits: a connection holds only so many receive buffers; at none its reading pauses, and goes on
// as they come back. One slow consumer costs the others nothing, and exhaustion loses nothing.

import assert from "node:assert/strict";
import { type Connection, type Lease, Loop } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { awaitClosed, content, ContentReader, ContentWriter, openPair } from "./support/streams.ts";

/** Ends of connections, closed together. */
function closeAll(loop: Loop, ...conns: Connection[]): void {
  for (const conn of conns) conn.close();
  awaitClosed(loop, ...conns);
}

testLoop(
  "a script never has more deliveries than credits, and gets the next for each",
  (loop) => {
    for (const receiveCredits of [1, 2, 7]) {
      const kept: Lease[] = [];
      const reader = new ContentReader();
      const total = 40_000;
      const writer = new ContentWriter(total);
      const { client, server } = openPair(loop, {
        server: { data: (_, lease) => void kept.push(lease.retain()) },
        client: { drain: (conn) => writer.write(conn) },
        listen: { receiveCredits },
      });
      writer.write(client);
      turnUntil(loop, () => kept.length === receiveCredits, "as many as there are credits");
      while (reader.received < total) {
        turns(loop, 3, 0);
        assert.ok(kept.length <= receiveCredits, `${kept.length} of ${receiveCredits}`);
        turnUntil(loop, () => kept.length > 0, "the next");
        const lease = kept.shift()!;
        reader.read(lease.bytes);
        lease.release();
      }
      closeAll(loop, client, server);
    }
  },
  { pool: { bufferSize: 512 } },
  { needs: "credits" },
);

testLoop("one credit is enough for everything", (loop) => {
  const reader = new ContentReader();
  const total = 1 << 20;
  const writer = new ContentWriter(total);
  const { client, server } = openPair(loop, {
    server: { data: (conn, lease) => void conn.send(lease) },
    client: { drain: (conn) => writer.write(conn), data: (_, lease) => reader.read(lease.bytes) },
    listen: { receiveCredits: 1 },
    connect: { receiveCredits: 1 },
  });
  writer.write(client);
  turnUntil(loop, () => reader.received === total, "the echo");
  closeAll(loop, client, server);
});

testLoop(
  "one slow consumer does not starve the others",
  (loop) => {
    const hoard: Lease[] = [];
    const readers = new Map<Connection, ContentReader>();
    let slow: Connection | null = null;
    const listener = loop.listen("tcp://127.0.0.1:0", {
      open: (conn) => void readers.set(conn, new ContentReader()),
      data(conn, lease): void {
        slow ??= conn;
        if (conn === slow) hoard.push(lease.retain());
        else readers.get(conn)!.read(lease.bytes);
      },
    });
    const total = 1 << 20;
    const connect = (): Connection => {
      const writer = new ContentWriter(total, 4_000);
      return loop.connect(listener.address, {
        open: (conn) => writer.write(conn),
        drain: (conn) => writer.write(conn),
      });
    };
    const clients = [connect()];
    turnUntil(loop, () => hoard.length > 0, "the slow one");
    for (let count = 0; count < 7; count++) clients.push(connect());
    const isDone = (): boolean =>
      readers.size === 8 &&
      [...readers].every(([conn, reader]) => conn === slow || reader.received === total);
    turnUntil(loop, isDone, "all but the slow one");
    assert.ok(hoard.length <= 64, `the slow one holds ${hoard.length}`);
    for (const lease of hoard) lease.release();
    slow!.abort();
    closeAll(loop, ...clients);
    listener.close();
  },
  { pool: { bufferSize: 4096, receiveBuffers: 64, slabBytes: 1 << 20, maxBytes: 1 << 20 } },
  { needs: "credits" },
);

testLoop("when many hold all there is, the rest waits and nothing is lost", (loop) => {
  using peers = new Loop({ backend: loop.backend });
  const kept: Lease[] = [];
  const count = 40;
  const each = 20_000;
  const received = new Map<Connection, number>();
  const listener = loop.listen("tcp://127.0.0.1:0", {
    data(conn, lease): void {
      received.set(conn, (received.get(conn) ?? 0) + lease.length);
      kept.push(lease.retain());
    },
  });
  const clients = Array.from(
    { length: count },
    () => peers.connect(listener.address, { open: (conn) => void conn.send(content(each)) }),
  );
  const sum = (): number => [...received.values()].reduce((total, bytes) => total + bytes, 0);
  const until = (done: () => boolean, what: string): void => {
    for (let idle = 0; !done(); idle++) {
      assert.ok(idle < 2_000, what);
      if (peers.turn() + loop.turn(1_000) > 0) idle = 0;
    }
  };
  until(() => loop.stats().starved > 0, "there was a buffer for everybody");
  turns(loop, 20, 0);
  assert.ok(sum() < count * each, "the pool held everything");
  const { heldBytes, maxBytes } = loop.pool.stats();
  assert.ok(heldBytes <= maxBytes, `${heldBytes} of ${maxBytes}`);
  while (sum() < count * each) {
    for (const lease of kept.splice(0)) lease.release();
    const before = sum();
    until(() => sum() > before, "what waited does not go on");
  }
  for (const lease of kept) lease.release();
  assert.ok([...received.values()].every((bytes) => bytes === each));
  for (const conn of clients) conn.close();
  until(() => loop.stats().openConnections === 0, "the end");
  listener.close();
}, { pool: { bufferSize: 4096, receiveBuffers: 8, slabBytes: 131_072, maxBytes: 131_072 } });

testLoop("who was stopped because buffers were scarce goes on when others give theirs", (loop) => {
  using peers = new Loop({ backend: loop.backend });
  const kept = new Map<Connection, Lease[]>();
  const listener = loop.listen("tcp://127.0.0.1:0", {
    open: (conn) => void kept.set(conn, []),
    data: (conn, lease) => void kept.get(conn)!.push(lease.retain()),
    close: (conn) => void kept.delete(conn),
  });
  const settled = (): void => {
    for (let quiet = 0; quiet < 20;) quiet = peers.turn() + loop.turn(500) > 0 ? 0 : quiet + 1;
  };
  const clients = Array.from(
    { length: 8 },
    () => peers.connect(listener.address, { open: (conn) => void conn.send(content(100_000)) }),
  );
  settled();
  const [[last, held]] = [...kept].toSorted(([, left], [, right]) => left.length - right.length);
  const before = held.length;
  // Its own stay where they are; all the others come back.
  for (const [conn, leases] of kept) {
    if (conn === last) continue;
    for (const lease of leases.splice(0)) lease.release();
    conn.abort();
  }
  settled();
  assert.ok(held.length > before, `${held.length} after ${before}`);
  for (const lease of held.splice(0)) lease.release();
  last.abort();
  settled();
  listener.close();
  for (const conn of clients) assert.equal(conn.state, "closed");
}, { pool: { bufferSize: 4096, receiveBuffers: 8, slabBytes: 131_072, maxBytes: 131_072 } });

testLoop(
  "a proxy that passes leases on holds its source back by credits alone",
  (loop) => {
    const total = 24 << 20;
    const writer = new ContentWriter(total, 2_000);
    const reader = new ContentReader();
    const far = openPair(loop, {
      server: { data: (_, lease) => reader.read(lease.bytes) },
      connect: { highWaterMark: 1 << 28 },
    });
    let most = 0;
    const near = openPair(loop, {
      server: { data: (_, lease) => void far.client.send(lease) },
      client: { drain: (conn) => writer.write(conn) },
      listen: { receiveCredits: 16 },
    });
    far.server.pause();
    turns(loop, 2, 0);
    writer.write(near.client);
    for (let quiet = 0; quiet < 50;) {
      quiet = loop.turn() === 0 ? quiet + 1 : 0;
      most = Math.max(most, far.client.queuedBytes);
    }
    assert.ok(!writer.isDone, "the source was never held back");
    assert.ok(most <= 17 * 4096, `${most} bytes waited`);
    far.server.resume();
    turnUntil(loop, () => reader.received === total, "everything");
    closeAll(loop, near.client, near.server, far.client, far.server);
  },
  { pool: { bufferSize: 4096 } },
  { needs: "credits" },
);
