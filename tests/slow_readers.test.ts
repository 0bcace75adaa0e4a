// A reader that does not read slows its own connection and nothing else.

import assert from "node:assert/strict";
import { type Connection, Loop } from "../mod.ts";
import { turns, turnUntil } from "./support/drive.ts";
import {
  awaitClosed,
  content,
  ContentReader,
  ContentWriter,
  listenEcho,
  openPair,
} from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

/** Closes connections and waits for the end of all of them. */
function closeAll(loop: Loop, ...conns: Connection[]): void {
  for (const conn of conns) conn.close();
  awaitClosed(loop, ...conns);
}

testTransports("one slow reader among eight slows only itself", (loop, { endpoint }) => {
  const total = 12 << 20;
  const readers: ContentReader[] = [];
  const writers = new Map<Connection, ContentWriter>();
  const listener = loop.listen(endpoint, {
    open(conn): void {
      const writer = new ContentWriter(total);
      writers.set(conn, writer);
      writer.write(conn);
    },
    drain: (conn) => writers.get(conn)!.write(conn),
  });
  const clients = Array.from({ length: 8 }, (_, index) => {
    const reader = new ContentReader();
    readers.push(reader);
    return loop.connect(listener.address, {
      open: (conn) => index === 0 && conn.pause(),
      data: (_, lease) => reader.read(lease.bytes),
    });
  });
  const [slow, ...fast] = readers;
  turnUntil(loop, () => fast.every((reader) => reader.received === total), "the fast readers");
  assert.equal(slow.received, 0);
  clients[0].resume();
  turnUntil(loop, () => slow.received === total, "the slow reader");
  closeAll(loop, ...clients);
  listener.close();
});

testTransports("a paused connection leaves the receive buffers to others", (loop, { endpoint }) => {
  const { client, server } = openPair(loop, { endpoint });
  const listener = listenEcho(loop, endpoint);
  server.pause();
  turns(loop, 3);
  client.send(content(1 << 20));
  turns(loop, 3);
  const reader = new ContentReader();
  const other = loop.connect(listener.address, {
    open: (conn) => void conn.send(content(100_000)),
    data: (_, lease) => reader.read(lease.bytes),
  });
  turnUntil(loop, () => reader.received === 100_000, "the echo of the other");
  server.resume();
  closeAll(loop, client, server, other);
  listener.close();
}, { pool: { receiveBuffers: 8 } });

testTransports("slow readers together do not stop the others", (clients, { endpoint }) => {
  const pool = { receiveBuffers: 64, slabBytes: 1 << 20, maxBytes: 4 << 20 };
  using server = new Loop({ backend: clients.backend, pool });
  const listener = listenEcho(server, endpoint);
  const slow = Array.from({ length: 12 }, () => {
    const writer = new ContentWriter(16 << 20);
    return clients.connect(listener.address, {
      open(conn): void {
        conn.pause();
        writer.write(conn);
      },
      drain: (conn) => writer.write(conn),
    });
  });
  turnUntil(clients, () => slow.every((conn) => conn.state === "open"), "the slow clients");
  while (server.turn(1_000) + clients.turn() > 0);
  const reader = new ContentReader();
  const honest = clients.connect(listener.address, {
    open: (conn) => void conn.send(content(1_000)),
    data: (_, lease) => reader.read(lease.bytes),
  });
  turnUntil(clients, () => {
    server.turn();
    return reader.received === 1_000;
  }, "the echo of an honest client");
  for (const conn of [...slow, honest]) conn.abort();
  awaitClosed(clients, ...slow, honest);
});
