// In-process connections between two loops of a thread, and from a loop to itself, over every
// backend: what they do as all connections do, and what only they do.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { type Connection, type IoError, type Lease, Loop } from "../mod.ts";
import type { LeaseHandle } from "../src/lease.ts";
import { bestBackend, settle, testLoop } from "./support/backends.ts";
import { awaitClosed, content, ContentReader, ContentWriter, Recorder } from "./support/streams.ts";

/** Most turns of both loops until something that must come has come. */
const maxTurns = 20_000;

/** Takes turns on both loops until `done`. */
function turnBoth(near: Loop, far: Loop, done: () => boolean, what: string): void {
  for (let turn = 0; turn < maxTurns; turn++) {
    if (done()) return;
    near.turn();
    far.turn();
  }
  assert.fail(`${what}: not within ${maxTurns} turns`);
}

/** Whether no connection is open on a loop. */
function isEmpty(loop: Loop): boolean {
  return loop.stats().openConnections === 0;
}

let names = 0;

/** A name that no other test uses. */
function freshName(): string {
  return `inproc://test-${++names}`;
}

/** A connection from `near` to `far`; the listener is closed again. */
function connectLoops(
  near: Loop,
  far: Loop,
  client: Recorder,
  server: Recorder,
): { client: Connection; server: Connection } {
  const listener = far.listen(freshName(), server);
  const conn = near.connect(listener.address, client);
  turnBoth(near, far, () => client.isOpen && server.isOpen, "both ends open");
  listener.close();
  return { client: conn, server: server.conn! };
}

/** Runs `body` with a second loop like the first, and checks both afterwards. */
function testLoops(name: string, body: (near: Loop, far: Loop) => void): void {
  testLoop(name, (near) => {
    using far = new Loop({ backend: near.backend });
    body(near, far);
    settle(far);
  });
}

testLoops("messages go both ways, and both ends know the name", (near, far) => {
  const client = new Recorder();
  const server = new Recorder({ data: (conn, lease) => void conn.send(lease) });
  const address = { transport: "inproc", family: "inproc", host: "", port: 0 };
  const listener = far.listen("inproc://Ä name/with?everything", server);
  const named = { ...address, path: "Ä name/with?everything" };
  assert.deepEqual(listener.address, named);
  assert.equal(listener.endpoint, "inproc://Ä name/with?everything");
  const conn = near.connect(listener.endpoint, client);
  conn.send("before it is open, ");
  turnBoth(near, far, () => client.text.length > 0, "the first echo");
  assert.equal(conn.send("and after"), "sent");
  turnBoth(near, far, () => client.text === "before it is open, and after", "the echoes");
  for (const end of [conn, server.conn!]) {
    assert.deepEqual(end.localAddress, named);
    assert.deepEqual(end.remoteAddress, named);
  }
  conn.close();
  listener.close();
  turnBoth(near, far, () => client.isClosed && server.isClosed, "both ends closed");
  assert.deepEqual(client.events, ["open", "data", "close:null"]);
  assert.deepEqual(server.events, ["open", "data", "close:null"]);
  const { sentBytes, receivedBytes, connected } = near.stats();
  assert.deepEqual([sentBytes, receivedBytes, connected], [28, 28, 1]);
});

testLoop("a loop talks to itself", (loop) => {
  const reader = new ContentReader();
  const writer = new ContentWriter(3 << 20);
  const listener = loop.listen(freshName(), { data: (conn, lease) => void conn.send(lease) });
  const conn = loop.connect(listener.address, {
    open: (conn) => writer.write(conn),
    drain: (conn) => writer.write(conn),
    data(conn, lease): void {
      reader.read(lease.bytes);
      if (reader.received === 3 << 20) conn.close();
    },
  });
  awaitClosed(loop, conn);
  assert.equal(reader.received, 3 << 20);
  assert.ok(writer.fulls > 0);
  listener.close();
});

