// Echo: every byte comes back, in order, whatever its size, family, form and driver, also from
// peers that are not ours.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { type Connection, Loop } from "../mod.ts";
import { noIpv6, testEach, testLoop } from "./support/backends.ts";
import { drive, drivers, Signal, turnBesideHost, turnUntil } from "./support/drive.ts";
import { anyPort6, awaitClosed, content, ContentReader, listenEcho } from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

const sizes = [1, 2, 63, 64, 1_000, 16_383, 16_384, 16_385, 65_536, 262_145, 1_048_576];

/** Sends one message to an echo server and checks that it comes back. */
function echoOnce(loop: Loop, endpoint: string, size: number): void {
  const reader = new ContentReader();
  const conn = loop.connect(endpoint, {
    open: (conn) => assert.equal(conn.send(content(size)), "sent"),
    data: (_, lease) => reader.read(lease.bytes),
  });
  turnUntil(loop, () => reader.received === size, `${size} bytes back`);
  conn.close();
  awaitClosed(loop, conn);
}

testTransports("messages of 1 byte to 1 MiB come back over IPv4", (loop, { endpoint }) => {
  const listener = listenEcho(loop, endpoint);
  for (const size of sizes) echoOnce(loop, listener.endpoint, size);
  listener.close();
});

testLoop(
  "messages of 1 byte to 1 MiB come back over IPv6",
  (loop) => {
    const listener = listenEcho(loop, anyPort6);
    assert.match(listener.endpoint, /^tcp:\/\/\[::1\]:\d+$/);
    for (const size of sizes) echoOnce(loop, listener.endpoint, size);
    listener.close();
  },
  {},
  { skip: noIpv6 },
);

testLoop(
  "an IPv6 listener on :: also accepts IPv4, unless told not to",
  (loop) => {
    const both = listenEcho(loop, "tcp://[::]:0");
    echoOnce(loop, `tcp://127.0.0.1:${both.address.port}`, 100);
    echoOnce(loop, `tcp://[::1]:${both.address.port}`, 100);
    both.close();
    const only = listenEcho(loop, "tcp://[::]:0", { ipv6Only: true });
    echoOnce(loop, `tcp://[::1]:${only.address.port}`, 100);
    let code: string | undefined;
    loop.connect(`tcp://127.0.0.1:${only.address.port}`, {
      close: (_, error) => void (code = error?.code),
    });
    turnUntil(loop, () => code !== undefined, "the refusal");
    assert.equal(code, "ECONNREFUSED");
    only.close();
  },
  {},
  { skip: noIpv6 },
);

testTransports("200 connections at once each get their own bytes back", (loop, { endpoint }) => {
  const listener = listenEcho(loop, endpoint);
  const readers: ContentReader[] = [];
  const length = 20_000;
  for (let index = 0; index < 200; index++) {
    const reader = new ContentReader();
    readers.push(reader);
    let rest = 3;
    loop.connect(listener.address, {
      open: (conn) => void conn.send(content(length)),
      data(conn, lease): void {
        reader.read(lease.bytes);
        if (reader.received % length !== 0) return;
        rest -= 1;
        if (rest > 0) conn.send(content(length, reader.received));
        else conn.close();
      },
    });
  }
  turnUntil(loop, () => readers.every((reader) => reader.received === 3 * length), "all echoes");
  const stats = loop.stats();
  assert.equal(stats.accepted, 200);
  assert.equal(stats.connected, 200);
  assert.equal(stats.receivedBytes, 200 * 3 * length * 2);
  assert.equal(stats.sentBytes, stats.receivedBytes);
  listener.close();
});

testTransports("20,000 small messages come back in their order", (loop, { endpoint }) => {
  const listener = listenEcho(loop, endpoint);
  const total = 20_000;
  let sent = 0;
  const write = (conn: Connection): void => {
    while (sent < total && conn.send(String(sent).padStart(8)) !== "full") sent += 1;
  };
  let received = "";
  let checked = 0;
  const conn = loop.connect(listener.address, {
    open: write,
    drain: write,
    data(_, lease): void {
      received += Buffer.from(lease.bytes).toString("latin1");
      let at = 0;
      for (; at + 8 <= received.length; at += 8, checked++) {
        assert.equal(Number(received.slice(at, at + 8)), checked);
      }
      received = received.slice(at);
    },
  });
  turnUntil(loop, () => checked === total, "all messages");
  conn.close();
  listener.close();
});

testTransports(
  "a lease moves with send, and the handler returns without it",
  (loop, { endpoint }) => {
    const released: boolean[] = [];
    const listener = loop.listen(endpoint, {
      data(conn, lease): void {
        assert.equal(lease.released, false);
        assert.equal(conn.send(lease), "sent");
        released.push(lease.released);
        assert.throws(() => lease.bytes, { code: "STALE_LEASE" });
      },
    });
    echoOnce(loop, listener.endpoint, 64);
    assert.deepEqual(released, [true]);
    listener.close();
  },
);

testTransports(
  "bytes, views, strings and leases arrive as they were given",
  (loop, { endpoint }) => {
    const listener = listenEcho(loop, endpoint);
    const wide = "grüße, 世界 🎉 ";
    const parts: (string | Uint8Array)[] = [
      "plain",
      "",
      wide,
      new Uint8Array(0),
      new Uint8Array([0, 255, 1, 254]),
      content(1000).subarray(990),
      Buffer.from("a Buffer is a Uint8Array"),
      wide.repeat(3_000),
    ];
    const expected = Buffer.concat([
      ...parts.map((part) => typeof part === "string" ? Buffer.from(part) : part),
      Buffer.from("leased"),
    ]);
    const received: Uint8Array[] = [];
    let length = 0;
    const conn = loop.connect(listener.address, {
      open(conn): void {
        for (const part of parts) assert.notEqual(conn.send(part), "full");
        const lease = loop.allocate()!;
        lease.length = Buffer.from("leased").copy(lease.bytes);
        assert.notEqual(conn.send(lease), "full");
      },
      data(_, lease): void {
        received.push(lease.copy());
        length += lease.length;
      },
    });
    turnUntil(loop, () => length === expected.length, "all parts");
    assert.deepEqual(Buffer.concat(received), expected);
    conn.close();
    listener.close();
  },
);

