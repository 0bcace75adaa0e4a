// Bad input above the handlers: what layer 1 is given that is none, resets of peers in each state
// of a stream, peers that end half; and files at paths where a socket shall be.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bind, connect, type IoError, listen, type Stream } from "../mod.ts";
import { anyUdp, Mailbox, testDatagrams, withFolder } from "./support/datagrams.ts";
import { closeAll, makeListening, makeSockets } from "./support/descriptors.ts";
import { macrotask, turnUntil } from "./support/drive.ts";
import { discard, openStreams, testStreams, textOf } from "./support/layer1.ts";
import { useTexts } from "./support/name_server.ts";
import { anyPort, content } from "./support/streams.ts";
import { unixPath } from "./support/transports.ts";

/** The code with which `promise` rejects. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  const value = await promise.then(() => null, (error: IoError) => error);
  return value === null ? "no error" : value.code ?? String(value);
}

const longPath = `/${"p".repeat(107)}`;
const longName = `${"n".repeat(64)}.test`;

testStreams("endpoints that are none, or where nothing can be, reject by code", async (loop) => {
  useTexts("", "nameserver 127.0.0.1:1\noptions timeout:1 attempts:1\n");
  using place = unixPath();
  const file = join(place.folder, "file");
  writeFileSync(file, "");
  mkdirSync(join(place.folder, "folder"));
  const datagrams = await bind(`unix+datagram:${join(place.folder, "datagrams")}`, { loop })
    .catch(() => null);
  const everywhere: readonly (readonly [unknown, string])[] = [
    [null, "INVALID_ENDPOINT"],
    [7, "INVALID_ENDPOINT"],
    [{}, "INVALID_ENDPOINT"],
    ["", "INVALID_ENDPOINT"],
    ["tcp://127.0.0.1", "INVALID_ENDPOINT"],
    ["tcp://127.0.0.1:65536", "INVALID_ENDPOINT"],
    ["tcp://127.0.0.1:-1", "INVALID_ENDPOINT"],
    [`tcp://${longName}:1`, "INVALID_ENDPOINT"],
    ["tcp://127.0.0.256:1", "INVALID_ENDPOINT"],
    [{ transport: "tcp", host: "127.0.0.1", port: 1.5 }, "INVALID_ENDPOINT"],
    [{ transport: "tcp", host: "127.0.0.1", port: NaN }, "INVALID_ENDPOINT"],
    ["udp://127.0.0.1:1", "UNKNOWN_SCHEME"],
    ["http://127.0.0.1:1", "UNKNOWN_SCHEME"],
    [`unix:${longPath}`, "INVALID_ENDPOINT"],
    ["unix:", "INVALID_ENDPOINT"],
    ["unix:/nowhere/at/all", "ENOENT"],
    [`unix:${file}/below`, "ENOTDIR"],
    [`inproc://${"n".repeat(109)}`, "INVALID_ENDPOINT"],
    ["tcp://unknown.test:1", "RESOLVE_FAILED"],
  ];
  const listening: typeof everywhere = [
    ...everywhere,
    ["tcp://198.51.100.7:0", "EADDRNOTAVAIL"],
    [`unix:${file}`, "EADDRINUSE"],
    [`unix:${join(place.folder, "folder")}`, "EADDRINUSE"],
    [{ descriptor: -1 }, "EBADF"],
    [{ descriptor: 900_000 }, "EBADF"],
  ];
  const connecting: typeof everywhere = [
    ...everywhere,
    ["tcp://127.0.0.1:0", "INVALID_ENDPOINT"],
    ["tcp://127.77.0.9:1", "ECONNREFUSED"],
    [`unix:${file}`, "ECONNREFUSED"],
    ["inproc://nobody-listens-there", "ECONNREFUSED"],
    ["fd:3", "UNKNOWN_SCHEME"],
  ];
  for (const [endpoint, code] of listening) {
    assert.equal(await codeOf(listen(endpoint as string, { loop })), code, `listen ${endpoint}`);
  }
  for (const [endpoint, code] of connecting) {
    assert.equal(await codeOf(connect(endpoint as string, { loop })), code, `connect ${endpoint}`);
  }
  if (datagrams !== null) {
    const { path } = datagrams.localAddress;
    assert.equal(await codeOf(connect(`unix:${path}`, { loop })), "EPROTOTYPE");
    assert.equal(await codeOf(listen(`unix:${path}`, { loop })), "EADDRINUSE");
    await datagrams.close();
  }
  assert.equal(loop.stats().openListeners, 0);
});

testStreams("a server takes over no descriptor of another kind, and leaves it", async (loop) => {
  const [unconnected, listening] = makeSockets("stream");
  const datagrams = makeSockets("datagram");
  const connected = makeSockets("blocking");
  makeListening(listening);
  const at = (descriptor: number): Promise<string> => codeOf(listen({ descriptor }, { loop }));
  assert.equal(await at(unconnected), "EINVAL");
  assert.equal(await at(datagrams[0]), "EPROTOTYPE");
  assert.equal(await at(connected[0]), "EINVAL");
  const server = await listen({ descriptor: listening }, { loop });
  assert.equal(await at(listening), "EEXIST");
  server.close();
  closeAll(unconnected, ...datagrams, ...connected);
});

/** What a stream was doing when its peer reset it, and what whoever waits is told. */
const states: Readonly<
  Record<string, (near: Stream, far: Stream) => Promise<readonly Promise<unknown>[]>>