testLoops("a name is nobody's, one listener's, and nobody's again", (near, far) => {
  const name = freshName();
  const early = new Recorder();
  near.connect(name, early);
  turnBoth(near, far, () => early.isClosed, "the refusal");
  assert.deepEqual(early.events, ["close:ECONNREFUSED"]);
  const listener = far.listen(name, {});
  assert.throws(() => near.listen(name, {}), { code: "EADDRINUSE" });
  assert.throws(() => far.listen(name, {}), { code: "EADDRINUSE" });
  listener.close();
  near.listen(name, {}).close();
});

testLoops("a buffer moves with its bytes, and is copied where it is used", (near, far) => {
  const got: { buffer: number; text: string }[] = [];
  const server = new Recorder({
    data(_, lease): void {
      const { buffer } = lease as LeaseHandle;
      got.push({ buffer, text: Buffer.from(lease.bytes).toString() });
    },
  });
  const { client, server: accepted } = connectLoops(near, far, new Recorder(), server);
  const send = (change: (lease: Lease) => Lease, text: string): number => {
    const lease = near.allocate(20_000)!;
    lease.bytes.set(Buffer.from(text));
    lease.length = text.length;
    const { buffer } = lease as LeaseHandle;
    client.send(change(lease));
    const before = got.length;
    turnBoth(near, far, () => got.length > before, text);
    return buffer;
  };
  const moved = send((lease) => lease, "moved");
  assert.deepEqual(got.pop(), { buffer: moved, text: "moved" });
  const part = (lease: Lease): Lease => {
    const slice = lease.slice(4);
    lease.release();
    return slice;
  };
  const partly = send(part, "the rest moves");
  assert.deepEqual(got.pop(), { buffer: partly, text: "rest moves" });
  let kept: Lease | null = null;
  const copied = send((lease) => kept = lease.retain(), "copied");
  assert.notEqual(got[0].buffer, copied);
  assert.equal(got[0].text, "copied");
  assert.equal(Buffer.from(kept!.bytes).toString(), "copied", "and the sender has it still");
  kept!.release();
  client.close();
  turnBoth(near, far, () => accepted.state === "closed" && client.state === "closed", "the end");
  assert.equal(near.pool.stats().inTransitBytes, 0);
});

testLoops("short messages of a turn come together", (near, far) => {
  const server = new Recorder();
  let deliveries = 0;
  const counting = new Recorder({ data: () => void (deliveries += 1) });
  const { client } = connectLoops(near, far, server, counting);
  for (let count = 0; count < 1000; count++) client.send(`${count} `);
  turnBoth(near, far, () => counting.text.endsWith("999 "), "all of them");
  assert.equal(counting.text, Array.from({ length: 1000 }, (_, at) => `${at} `).join(""));
  assert.ok(deliveries < 10, `${deliveries} deliveries`);
  client.abort();
  turnBoth(near, far, () => counting.isClosed && server.isClosed, "the end");
});

testLoops("a paused receiver holds the sender up, and loses nothing", (near, far) => {
  const reader = new ContentReader();
  const total = 4 << 20;
  const writer = new ContentWriter(total);
  const client = new Recorder({ drain: (conn) => writer.write(conn) });
  const server = new Recorder({ data: (_, lease) => reader.read(lease.bytes) });
  const { client: conn, server: accepted } = connectLoops(near, far, client, server);
  accepted.pause();
  writer.write(conn);
  for (let turn = 0; turn < 50; turn++) {
    near.turn();
    far.turn();
  }
  assert.equal(reader.received, 0);
  assert.ok(writer.sent > 256_000 && writer.sent < 2 << 20, `${writer.sent} bytes ahead`);
  accepted.resume();
  turnBoth(near, far, () => reader.received === total, "everything");
  conn.close();
  turnBoth(near, far, () => client.isClosed && server.isClosed, "the end");
  assert.deepEqual([client.reason, server.reason], [null, null]);
});

