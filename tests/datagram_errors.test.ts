// What goes wrong with datagrams: each mistake is a typed error, each refusal of the kernel is told
// once, nothing is dropped in silence, and whoever was told "full" is told when there is room.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Loop } from "../mod.ts";
import { noIpv6, testEach } from "./support/backends.ts";
import { anyUdp, Mailbox, testDatagrams, withFolder } from "./support/datagrams.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { testUnless } from "./support/record.ts";

testDatagrams("a connected socket is told once that nobody is there, and goes on", (loop) => {
  const gone = new Mailbox(loop);
  const { address } = gone;
  // While the port is taken: it must not become the client's own.
  const client = new Mailbox(loop, anyUdp, { remote: address });
  gone.socket.close();
  turnUntil(loop, () => gone.isClosed, "the port is free");
  client.socket.send("anybody?");
  turnUntil(loop, () => client.errors.length > 0, "the refusal");
  const [error] = client.errors;
  assert.equal(error.code, "ECONNREFUSED");
  assert.equal(error.errno, 111);
  const { turns: before, systemCalls } = loop.stats();
  turns(loop, 20);
  const stats = loop.stats();
  assert.equal(client.errors.length, 1, "told once");
  assert.ok(stats.systemCalls - systemCalls <= 4 * (stats.turns - before), "nothing spins");
  // The port comes alive: the next datagram arrives.
  const back = new Mailbox(loop, address, { reuseAddress: true });
  client.socket.send("now?");
  turnUntil(loop, () => back.arrived.length > 0, "the datagram");
  assert.deepEqual(back.texts, ["now?"]);
  client.socket.close();
  back.socket.close();
});

testDatagrams("a refusal of an earlier datagram costs the next one nothing", (loop) => {
  const gone = new Mailbox(loop);
  const { address } = gone;
  // While the port is taken: it must not become the client's own.
  const client = new Mailbox(loop, anyUdp, { remote: address });
  // Nobody receives, so that the send is what finds the error.
  client.socket.pause();
  gone.socket.close();
  turnUntil(loop, () => gone.isClosed, "the port is free");
  client.socket.send("lost");
  turns(loop);
  const back = new Mailbox(loop, address);
  client.socket.send("kept");
  turnUntil(loop, () => back.arrived.length > 0, "the datagram");
  assert.deepEqual(back.texts, ["kept"]);
  client.socket.resume();
  turns(loop);
  assert.ok(client.errors.every(({ code }) => code === "ECONNREFUSED"));
  assert.equal(loop.stats().datagramsRefused, 0);
  client.socket.close();
  back.socket.close();
});

testDatagrams("a datagram that the way does not take is refused, and the next one goes", (loop) => {
  withFolder((folder) => {
    const server = new Mailbox(loop, `unix+datagram:${join(folder, "server")}`);
    const client = new Mailbox(loop, "unix+datagram:", { sendBufferBytes: 4_608 });
    const nowhere = `unix+datagram:${join(folder, "nowhere")}`;
    client.socket.send(new Uint8Array(60_000), server.address);
    client.socket.send("lost", nowhere);
    client.socket.send("fits", server.address);
    turnUntil(loop, () => server.arrived.length === 1, "the datagram that fits");
    assert.deepEqual(server.texts, ["fits"]);
    assert.deepEqual(client.errors.map(({ code }) => code), ["EMSGSIZE", "ENOENT"]);
    assert.equal(client.errors[0].syscall, "send");
    assert.equal(loop.stats().datagramsRefused, 2);
    assert.equal(client.socket.queuedBytes, 0);
    server.socket.close();
    client.socket.close();
  });
});

testDatagrams("a file that is no socket refuses, and errors of one kind are told once", (loop) => {
  withFolder((folder) => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const client = new Mailbox(loop, "unix+datagram:");
    for (let index = 0; index < 10; index++) client.socket.send("x", `unix+datagram:${file}`);
    turnUntil(loop, () => client.socket.queuedBytes === 0, "all refused");
    turnUntil(loop, () => client.errors.length > 0, "the error");
    assert.deepEqual(client.errors.map(({ code }) => code), ["ECONNREFUSED"]);
    assert.equal(loop.stats().datagramsRefused, 10);
    client.socket.close();
  });
});