> = {
  "a read waits": (near) => Promise.resolve([near.read()]),
  "a reader waits": (near) => Promise.resolve([near.readable.getReader().read()]),
  "a write waits": (near) => Promise.resolve([near.write(content(20_000_000))]),
  "our direction has ended": (near) => {
    near.shutdown();
    return Promise.resolve([near.read()]);
  },
  "the peer's direction has ended": async (near, far) => {
    far.shutdown();
    assert.equal(await near.read(), null);
    return [near.write(content(20_000_000))];
  },
  "bytes were read and more are waited for": async (near, far) => {
    await far.write("unread");
    assert.equal(new TextDecoder().decode(await near.read() ?? undefined), "unread");
    return [near.read()];
  },
};

for (const [name, bring] of Object.entries(states)) {
  testStreams(`a reset while ${name} is told to whoever waits`, async (loop) => {
    const { near, far } = await openStreams(loop, { far: { readAheadBytes: 1 } });
    const waits = (await bring(near, far)).map(codeOf);
    const closed = codeOf(near.closed);
    await macrotask();
    far.abort();
    for (const wait of waits) assert.match(await wait, /^(ECONNRESET|EPIPE)$/);
    assert.match(await closed, /^(ECONNRESET|EPIPE)$/);
    assert.match(await codeOf(near.write("late")), /^(ECONNRESET|EPIPE)$/);
  });
}

testStreams("a stream that is reset before anybody takes it is not given out", async (loop) => {
  const server = await listen(anyPort, { loop });
  const [first, second] = await Promise.all([
    connect(server.endpoint, { loop }),
    connect(server.endpoint, { loop }),
  ]);
  while (loop.stats().openConnections < 4) await macrotask();
  await discard(first);
  while (loop.stats().openConnections > 2) await macrotask();
  const taken = (await server.accept())!;
  await second.write("still here");
  second.shutdown();
  assert.equal(await textOf(taken), "still here");
  server.close();
  assert.equal(await server.accept(), null);
  await discard(taken, second);
});

testStreams("half-open peers: each direction is used to its end, then both close", async (loop) => {
  const { near, far } = await openStreams(loop);
  far.shutdown();
  assert.equal(await near.read(), null);
  assert.equal(await codeOf(far.write("x")), "EPIPE");
  const received = textOf(far);
  for (let round = 0; round < 100; round++) await near.write("x".repeat(10_000));
  near.shutdown();
  assert.equal((await received).length, 1_000_000);
  await Promise.all([near.closed, far.closed]);
});