testLoops("a message that lies in a buffer somewhere is held back and comes whole", (near, far) => {
  const server = new Recorder();
  const { client, server: accepted } = connectLoops(near, far, new Recorder(), server);
  let texts = "";
  for (let round = 0; round < 20; round++) {
    const lease = near.allocate(9000)!;
    lease.bytes.fill(64 + round);
    client.send(lease.slice(round * 100, 8000));
    lease.release();
    texts += String.fromCharCode(64 + round).repeat(8000 - round * 100);
    if (round % 3 === 0) accepted.pause();
    near.turn();
    far.turn();
    if (round % 3 === 1) accepted.resume();
  }
  accepted.resume();
  turnBoth(near, far, () => server.text === texts, "all of them");
  client.close();
  turnBoth(near, far, () => server.isClosed && client.state === "closed", "the end");
});

testLoops("one direction ends and the other goes on", (near, far) => {
  const client = new Recorder();
  const server = new Recorder({ end: (conn) => void conn.send("the answer") });
  const pair = connectLoops(near, far, client, server);
  pair.client.send("the question");
  pair.client.shutdown();
  turnBoth(near, far, () => client.text === "the answer", "the answer");
  assert.deepEqual(server.events, ["open", "data", "end"]);
  pair.server.close();
  turnBoth(near, far, () => client.isClosed && server.isClosed, "the end");
  assert.deepEqual(client.events, ["open", "data", "close:null"]);
});

testLoops("what was sent before a close arrives, also before it is accepted", (near, far) => {
  const server = new Recorder();
  const client = new Recorder();
  const listener = far.listen(freshName(), server);
  const conn = near.connect(listener.address, client, { lingerTimeoutMs: 20 });
  conn.send(content(100_000));
  near.turn();
  near.turn();
  assert.equal(conn.state, "open");
  conn.close();
  // Nobody ends the other direction: the linger limit passes.
  for (let turn = 0; turn < 500 && !client.isClosed; turn++) near.turn(10_000);
  assert.deepEqual(client.events, ["open", "close:null"]);
  turnBoth(near, far, () => server.isClosed, "the other end");
  assert.equal(server.bytes, 100_000);
  listener.close();
});

testLoops("abort resets the other end, after what has arrived there", (near, far) => {
  const client = new Recorder();
  const server = new Recorder();
  const pair = connectLoops(near, far, client, server);
  pair.client.send("the last");
  near.turn();
  pair.client.abort();
  turnBoth(near, far, () => client.isClosed && server.isClosed, "both ends");
  assert.deepEqual(client.events, ["open", "close:ABORTED"]);
  assert.deepEqual(server.events, ["open", "data", "close:ECONNRESET"]);
});

testLoops("whoever sends to an end that has gone is told", (near, far) => {
  const client = new Recorder({ end: () => {} });
  const server = new Recorder();
  const listener = far.listen(freshName(), server, { lingerTimeoutMs: 1 });
  const conn = near.connect(listener.address, client);
  turnBoth(near, far, () => client.isOpen && server.isOpen, "both ends open");
  server.conn!.close();
  for (let turn = 0; turn < 500 && !server.isClosed; turn++) far.turn(10_000);
  turnBoth(near, far, () => client.events.includes("end"), "the end at the client");
  conn.send("to nobody");
  turnBoth(near, far, () => client.isClosed, "the reset");
  assert.deepEqual(client.events, ["open", "end", "close:ECONNRESET"]);
  listener.close();
});

testLoops("a pipe has no options of sockets", (near, far) => {
  const name = freshName();
  assert.throws(() => far.listen(name, {}, { keepAlive: true }), { code: "UNSUPPORTED" });
  const listener = far.listen(name, {}, { keepAlive: true, bestEffort: true });
  assert.throws(() => near.connect(name, {}, { sendBufferBytes: 4096 }), { code: "UNSUPPORTED" });
  const conn = near.connect(name, {}, { sendBufferBytes: 4096, bestEffort: true });
  turnBoth(near, far, () => conn.state === "open", "the connection");
  assert.throws(() => conn.setOptions({ ttl: 3 }), { code: "UNSUPPORTED" });
  const named = far.listen(`${name}-2`, {});
  assert.throws(() => named.share(), { code: "UNSUPPORTED", message: /has no descriptor/ });
  named.close();
  assert.equal(conn.state, "open");
  conn.abort();
  listener.close();
  turnBoth(near, far, () => conn.state === "closed" && isEmpty(far), "the end");
});