/** Sends until "full"; how many were taken. */
function fill({ socket }: Mailbox, to?: string): number {
  for (let taken = 0; taken < 100_000; taken++) {
    if (socket.send(new Uint8Array(1_000), to) === "full") return taken;
  }
  return assert.fail("never full");
}

for (const isConnected of [true, false]) {
  const kind = isConnected ? "connected" : "not connected";
  testDatagrams(`a receiver without room: full, then drain, nothing lost (${kind})`, (loop) => {
    withFolder((folder) => {
      const path = `unix+datagram:${join(folder, "server")}`;
      const to = isConnected ? undefined : path;
      const server = new Mailbox(loop, path);
      server.socket.pause();
      turns(loop, 3, 0);
      const options = { highWaterMark: 32_768, ...(isConnected ? { remote: path } : {}) };
      const client = new Mailbox(loop, "unix+datagram:", options);
      let sent = 0;
      // What goes to the kernel makes room, until it has none.
      for (let full = 0; full < 20; full++) {
        sent += fill(client, to);
        turns(loop, 3, 0);
      }
      assert.ok(client.socket.queuedBytes > 16_384);
      const { systemCalls } = loop.stats();
      turns(loop, 20, 1_000);
      assert.ok(loop.stats().systemCalls - systemCalls < 120, "it does not spin");
      const drains = client.events.filter((event) => event === "drain").length;
      server.socket.resume();
      turnUntil(loop, () => server.arrived.length === sent, "everything arrives");
      assert.equal(client.socket.queuedBytes, 0);
      assert.ok(drains > 0 || client.events.includes("drain"));
      assert.deepEqual(client.errors, []);
      client.socket.send("last", to);
      turnUntil(loop, () => server.arrived.length === sent + 1, "the last");
      server.socket.close();
      client.socket.close();
    });
  }, { pool: { bufferSize: 2_048 } });
}

testDatagrams("a socket that closes with a receiver without room ends in time", (loop) => {
  withFolder((folder) => {
    const path = `unix+datagram:${join(folder, "server")}`;
    const server = new Mailbox(loop, path);
    server.socket.pause();
    turns(loop, 3, 0);
    const client = new Mailbox(loop, "unix+datagram:", { remote: path, lingerTimeoutMs: 20 });
    for (let round = 0; round < 20; round++) {
      fill(client);
      turns(loop, 2, 0);
    }
    client.socket.close();
    turnUntil(loop, () => client.isClosed, "the time limit");
    assert.equal(client.events.at(-1), "close:ETIMEDOUT");
    server.socket.abort();
  });
}, { pool: { bufferSize: 2_048 } });

testDatagrams("without places for datagrams send is full, and drain follows", (loop) => {
  const server = new Mailbox(loop);
  const client = new Mailbox(loop);
  let sent = 0;
  while (client.socket.send("", server.address) !== "full") sent += 1;
  assert.equal(sent, 4 * 64);
  turnUntil(loop, () => client.events.includes("drain"), "drain");
  assert.notEqual(client.socket.send("", server.address), "full");
  server.socket.close();
  client.socket.close();
}, { entries: 64 });

