// Endings: half-close, graceful close, abort and reset, each reported once, with its reason, and
// with everything that was queued before an orderly end delivered.

import assert from "node:assert/strict";
import { type Connection, Loop } from "../mod.ts";
import { settle, testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import {
  anyPort,
  awaitClosed,
  content,
  ContentReader,
  openPair,
  Recorder,
} from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

testTransports(
  "half-close: the peer may still answer, then both are closed in order",
  (loop, { endpoint }) => {
    const atServer = new Recorder({
      end(conn): void {
        assert.equal(conn.state, "open");
        conn.send(`you said ${atServer.text}`);
        conn.shutdown();
      },
    });
    const atClient = new Recorder({ end: () => {} });
    const { client, server } = openPair(loop, { endpoint, server: atServer, client: atClient });
    client.send("hello");
    client.shutdown();
    assert.equal(client.state, "open");
    assert.throws(() => client.send("more"), { code: "EPIPE" });
    client.shutdown();
    awaitClosed(loop, client, server);
    assert.equal(atClient.text, "you said hello");
    assert.deepEqual(atServer.events, ["open", "data", "end", "close:null"]);
    assert.deepEqual(atClient.events, ["open", "data", "end", "close:null"]);
  },
);

testTransports("half-close by the server: it still receives", (loop, { endpoint }) => {
  const atServer = new Recorder({ end: () => {} });
  const atClient = new Recorder({
    end(conn): void {
      conn.send("after your end");
      conn.shutdown();
    },
  });
  const { client, server } = openPair(loop, { endpoint, server: atServer, client: atClient });
  server.shutdown();
  awaitClosed(loop, client, server);
  assert.equal(atServer.text, "after your end");
  assert.deepEqual(atServer.events, ["open", "data", "end", "close:null"]);
  assert.deepEqual(atClient.events, ["open", "end", "close:null"]);
});

testTransports(
  "without an end handler the peer's end closes, after the answer to its data",
  (loop, { endpoint }) => {
    const total = 100_000;
    const reader = new ContentReader();
    const atServer = new Recorder({ data: (conn, lease) => void conn.send(lease) });
    const atClient = new Recorder({ data: (_, lease) => reader.read(lease.bytes) });
    const { client, server } = openPair(loop, { endpoint, server: atServer, client: atClient });
    client.send(content(total));
    client.shutdown();
    awaitClosed(loop, client, server);
    assert.equal(reader.received, total);
    assert.deepEqual(atServer.events, ["open", "data", "close:null"]);
    assert.deepEqual(atClient.events, ["open", "data", "close:null"]);
  },
);

testTransports(
  "close sends everything that is queued first, to a peer that reads late",
  (loop, { endpoint }) => {
    const total = 12 << 20;
    const reader = new ContentReader();
    const atServer = new Recorder({ data: (_, lease) => reader.read(lease.bytes) });
    const atClient = new Recorder();
    const { client, server } = openPair(loop, { endpoint, server: atServer, client: atClient });
    server.pause();
    client.send(content(total));
    client.close();
    assert.equal(client.state, "closing");
    turns(loop);
    assert.equal(atClient.isClosed, false, "closed with bytes queued");
    server.resume();
    awaitClosed(loop, client, server);
    assert.equal(reader.received, total);
    assert.deepEqual(atClient.events, ["open", "close:null"]);
    assert.deepEqual(atServer.events, ["open", "data", "close:null"]);
  },
  { clock: "virtual" },
);

testTransports(
  "close discards what still arrives, and the peer gets an orderly end",
  (loop, { endpoint }) => {
    const atServer = new Recorder();
    const atClient = new Recorder({ end: (conn) => conn.close() });
    const { client, server } = openPair(loop, { endpoint, server: atServer, client: atClient });
    server.pause();
    client.send(content(50_000));
    turns(loop);
    server.close();
    client.send(content(50_000));
    awaitClosed(loop, client, server);
    assert.deepEqual(atServer.events, ["open", "close:null"]);
    assert.deepEqual(atClient.events, ["open", "end", "close:null"]);
  },
  { clock: "virtual" },
);

testTransports(
  "the peer's end waits while paused and comes after the data",
  (loop, { endpoint }) => {
    const atServer = new Recorder({ end: (conn) => conn.close() });
    const { client, server } = openPair(loop, { endpoint, server: atServer });
    server.pause();
    client.send("data");
    client.shutdown();
    turns(loop);
    assert.deepEqual(atServer.events, ["open"]);
    server.resume();
    awaitClosed(loop, client, server);
    assert.deepEqual(atServer.events, ["open", "data", "end", "close:null"]);
  },
);

testTransports(
  "what arrived before a pause but was not reported yet waits, too",
  (clients, { endpoint }) => {
    for (const message of ["", "data"]) {
      using server = new Loop({ backend: clients.backend });
      const recorder = new Recorder({ end: (conn) => conn.close() });
      const listener = server.listen(endpoint, recorder);
      const client = clients.connect(listener.address, {});
      turnUntil(clients, () => {
        server.turn();
        return recorder.isOpen && client.state === "open";
      }, "both ends open");
      client.send(message);
      client.shutdown();
      turns(clients, 3);
      recorder.conn!.pause();
      turns(server);
      assert.deepEqual(recorder.events, ["open"]);
      recorder.conn!.resume();
      turnUntil(server, () => {
        clients.turn();
        return recorder.isClosed;
      }, "the end");
      const data = message === "" ? [] : ["data"];
      assert.deepEqual(recorder.events, ["open", ...data, "end", "close:null"]);
    }
  },
);

testLoop("what is sent to a connection that ended in the same turn is given back", (clients) => {
  using server = new Loop({ backend: clients.backend });
  const accepted: Connection[] = [];
  const listener = server.listen(anyPort, {
    open: (conn) => void accepted.push(conn),
    data(_, lease): void {
      for (const conn of accepted) {
        if (conn.state !== "open") continue;
        conn.send("copied");
        conn.send(lease.retain());
      }
    },
  });
  for (let round = 0; server.stats().rejected === 0; round++) {
    assert.ok(round < 100, "no send ever met an ended connection");
    accepted.length = 0;
    const conns = Array.from({ length: 6 }, () => clients.connect(listener.address, {}));
    turnUntil(clients, () => {
      server.turn();
      return accepted.length === 6 && conns.every((conn) => conn.state === "open");
    }, "six connections");
    // Some send and some reset, and the server sees both at once.
    conns.forEach((conn, index) => index % 2 === round % 2 ? conn.send("x") : conn.abort());
    turns(clients, 3);
    turns(server, 3);
    for (const conn of conns) conn.abort();
    turnUntil(clients, () => {
      server.turn();
      return [...conns, ...accepted].every((conn) => conn.state === "closed");
    }, "the end of the round");
  }
  listener.close();
  settle(server);
});

testLoop("abort: the peer sees ECONNRESET, this side ABORTED", (loop) => {
  const atServer = new Recorder({ end: () => {} });
  const atClient = new Recorder();
  const { client, server } = openPair(loop, { server: atServer, client: atClient });
  client.abort();
  assert.equal(client.state, "closing");
  awaitClosed(loop, client, server);
  assert.deepEqual(atClient.events, ["open", "close:ABORTED"]);
  assert.deepEqual(atServer.events, ["open", "close:ECONNRESET"]);
  assert.equal(atServer.reason?.errno, 104);
});

testLoop("a peer's reset while messages are queued ends with the reason", (loop) => {
  const atClient = new Recorder();
  const atServer = new Recorder();
  const { client, server } = openPair(loop, { server: atServer, client: atClient });
  server.pause();
  client.send(content(12 << 20));
  turns(loop);
  assert.ok(client.queuedBytes > 0, "the kernel took everything");
  server.abort();
  awaitClosed(loop, client, server);
  assert.match(atClient.events.at(-1)!, /^close:ECONNRESET$/);
  assert.equal(atClient.events.filter((event) => event.startsWith("close")).length, 1);
  assert.equal(client.queuedBytes, 0);
});

testTransports(
  "abort drops what is queued, also what was sent in the same turn",
  (loop, { endpoint }) => {
    const atServer = new Recorder();
    const { client, server } = openPair(loop, { endpoint, server: atServer });
    client.send(content(100_000));
    client.abort();
    awaitClosed(loop, client, server);
    assert.equal(atServer.bytes, 0);
  },
);

testTransports(
  "after the end every use throws STALE_HANDLE, but closing again does not",
  (loop, { endpoint }) => {
    const { client, server } = openPair(loop, { endpoint });
    const local = client.localAddress;
    client.close();
    for (const state of ["closing", "closed"]) {
      assert.equal(client.state, state);
      assert.throws(() => client.send("x"), { code: "STALE_HANDLE" });
      assert.throws(() => client.send(new Uint8Array(1)), { code: "STALE_HANDLE" });
      assert.throws(() => client.shutdown(), { code: "STALE_HANDLE" });
      client.close();
      if (state === "closing") awaitClosed(loop, client, server);
    }
    assert.throws(() => client.pause(), { code: "STALE_HANDLE" });
    assert.throws(() => client.resume(), { code: "STALE_HANDLE" });
    assert.throws(() => server.localAddress, { code: "STALE_HANDLE" });
    assert.throws(() => server.remoteAddress, { code: "STALE_HANDLE" });
    assert.deepEqual(client.localAddress, local, "what was read stays known");
    assert.equal(client.queuedBytes, 0);
    client.abort();
    client.ref();
    client.unref();
    client[Symbol.dispose]();
    assert.equal(turns(loop), 0);
  },
);

testTransports(
  "a lease that cannot be sent any more stays with the caller",
  (loop, { endpoint }) => {
    const { client, server } = openPair(loop, { endpoint });
    const lease = loop.allocate()!;
    lease.length = 10;
    client.close();
    assert.throws(() => client.send(lease), { code: "STALE_HANDLE" });
    assert.equal(lease.released, false);
    awaitClosed(loop, client, server);
    assert.throws(() => client.send(lease), { code: "STALE_HANDLE" });
    lease.release();
  },
);

testTransports("using closes a connection", (loop, { endpoint }) => {
  const atServer = new Recorder();
  const { client, server } = openPair(loop, { endpoint, server: atServer });
  {
    using conn = client;
    conn.send("last words");
  }
  awaitClosed(loop, client, server);
  assert.equal(atServer.text, "last words");
});

type Place = "open" | "data" | "end" | "drain" | "close";

/** What a handler does to end its connection, and how that is reported. */
const deeds: readonly (readonly [string, (conn: Connection) => void, string])[] = [
  ["close()", (conn) => conn.close(), "null"],
  ["close() twice", (conn) => (conn.close(), conn.close()), "null"],
  ["abort()", (conn) => conn.abort(), "ABORTED"],
  ["abort(), then close()", (conn) => (conn.abort(), conn.close()), "ABORTED"],
  ["close(), then abort()", (conn) => (conn.close(), conn.abort()), "ABORTED"],
  [
    "shutdown(), then close()",
    (conn) => (conn.state === "open" && conn.shutdown(), conn.close()),
    "null",
  ],
];

/** Brings a connection to the handler `place`, which ends it with `deed`; its reports. */
function endInside(loop: Loop, place: Place, deed: (conn: Connection) => void): string[] {
  const act = (conn: Connection): void => deed(conn);
  const recorder = new Recorder({
    // Without it there would be nothing to close in the close handler.
    end: (conn) => conn.close(),
    [place]: act,
  });
  const { client, server } = openPair(loop, {
    server: recorder,
    client: { end: (conn) => conn.state === "open" && conn.close() },
  });
  if (place === "data" || place === "drain") client.send("x");
  if (place === "drain") {
    server.send(new Uint8Array(server.highWaterMark));
    assert.equal(server.send("x"), "full");
  }
  if (place === "end" || place === "close") client.shutdown();
  awaitClosed(loop, client, server);
  turns(loop, 3);
  return recorder.events;
}

for (const [name, deed, reason] of deeds) {
  testLoop(`${name} inside each handler is reported once, and last`, (loop) => {
    for (const place of ["open", "data", "end", "drain", "close"] as const) {
      const events = endInside(loop, place, deed);
      assert.ok(events.includes(place) || place === "close", `${place} was never called`);
      const closes = events.filter((event) => event.startsWith("close:"));
      assert.deepEqual(closes, [`close:${place === "close" ? "null" : reason}`], place);
      assert.equal(events.at(-1), closes[0], `${place}: something after close`);
    }
  }, { clock: "virtual" });
}

testTransports("a closing connection gets nothing but close", (loop, { endpoint }) => {
  const atServer = new Recorder({ end: () => {}, data: (conn) => conn.close() });
  const { client, server } = openPair(loop, {
    endpoint,
    server: atServer,
    client: { end: (conn) => conn.close() },
  });
  // More than one delivery, in one turn and in later ones.
  client.send(content(500_000));
  turns(loop, 3);
  client.close();
  awaitClosed(loop, client, server);
  assert.deepEqual(atServer.events, ["open", "data", "close:null"]);
  assert.ok(atServer.bytes <= 16_384, "a second delivery after close()");
}, { clock: "virtual" });

testLoop("a peer that took everything and never ends is left at the linger limit", (loop) => {
  const atServer = new Recorder({ end: () => {} });
  const atClient = new Recorder();
  const { client, server } = openPair(loop, {
    server: atServer,
    client: atClient,
    connect: { lingerTimeoutMs: 700 },
  });
  client.close();
  turnUntil(loop, () => atServer.events.includes("end"), "our end at the peer");
  loop.advance(699_000);
  turns(loop, 5);
  assert.deepEqual(atClient.events, ["open"]);
  loop.advance(1_001);
  awaitClosed(loop, client);
  assert.deepEqual(atClient.events, ["open", "close:null"]);
  // Nothing more can arrive at the peer, so it learns of the end when it sends.
  turnUntil(loop, () => {
    if (server.state === "open") server.send("too late");
    return server.state === "closed";
  }, "the reset at the peer");
  assert.match(atServer.events.join(), /^open,end,close:ECONNRESET$/);
}, { clock: "virtual" });

testTransports(
  "a peer that takes nothing for the whole linger limit is reset",
  (loop, { endpoint }) => {
    const atClient = new Recorder();
    const { client, server } = openPair(loop, {
      endpoint,
      client: atClient,
      connect: { lingerTimeoutMs: 700, highWaterMark: 2 ** 26 },
    });
    server.pause();
    // More than the kernel's buffers between the two hold.
    let sent = 0;
    while (sent < 2 ** 26 && client.send(content(500_000)) !== "full") {
      sent += 500_000;
      turns(loop, 3);
    }
    turns(loop, 20);
    assert.ok(client.queuedBytes > 0, "everything fits the kernel's buffers");
    client.close();
    turns(loop, 5);
    loop.advance(699_000);
    turns(loop, 5);
    assert.equal(atClient.isClosed, false);
    loop.advance(2_000);
    awaitClosed(loop, client);
    assert.deepEqual(atClient.events.at(-1), "close:ETIMEDOUT");
    server.abort();
    awaitClosed(loop, server);
  },
  { clock: "virtual" },
);

testTransports(
  "the linger limit of an accepted connection is its listener's, 2 s by default",
  (loop, { endpoint }) => {
    for (const [listen, limitUs] of [[undefined, 2e6], [{ lingerTimeoutMs: 50 }, 5e4]] as const) {
      const atServer = new Recorder();
      const { client, server } = openPair(loop, {
        endpoint,
        server: atServer,
        client: { end: () => {} },
        listen,
      });
      server.close();
      turns(loop, 5);
      loop.advance(limitUs - 1_000);
      turns(loop, 5);
      assert.equal(atServer.isClosed, false);
      loop.advance(2_000);
      awaitClosed(loop, server);
      assert.deepEqual(atServer.events, ["open", "close:null"]);
      client.abort();
      awaitClosed(loop, client);
    }
  },
  { clock: "virtual" },
);

testTransports(
  "loop.close() reports LOOP_CLOSED once to each connection, whatever its state",
  (loop, { endpoint }) => {
    const open = new Recorder();
    const closing = new Recorder();
    const connecting = new Recorder();
    const aborted = new Recorder();
    const silent = { end: (): void => {} };
    const pairs = [open, closing, aborted].map((client) =>
      openPair(loop, { endpoint, client, server: silent })
    );
    const listener = loop.listen(endpoint, {});
    const late = loop.connect(listener.address, connecting);
    pairs[0].client.send(content(1_000));
    pairs[1].client.close();
    turns(loop, 2);
    const recent = loop.connect(listener.address, {});
    pairs[2].client.abort();
    loop.close();
    assert.deepEqual(open.events, ["open", "close:LOOP_CLOSED"]);
    assert.deepEqual(closing.events, ["open", "close:LOOP_CLOSED"]);
    assert.deepEqual(aborted.events, ["open", "close:LOOP_CLOSED"]);
    assert.equal(connecting.events.at(-1), "close:LOOP_CLOSED");
    assert.equal(late.state, "closed");
    assert.equal(recent.state, "closed");
    assert.equal(listener.closed, true);
    loop.close();
    assert.equal(open.events.length, 2);
    assert.throws(() => pairs[0].client.send("x"), { code: "STALE_HANDLE" });
    assert.throws(() => loop.turn(), { code: "LOOP_CLOSED" });
    assert.throws(() => loop.listen(endpoint, {}), { code: "LOOP_CLOSED" });
  },
);

for (const place of ["open", "data", "end", "drain", "close"] as const) {
  testLoop(`loop.close() inside ${place} ends everything once`, (loop) => {
    const other = new Recorder();
    openPair(loop, { client: other });
    const recorder = new Recorder({ end: (conn) => conn.close(), [place]: () => loop.close() });
    const listener = loop.listen(anyPort, recorder);
    const client = loop.connect(listener.address, {
      open(conn): void {
        conn.send("x");
        if (place === "end" || place === "close") conn.shutdown();
      },
    });
    turnUntil(loop, () => recorder.conn !== null || loop.closed, "the server's end");
    if (place === "drain") {
      recorder.conn!.send(new Uint8Array(recorder.conn!.highWaterMark));
      recorder.conn!.send("x");
    }
    for (let turn = 0; !loop.closed && turn < 1_000; turn++) loop.turn(10_000);
    assert.equal(loop.closed, true);
    assert.equal(client.state, "closed");
    assert.equal(other.events.at(-1), "close:LOOP_CLOSED");
    const closes = recorder.events.filter((event) => event.startsWith("close:"));
    assert.deepEqual(closes, [place === "close" ? "close:null" : "close:LOOP_CLOSED"]);
  });
}