testLoop("a loop that closes resets what others have to it", (near) => {
  const client = new Recorder();
  const server = new Recorder();
  const name = freshName();
  const far = new Loop({ backend: near.backend });
  const pair = connectLoops(near, far, client, server);
  far.listen(name, {});
  const waiting = new Recorder();
  near.connect(name, waiting);
  pair.client.send(content(50_000));
  near.turn();
  far.close();
  for (let turn = 0; turn < 100 && !(client.isClosed && waiting.isClosed); turn++) near.turn();
  assert.equal(server.events.at(-1), "close:LOOP_CLOSED");
  assert.deepEqual(client.events, ["open", "close:ECONNRESET"]);
  assert.deepEqual(waiting.events, ["open", "close:ECONNRESET"]);
  assert.equal(near.pool.stats().inTransitBytes, 0);
  near.listen(name, {}).close();
});

testLoop("a full backlog keeps a connect waiting, up to its time limit", (near) => {
  using far = new Loop({ backend: near.backend });
  const server: Connection[] = [];
  const listener = far.listen(freshName(), { open: (conn) => void server.push(conn) }, {
    backlog: 2,
  });
  const clients = Array.from({ length: 5 }, () => new Recorder());
  const conns = clients.map((client, index) =>
    near.connect(listener.address, client, { timeoutMs: index === 2 ? 500 : 5_000 })
  );
  for (let turn = 0; turn < 10; turn++) near.turn();
  const states = (): string => clients.map((client) => client.events.at(-1) ?? "-").join(" ");
  assert.equal(states(), "open open - - -");
  near.advance(501_000);
  for (let turn = 0; turn < 10; turn++) near.turn();
  assert.equal(states(), "open open close:CONNECT_TIMEOUT - -");
  const allOpen = "open open close:CONNECT_TIMEOUT open open";
  turnBoth(near, far, () => server.length === 4 && states() === allOpen, "the others");
  for (const conn of conns) conn.close();
  listener.close();
  turnBoth(near, far, () => server.every((conn) => conn.state === "closed"), "the end");
}, { clock: "virtual" });

testLoops("a listener that closes resets who waits to be accepted", (near, far) => {
  const listener = far.listen(freshName(), {}, { backlog: 1 });
  const clients = [new Recorder(), new Recorder()];
  for (const client of clients) near.connect(listener.address, client);
  for (let turn = 0; turn < 5; turn++) near.turn();
  listener.close();
  for (let turn = 0; turn < 20; turn++) near.turn();
  assert.deepEqual(clients.map(({ events }) => events), [
    ["open", "close:ECONNRESET"],
    ["close:ECONNREFUSED"],
  ]);
});

testLoop("a loop without a free slot accepts once there is one", (near) => {
  using far = new Loop({ backend: near.backend, maxConnections: 1 });
  const server: Connection[] = [];
  const listener = far.listen(freshName(), { open: (conn) => void server.push(conn) });
  const conns = [0, 1, 2].map(() => near.connect(listener.address, {}));
  for (let round = 1; round <= 3; round++) {
    turnBoth(near, far, () => server.length === round, `connection ${round}`);
    for (let turn = 0; turn < 5; turn++) far.turn();
    assert.equal(server.length, round);
    server[round - 1].abort();
  }
  listener.close();
  turnBoth(near, far, () => conns.every((conn) => conn.state === "closed"), "the end");
});

testLoops("credits: a script that keeps what it gets is given no more", (near, far) => {
  const kept: Lease[] = [];
  const server = { data: (_: Connection, lease: Lease) => void kept.push(lease.retain()) };
  const listener = far.listen(freshName(), server, { receiveCredits: 3 });
  const conn = near.connect(listener.address, {});
  for (let count = 0; count < 10; count++) {
    const lease = near.allocate(4096)!;
    lease.bytes.fill(count);
    conn.send(lease);
  }
  for (let turn = 0; turn < 50; turn++) {
    near.turn();
    far.turn();
  }
  assert.equal(kept.length, 3);
  for (let count = 0; count < 10; count++) {
    turnBoth(near, far, () => kept.length > 0, "the next");
    assert.ok(kept.length <= 3);
    const lease = kept.shift()!;
    assert.ok(lease.bytes.every((byte) => byte === count));
    lease.release();
  }
  conn.abort();
  listener.close();
  turnBoth(near, far, () => isEmpty(far), "the end");
});