testEach("what cannot be sent throws, and nothing of it is taken", (backend) => {
  using loop = new Loop({ backend });
  using other = new Loop({ backend });
  using socket = loop.bind(anyUdp, {});
  using connected = loop.bind(anyUdp, {}, { remote: socket.localAddress });
  using unix = loop.bind("unix+datagram:", {});
  const to = socket.localAddress;
  const foreign = other.allocate(10)!;
  const released = loop.allocate(10)!;
  released.release();
  const cases: [() => unknown, string][] = [
    [() => socket.send("x"), "INVALID_ARGUMENT"],
    [() => connected.send("x", to), "INVALID_ARGUMENT"],
    [() => socket.send("x", "udp://127.0.0.1:0"), "INVALID_ENDPOINT"],
    [() => socket.send("x", "tcp://127.0.0.1:5"), "UNKNOWN_SCHEME"],
    [() => socket.send("x", "unix+datagram:/x"), "UNKNOWN_SCHEME"],
    [() => socket.send("x", "udp://example.org:5"), "INVALID_ENDPOINT"],
    [() => socket.send("x", "udp://[::1]:5"), "INVALID_ARGUMENT"],
    [() => socket.send("x", 5 as never), "INVALID_ENDPOINT"],
    [() => unix.send("x", `unix+datagram:/${"p".repeat(107)}`), "INVALID_ENDPOINT"],
    [() => unix.send("x", to), "UNKNOWN_SCHEME"],
    [() => unix.send("xx", "unix+datagram:/x", { segmentSize: 1 }), "INVALID_OPTION"],
    [() => socket.send(5 as never, to), "INVALID_ARGUMENT"],
    [() => socket.send(["x", null as never], to), "INVALID_ARGUMENT"],
    [() => socket.send(new Uint8Array(65_508), to), "MESSAGE_TOO_LARGE"],
    [() => socket.send("x".repeat(65_508), to), "MESSAGE_TOO_LARGE"],
    [() => socket.send(["x", new Uint8Array(65_507)], to), "MESSAGE_TOO_LARGE"],
    [() => socket.send(foreign, to), "WRONG_LOOP"],
    [() => socket.send([foreign], to), "WRONG_LOOP"],
    [() => socket.send(released, to), "STALE_LEASE"],
    [() => socket.send([released], to), "STALE_LEASE"],
    [() => socket.send("x", to, { segmentSize: 0 }), "INVALID_OPTION"],
    [() => socket.send("x", to, { segmentSize: 65_536 }), "INVALID_OPTION"],
    [() => socket.send("x", to, { segmentSize: 1.5 }), "INVALID_OPTION"],
  ];
  for (const [attempt, code] of cases) {
    assert.throws(attempt, { name: "IoError", code }, String(attempt));
  }
  assert.equal(socket.queuedBytes, 0);
  foreign.release();
  loop.turn();
  assert.equal(loop.stats().rejected, 0);
  socket.close();
  assert.throws(() => socket.send("x", to), { code: "STALE_HANDLE" });
  assert.throws(() => socket.joinGroup("239.1.1.1"), { code: "STALE_HANDLE" });
  assert.throws(() => socket.setOptions({ ttl: 3 }), { code: "STALE_HANDLE" });
  assert.throws(() => socket.getOption("ttl"), { code: "STALE_HANDLE" });
});

testDatagrams("a source is valid while its handler runs", (loop) => {
  const server = loop.bind(anyUdp, {});
  let stale: unknown = null;
  const client = new Mailbox(loop, anyUdp, {}, {
    message: (_socket, _lease, source) => void (stale = source),
  });
  server.send("x", client.address);
  turnUntil(loop, () => stale !== null, "the datagram");
  const source = stale as { readonly address: unknown; readonly ecn: number };
  assert.throws(() => source.address, { code: "STALE_HANDLE" });
  assert.throws(() => source.ecn, { code: "STALE_HANDLE" });
  assert.throws(() => server.send("x", source as never), { code: "STALE_HANDLE" });
  server.close();
  client.socket.close();
});