testTransports(
  "what is sent while connecting is queued and arrives first",
  (loop, { endpoint }) => {
    const listener = listenEcho(loop, endpoint);
    let text = "";
    const conn = loop.connect(listener.address, {
      open: (conn) => void conn.send("three"),
      data: (_, lease) => void (text += Buffer.from(lease.bytes).toString()),
    });
    assert.equal(conn.state, "connecting");
    assert.equal(conn.send("one "), "queued");
    const lease = loop.allocate()!;
    lease.length = Buffer.from("two ").copy(lease.bytes);
    assert.equal(conn.send(lease), "queued");
    assert.equal(conn.queuedBytes, 8);
    turnUntil(loop, () => text.length === 13, "all three");
    assert.equal(text, "one two three");
    conn.close();
    listener.close();
  },
);

const ways = drivers.flatMap((driver) =>
  (["adaptive", "event", "poll"] as const).map((mode) => [driver, mode] as const)
);

for (const [driver, mode] of ways) {
  testLoop(`both ends in one loop in ${mode} mode, driven by ${driver}()`, async (loop) => {
    const done = new Signal();
    const listener = listenEcho(loop);
    const reader = new ContentReader();
    const total = 300_000;
    loop.connect(listener.address, {
      open: (conn) => void conn.send(content(1_000)),
      data(conn, lease): void {
        reader.read(lease.bytes);
        if (reader.received === total) {
          conn.close();
          listener.close();
        } else if (reader.received % 1_000 === 0) {
          conn.send(content(1_000, reader.received));
        }
      },
      close: () => done.fire(),
    });
    await drive(loop, driver, done);
    assert.equal(reader.received, total);
  }, { mode });
}

testTransports("without a data handler what arrives is taken and dropped", (loop, { endpoint }) => {
  const listener = loop.listen(endpoint, { end: (conn) => conn.close() });
  let ended = false;
  const conn = loop.connect(listener.address, {
    open(conn): void {
      conn.send(content(8 << 20));
      conn.shutdown();
    },
    close: (_, error) => void (ended = error === null),
  });
  turnUntil(loop, () => conn.state === "closed", "the end");
  assert.equal(ended, true);
  assert.equal(loop.stats().receivedBytes, 8 << 20);
  listener.close();
});

testTransports("a connection carries the application's own state", (loop, { endpoint }) => {
  const listener = loop.listen(endpoint, {
    open(conn): void {
      assert.equal(conn.context, undefined);
      conn.context = { greeting: "hello" };
    },
    data(conn): void {
      conn.send((conn.context as { greeting: string }).greeting);
      conn.close();
    },
  });
  let text = "";
  const conn = loop.connect(listener.address, {
    open: (conn) => void conn.send("x"),
    data: (_, lease) => void (text += Buffer.from(lease.bytes).toString()),
  });
  turnUntil(loop, () => conn.state === "closed", "the end");
  assert.equal(text, "hello");
  listener.close();
});

testEach("two loops of one thread serve each other", (backend) => {
  using first = new Loop({ backend });
  using second = new Loop({ backend });
  const reader = new ContentReader();
  const listener = listenEcho(first);
  const conn = second.connect(listener.address, {
    open: (conn) => void conn.send(content(100_000)),
    data: (_, lease) => reader.read(lease.bytes),
  });
  turnUntil(second, () => {
    first.turn();
    return reader.received === 100_000;
  }, "the echo of the other loop");
  conn.close();
  listener.close();
  turnUntil(second, () => {
    first.turn();
    return conn.state === "closed" && first.stats().openConnections === 0;
  }, "both ends closed");
});

testLoop("a node:net client is echoed", async (loop) => {
  const listener = listenEcho(loop);
  const reader = new ContentReader();
  const ended = new Signal();
  const socket = net.connect(listener.address.port, "127.0.0.1");
  socket.on("data", (bytes) => reader.read(bytes));
  socket.on("end", () => ended.fire());
  socket.end(content(500_000));
  await turnBesideHost(loop, () => ended.fired, "the end of the echo");
  assert.equal(reader.received, 500_000);
  listener.close();
});

testLoop("a node:net server echoes us", async (loop) => {
  const server = net.createServer((socket) => void socket.pipe(socket));
  const listening = new Signal();
  server.listen(0, "127.0.0.1", () => listening.fire());
  await listening.promise;
  const { port } = server.address() as net.AddressInfo;
  const reader = new ContentReader();
  const events: string[] = [];
  loop.connect({ transport: "tcp", host: "127.0.0.1", port }, {
    open(conn): void {
      conn.send(content(500_000));
      conn.shutdown();
    },
    data: (_, lease) => reader.read(lease.bytes),
    end: () => void events.push("end"),
    close: (_, error) => void events.push(`close:${error?.code ?? null}`),
  });
  await turnBesideHost(loop, () => events.length === 2, "the end of the echo");
  assert.equal(reader.received, 500_000);
  assert.deepEqual(events, ["end", "close:null"]);
  const closed = new Signal();
  server.close(() => closed.fire());
  await closed.promise;
});
