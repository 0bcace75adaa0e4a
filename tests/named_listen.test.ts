// Names in the place of an own address, and of a datagram socket's peer: the first address that is
// this machine's is taken, and what cannot be is told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bind, connect, IoError, listen, Loop } from "../mod.ts";
import { bestBackend } from "./support/backends.ts";
import { macrotask } from "./support/drive.ts";
import { discard, testStreams } from "./support/layer1.ts";
import { NameServer, useTexts } from "./support/name_server.ts";

const own = "127.77.0.1";
/** Nobody's: for documentation (RFC 5737 and RFC 3849). */
const foreign = ["192.0.2.1", "2001:db8::1"];
const hosts = `${own} own.test
${foreign[0]} later.test
${own} later.test
${foreign[0]} nowhere.test
198.51.100.7 nowhere.test
${foreign[1]} six.test
${foreign[1]} mixed.test
${own} mixed.test
`;

/** The error with which `promise` rejects. */
async function errorOf(promise: Promise<unknown>): Promise<IoError> {
  const value = await promise.then(() => null, (error: unknown) => error);
  assert.ok(value instanceof IoError, String(value));
  return value;
}

testStreams("a server listens at the first address of a name that is here", async (loop) => {
  useTexts(hosts, "nameserver 127.0.0.1\n");
  for (const name of ["own.test", "later.test", "OWN.test."]) {
    const server = await listen(`tcp://${name}:0`, { loop });
    assert.equal(server.address.host, own, name);
    const [near, far] = await Promise.all([
      connect(server.endpoint, { loop }),
      server.accept(),
    ]);
    server.close();
    await discard(near, far!);
  }
  const object = await listen({ transport: "tcp", host: "own.test", port: 0 }, { loop });
  assert.equal(object.address.host, own);
  object.close();
  const local = await listen("tcp://localhost:0", { loop });
  assert.equal(local.address.host, "127.0.0.1");
  local.close();
});

testStreams("a name that cannot be listened at says why", async (loop) => {
  useTexts(hosts, "nameserver 127.0.0.1\n");
  const nowhere = await errorOf(listen("tcp://nowhere.test:0", { loop }));
  assert.equal(nowhere.code, "EADDRNOTAVAIL");
  assert.match(nowhere.message, /nowhere\.test:0: .*192\.0\.2\.1.*198\.51\.100\.7/);
  assert.match(nowhere.advice, /address of this machine/);
  assert.ok(nowhere.cause instanceof AggregateError);
  const single = await errorOf(listen("tcp://six.test:0", { loop }));
  assert.match(single.message, /six\.test:0: /);
  assert.ok(single.cause instanceof IoError);
  const six = await errorOf(listen("tcp://mixed.test:0", { loop, family: "ipv6" }));
  assert.equal(six.code, "EADDRNOTAVAIL");
  (await listen("tcp://mixed.test:0", { loop, family: "ipv4" })).close();
  // Taken is not elsewhere: no other address is tried.
  const server = await listen(`tcp://${own}:0`, { loop });
  const { port } = server.address;
  useTexts(`${own} both.test\n127.77.0.2 both.test\n`, "nameserver 127.0.0.1\n");
  const taken = await errorOf(listen(`tcp://both.test:${port}`, { loop }));
  assert.equal(taken.code, "EADDRINUSE");
  server.close();
  for (const endpoint of ["tcp://under_score-.test:0", "tcp://256.1.1.1:0", "tcp://a..b:0"]) {
    assert.equal((await errorOf(listen(endpoint, { loop }))).code, "INVALID_ENDPOINT", endpoint);
  }
});

testStreams("a lookup ends with its signal, its time and its loop", async (loop) => {
  const names = new NameServer(loop, { "silent.test": "silence" });
  const asked = async (count: number): Promise<void> => {
    while (names.waiting < count) await macrotask();
  };
  const reason = new Error("why");
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = errorOf(listen("tcp://silent.test:0", { loop, signal }));
  await asked(1);
  controller.abort(reason);
  assert.equal((await aborted).code, "ABORTED");
  assert.equal((await aborted).cause, reason);
  const late = await errorOf(listen("tcp://silent.test:0", { loop, resolveTimeoutMs: 1 }));
  assert.equal(late.code, "RESOLVE_TIMEOUT");
  const missing = await errorOf(bind("udp://missing.test:0", { loop }));
  assert.equal(missing.code, "NAME_NOT_FOUND");
  const other = new Loop({ backend: loop.backend });
  const closed = errorOf(listen("tcp://silent.test:0", { loop: other }));
  other.close();
  assert.equal((await closed).code, "LOOP_CLOSED");
  names.close();
});

testStreams(
  "datagram sockets have names, and peers with names",
  async (loop) => {
    useTexts(hosts, "nameserver 127.0.0.1\n");
    const server = await bind("udp://later.test:0", { loop });
    assert.equal(server.localAddress.host, own);
    const { port } = server.localAddress;
    for (const remote of [`udp://own.test:${port}`, `udp://mixed.test:${port}`]) {
      const client = await bind("udp://127.0.0.1:0", { loop, remote });
      await client.send("question");
      const { bytes } = (await server.receive())!;
      assert.equal(new TextDecoder().decode(bytes), "question");
      await client.close();
    }
    await server.close();
    const six = await errorOf(bind("udp://127.0.0.1:0", { loop, remote: "udp://six.test:9" }));
    assert.equal(six.code, "EAFNOSUPPORT");
    assert.match(six.message, /six\.test/);
    const zero = await errorOf(bind("udp://127.0.0.1:0", { loop, remote: "udp://own.test:0" }));
    assert.equal(zero.code, "INVALID_ENDPOINT");
    const unnamed = await bind("unix+datagram:", { loop });
    await unnamed.close();
  },
  {},
  { needs: "datagrams" },
);

test("where nothing can wait a name is refused with advice", () => {
  using loop = new Loop({ backend: bestBackend });
  const expected = { code: "INVALID_ENDPOINT", advice: /loop\.resolve.*listen and bind/ };
  assert.throws(() => loop.listen("tcp://own.test:0", {}), expected);
  assert.throws(() => loop.bind("udp://own.test:0", {}), expected);
  const remote = "udp://own.test:9";
  assert.throws(() => loop.bind("udp://127.0.0.1:0", {}, { remote }), expected);
});