testEach("what cannot be bound throws", (backend) => {
  using loop = new Loop({ backend });
  using taken = loop.bind(anyUdp, {});
  const bind = (endpoint: unknown, options: object = {}) => (): unknown =>
    loop.bind(endpoint as string, {}, options);
  const cases: [() => unknown, string][] = [
    [bind("tcp://127.0.0.1:0"), "UNKNOWN_SCHEME"],
    [bind("unix:/tmp/x"), "UNKNOWN_SCHEME"],
    [bind("udp://127.0.0.1"), "INVALID_ENDPOINT"],
    [bind("udp://127.0.0.1:65536"), "INVALID_ENDPOINT"],
    [bind("udp:/path"), "INVALID_ENDPOINT"],
    [bind(7), "INVALID_ENDPOINT"],
    [bind(null), "INVALID_ENDPOINT"],
    [bind({ transport: "udp", host: "127.0.0.1" }), "INVALID_ENDPOINT"],
    [bind(`unix+datagram:/${"p".repeat(107)}`), "INVALID_ENDPOINT"],
    [bind(`unix+datagram:@${"n".repeat(108)}`), "INVALID_ENDPOINT"],
    [bind("unix+datagram:/nowhere/at/all"), "ENOENT"],
    [bind(taken.localAddress), "EADDRINUSE"],
    [bind("udp://192.0.2.1:0"), "EADDRNOTAVAIL"],
    [bind(anyUdp, { remote: "udp://127.0.0.1:0" }), "INVALID_ENDPOINT"],
    [bind(anyUdp, { remote: "tcp://127.0.0.1:1" }), "UNKNOWN_SCHEME"],
    [bind("unix+datagram:", { remote: "unix+datagram:/nowhere/at/all" }), "ENOENT"],
    [bind(anyUdp, { gro: true }), "INVALID_OPTION"],
    [bind(anyUdp, { gso: 1 }), "INVALID_OPTION"],
    [bind(anyUdp, { packetInfo: "yes" }), "INVALID_OPTION"],
    [bind(anyUdp, { ecn: 0 }), "INVALID_OPTION"],
    [bind(anyUdp, { ttl: 0 }), "INVALID_OPTION"],
    [bind(anyUdp, { ttl: 256 }), "INVALID_OPTION"],
    [bind(anyUdp, { multicastTtl: 256 }), "INVALID_OPTION"],
    [bind(anyUdp, { typeOfService: 256 }), "INVALID_OPTION"],
    [bind(anyUdp, { broadcast: 1 }), "INVALID_OPTION"],
    [bind(anyUdp, { receiveBufferBytes: 0 }), "INVALID_OPTION"],
    [bind(anyUdp, { receiveCredits: 0 }), "INVALID_OPTION"],
    [bind(anyUdp, { receiveCredits: 65_537 }), "INVALID_OPTION"],
    [bind(anyUdp, { lingerTimeoutMs: 0 }), "INVALID_OPTION"],
    [bind(anyUdp, { highWaterMark: 1_000 }), "INVALID_OPTION"],
    [bind(anyUdp, { multicastInterface: 123_456 }), "EADDRNOTAVAIL"],
  ];
  for (const [attempt, code] of cases) {
    assert.throws(attempt, { name: "IoError", code }, `${code} ${String(attempt)}`);
  }
  assert.throws(() => loop.bind(anyUdp, { message: 5 as never }), { code: "INVALID_ARGUMENT" });
  loop.turn();
  assert.equal(loop.stats().openSockets, 1);
  loop.close();
  assert.throws(bind(anyUdp), { code: "LOOP_CLOSED" });
});

testUnless(noIpv6, "a socket of IPv6 alone does not reach IPv4", () => {
  using loop = new Loop();
  const only = new Mailbox(loop, "udp://[::]:0", { ipv6Only: true });
  assert.equal(only.socket.getOption("ipv6Only"), 1);
  only.socket.send("x", "udp://127.0.0.1:9");
  turnUntil(loop, () => only.errors.length > 0, "the refusal");
  assert.equal(only.errors[0].code, "ENETUNREACH");
  only.socket.abort();
});

testUnless(false, "datagrams do not go with shared receive buffers, by name", () => {
  let loop: Loop;
  try {
    loop = new Loop({ backend: "io_uring", ioUring: { incrementalBuffers: true } });
  } catch {
    return;
  }
  assert.throws(() => loop.bind(anyUdp, {}), { code: "UNSUPPORTED", message: /shared buffers/ });
  loop.close();
});

testDatagrams("what a getter of the arguments has closed is not sent on", (loop) => {
  const { socket } = new Mailbox(loop);
  const to = socket.localAddress;
  const options = {
    get segmentSize(): number {
      socket.close();
      return 1;
    },
  };
  assert.throws(() => socket.send("x", to, options), { code: "STALE_HANDLE" });
  const other = new Loop();
  const late = other.bind(anyUdp, {});
  const receiver = {
    transport: "udp",
    port: 9,
    get host(): string {
      other.close();
      return "127.0.0.1";
    },
  } as const;
  assert.throws(() => late.send("x", receiver), { code: "STALE_HANDLE" });
});