testDatagrams("a socket at the path that nobody has any more is taken over", (loop) => {
  withFolder((folder) => {
    const path = join(folder, "socket");
    const stale = (): void => {
      const before = new Mailbox(loop, `unix+datagram:${path}.before`);
      renameSync(`${path}.before`, path);
      before.socket.abort();
      turnUntil(loop, () => before.isClosed, "the end");
      assert.ok(statSync(path).isSocket(), "its file stays behind");
    };
    stale();
    const server = new Mailbox(loop, `unix+datagram:${path}`);
    const client = new Mailbox(loop, "unix+datagram:", { remote: server.address });
    client.socket.send("arrives");
    turnUntil(loop, () => server.arrived.length === 1, "the datagram");
    const advice = /remove what is at the path/;
    const inUse = { code: "EADDRINUSE", syscall: "bind", advice };
    // Alive, of either kind.
    assert.throws(() => loop.bind(server.address, {}), inUse);
    const listener = loop.listen(`unix:${path}.listener`, {});
    assert.throws(() => loop.bind(`unix+datagram:${path}.listener`, {}), inUse);
    listener.close();
    server.socket.close();
    client.socket.close();
    turnUntil(loop, () => server.isClosed && client.isClosed, "the ends");
    assert.equal(existsSync(path), false);
    // No socket.
    writeFileSync(`${path}.file`, "kept");
    assert.throws(() => loop.bind(`unix+datagram:${path}.file`, {}), inUse);
    assert.throws(() => loop.bind(`unix+datagram:${folder}`, {}), inUse);
    assert.equal(statSync(`${path}.file`).size, 4);
    assert.throws(() => loop.bind(`unix+datagram:${path}.file/x`, {}), { code: "ENOTDIR" });
    assert.equal(loop.stats().openSockets, 0);
  });
});

testStreams(
  "datagrams that are none reject by code, and the socket goes on",
  async (loop) => {
    const server = await bind(anyUdp, { loop });
    const client = await bind(anyUdp, { loop });
    const to = server.localAddress;
    const unix = await bind("unix+datagram:", { loop });
    const cases: readonly (readonly [Promise<unknown>, string])[] = [
      [client.send("x"), "INVALID_ARGUMENT"],
      [client.send(new Uint8Array(65_508), to), "MESSAGE_TOO_LARGE"],
      [client.send(5 as unknown as string, to), "INVALID_ARGUMENT"],
      [client.send("x", "udp://127.0.0.1:0"), "INVALID_ENDPOINT"],
      [client.send("x", "udp://name.test:9"), "INVALID_ENDPOINT"],
      [client.send("x", "tcp://127.0.0.1:9"), "UNKNOWN_SCHEME"],
      [client.send("x", to, { segmentSize: 0 }), "INVALID_OPTION"],
      [unix.send("x", `unix+datagram:${longPath}`), "INVALID_ENDPOINT"],
      [unix.send("xx", "unix+datagram:/x", { segmentSize: 1 }), "INVALID_OPTION"],
      [bind(`unix+datagram:${longPath}`, { loop }), "INVALID_ENDPOINT"],
      [bind("unix+datagram:/nowhere/at/all", { loop }), "ENOENT"],
      [bind("tcp://127.0.0.1:0", { loop }), "UNKNOWN_SCHEME"],
      [bind(null as unknown as string, { loop }), "INVALID_ENDPOINT"],
      [bind(anyUdp, { loop, remote: "tcp://127.0.0.1:1" }), "UNKNOWN_SCHEME"],
      [bind(to, { loop }), "EADDRINUSE"],
    ];
    for (const [index, [attempt, code]] of cases.entries()) {
      assert.equal(await codeOf(attempt), code, `case ${index}`);
    }
    await client.send("still here", to);
    assert.equal(new TextDecoder().decode((await server.receive())?.bytes), "still here");
    await Promise.all([server.close(), client.close(), unix.close()]);
  },
  {},
  { needs: "datagrams" },
);