/** A step of a random program: what one end does. */
type Step = readonly [what: number, end: number, bytes: number];

test("no sequence of sends, pauses and turns changes a byte or loses a buffer", () => {
  const pool = { bufferSize: 1024, receiveBuffers: 8, slabBytes: 262_144, maxBytes: 262_144 };
  const loops = [0, 1].map(() => new Loop({ backend: bestBackend, pool, maxConnections: 16 }));
  const [near, far] = loops;
  const step: fc.Arbitrary<Step> = fc.tuple(fc.nat(9), fc.nat(1), fc.nat(9_000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.nat(2), (steps, ending) => {
      const readers = [new ContentReader(), new ContentReader()];
      const ends = readers.map((reader) =>
        new Recorder({ end: () => {}, data: (_, lease) => reader.read(lease.bytes) })
      );
      const pair = connectLoops(near, far, ends[0], ends[1]);
      const conns = [pair.client, pair.server];
      const sent = [0, 0];
      const kept: Lease[] = [];
      for (const [what, end, bytes] of steps) {
        const conn = conns[end];
        const data = content(bytes + 1, sent[end]);
        if (what <= 2) {
          const short = data.subarray(0, bytes % 200 + 1);
          if (conn.send(short) !== "full") sent[end] += short.length;
        } else if (what === 3) {
          if (conn.send(data) !== "full") sent[end] += data.length;
        } else if (what <= 6) {
          const lease = loops[end].allocate(data.length + 10);
          if (lease === undefined) continue;
          lease.bytes.set(data, 10);
          const part = lease.slice(10);
          if (what === 6) kept.push(lease);
          else lease.release();
          if (conn.send(part) === "full") part.release();
          else sent[end] += data.length;
        } else if (what === 7) {
          if (bytes % 2 === 0) conn.pause();
          else conn.resume();
        } else {
          loops[end].turn();
        }
      }
      for (const lease of kept) lease.release();
      for (const conn of conns) conn.resume();
      const arrived = (): boolean =>
        readers[0].received === sent[1] && readers[1].received === sent[0];
      if (ending === 0) turnBoth(near, far, arrived, `${sent} bytes`);
      if (ending === 2) conns[0].abort();
      else conns.forEach((conn) => conn.close());
      turnBoth(near, far, () => ends.every((end) => end.isClosed), "the end");
      for (const loop of loops) {
        loop.turn();
        loop.turn();
        const { inUseBytes, leases, inTransitBytes } = loop.pool.stats();
        assert.deepEqual([inUseBytes, leases, inTransitBytes], [0, 0, 0]);
      }
    }),
    { numRuns: 300 },
  );
  for (const loop of loops) loop.close();
});

test("thousands of connections come and go, and leave nothing", () => {
  using near = new Loop({ backend: bestBackend });
  using far = new Loop({ backend: bestBackend });
  const listener = far.listen("inproc://storm", {
    data: (conn, lease) => void conn.send(lease),
  });
  let closed = 0;
  const reasons = new Set<IoError | null>();
  const total = 5_000;
  const start = (): void => {
    near.connect(listener.address, {
      open: (conn) => void conn.send("x"),
      data: (conn) => conn.close(),
      close(_, error): void {
        closed += 1;
        reasons.add(error);
      },
    });
  };
  for (let count = 0; count < total; count++) {
    start();
    if (count % 50 === 49) turnBoth(near, far, () => closed === count + 1, "fifty more");
  }
  assert.deepEqual([...reasons], [null]);
  listener.close();
  settle(near);
  settle(far);
  assert.equal(near.pool.stats().inTransitBytes + far.pool.stats().inTransitBytes, 0);
});
