// Orderly ends of layer 1: a server's shutdown loses nothing that waits to be accepted, and a
// stream that this side ends does not look as if its peer had ended it.

import assert from "node:assert/strict";
import { connect, type Connection, type IoError, listen, Loop, type Stream } from "../mod.ts";
import { bestBackend } from "./support/backends.ts";
import { macrotask, turnUntil } from "./support/drive.ts";
import { discard, openStreams, testStreams, textOf } from "./support/layer1.ts";
import { anyPort } from "./support/streams.ts";

const decoder = new TextDecoder();

/** The code with which `promise` rejects. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  const value = await promise.then(() => null, (error: IoError) => error);
  return value?.code ?? "no error";
}

/** A client on a loop of its own, which is turned by hand. */
interface Client {
  readonly conn: Connection;
  answer: string;
  /** Undefined while it is open. */
  end: IoError | null | undefined;
}

/** Connects clients that send a text each, while the loop of `endpoint` stands still. */
function waitInBacklog(peers: Loop, endpoint: string, count: number): Client[] {
  const clients = Array.from({ length: count }, (_, index): Client => {
    const client: Client = {
      conn: peers.connect(endpoint, {
        data: (_conn, lease) => void (client.answer += decoder.decode(lease.bytes)),
        end: (conn) => conn.close(),
        close: (_conn, error) => void (client.end = error),
      }),
      answer: "",
      end: undefined,
    };
    client.conn.send(`request ${index}`);
    return client;
  });
  turnUntil(peers, () => clients.every(({ conn }) => conn.state === "open"), "in the backlog");
  peers.turn();
  return clients;
}

/** Turns the clients' loop beside the host until all of them are gone. */
async function untilGone(peers: Loop, clients: readonly Client[]): Promise<void> {
  for (let tick = 0; clients.some(({ end }) => end === undefined); tick++) {
    assert.ok(tick < 100_000, "clients stay open");
    peers.turn();
    await macrotask();
  }
}

async function answer(stream: Stream): Promise<void> {
  const request = decoder.decode(await stream.read() ?? undefined);
  await stream.write(`answer to ${request}`);
  await stream.close();
}

testStreams("shutdown() serves what waits in the backlog, and ends iterations", async (loop) => {
  using peers = new Loop({ backend: bestBackend });
  const server = await listen(anyPort, { loop });
  const clients = waitInBacklog(peers, server.endpoint, 10);
  const waiting = server.accept();
  const shutdown = server.shutdown({ timeoutMs: 60_000 });
  assert.equal(server.closed, true);
  const serving = [waiting.then((stream) => answer(stream!))];
  void (async () => {
    for await (const stream of server) serving.push(answer(stream));
  })();
  await untilGone(peers, clients);
  assert.deepEqual(clients.map(({ end }) => end), clients.map(() => null));
  const answers = clients.map((client) => client.answer).sort();
  assert.deepEqual(answers, clients.map((_, index) => `answer to request ${index}`));
  assert.equal(await shutdown, 0);
  assert.equal(serving.length, 10);
  await Promise.all(serving);
  assert.equal(await server.accept(), null);
  assert.equal(await codeOf(connect(server.endpoint, { loop })), "ECONNREFUSED");
});

testStreams("what waits in the backlog is reset by close() and without time", async (loop) => {
  using peers = new Loop({ backend: bestBackend });
  for (const how of ["close", "no time", "shutdown, then close"]) {
    const server = await listen(anyPort, { loop });
    const clients = waitInBacklog(peers, server.endpoint, 5);
    const accepting = server.accept();
    const shutdown = how === "close"
      ? Promise.resolve(0)
      : server.shutdown({ timeoutMs: how === "no time" ? 0 : 60_000 });
    if (how !== "no time") server.close();
    assert.equal(await accepting, null, how);
    await untilGone(peers, clients);
    assert.deepEqual(clients.map(({ end }) => end?.code), Array(5).fill("ECONNRESET"), how);
    assert.equal(await shutdown, 0);
  }
});

testStreams("streams that nobody takes are aborted when the time is over", async (loop) => {
  using peers = new Loop({ backend: bestBackend });
  const server = await listen(anyPort, { loop });
  const clients = waitInBacklog(peers, server.endpoint, 5);
  const first = server.shutdown({ timeoutMs: 3_600_000 });
  while (loop.stats().openConnections < 5) await macrotask();
  assert.equal(await server.shutdown({ timeoutMs: 1 }), 5);
  assert.equal(await first, 0);
  await untilGone(peers, clients);
  assert.deepEqual(clients.map(({ end }) => end?.code), Array(5).fill("ECONNRESET"));
});

testStreams("each stream hears of a shutdown once, also one that opens meanwhile", async (loop) => {
  using peers = new Loop({ backend: bestBackend });
  const told: Stream[] = [];
  const finish = (stream: Stream): void => {
    told.push(stream);
    void answer(stream);
  };
  const server = await listen(anyPort, { loop, onDraining: finish });
  const client = await connect(server.endpoint, { loop, onDraining: () => {} });
  const stream = (await server.accept())!;
  const clients = waitInBacklog(peers, server.endpoint, 3);
  const shutdown = server.shutdown({ timeoutMs: 60_000 });
  const whole = loop.shutdown({ timeoutMs: 60_000 });
  await client.write("late request");
  assert.equal(await textOf(client), "answer to late request");
  await client.close();
  await untilGone(peers, clients);
  assert.equal(await shutdown, 0);
  assert.equal((await whole).aborted, 0);
  assert.equal(told.length, 4);
  assert.ok(new Set(told).size === 4 && told.includes(stream));
});

testStreams("a shutdown of the loop does not look like the peer's end", async (loop) => {
  const reading: Record<string, (stream: Stream) => Promise<unknown>> = {
    "read()": (stream) => stream.read(),
    "read(into)": (stream) => stream.read(new Uint8Array(10)),
    "a default reader": (stream) => stream.readable.getReader().read(),
    "a BYOB reader": (stream) =>
      stream.readable.getReader({ mode: "byob" }).read(new Uint8Array(10)),
    "an iteration": async (stream) => {
      for await (const chunk of stream.readable) assert.fail(`${chunk.length} bytes`);
    },
    "pipeTo": (stream) => stream.readable.pipeTo(new WritableStream()),
  };
  const pairs = await Promise.all(Object.keys(reading).map(() => openStreams(loop)));
  const waits = Object.entries(reading).map(async ([name, read], index) => {
    const { near } = pairs[index];
    return [name, await codeOf(read(near)), await codeOf(near.write("more"))];
  });
  const { near, far } = await openStreams(loop);
  await far.write("before");
  await near.write("sent");
  while (loop.stats().receivedBytes < 10) await macrotask();
  const whole = loop.shutdown({ timeoutMs: 60_000 });
  for (const [name, read, written] of await Promise.all(waits)) {
    assert.deepEqual([read, written], ["SHUT_DOWN", "SHUT_DOWN"], name);
  }
  assert.equal((await whole).aborted, 0);
  for (const [stream, text] of [[near, "before"], [far, "sent"]] as const) {
    assert.equal(decoder.decode(await stream.read() ?? undefined), text);
    assert.equal(await codeOf(stream.read()), "SHUT_DOWN");
    await stream.closed;
  }
  for (const pair of pairs) await Promise.all([pair.near.closed, pair.far.closed]);
});

testStreams("a pipe that a shutdown ends resets nobody", async (loop) => {
  using peers = new Loop({ backend: bestBackend });
  const server = await listen(anyPort, { loop });
  const clients = waitInBacklog(peers, server.endpoint, 3);
  const pipes: Promise<string>[] = [];
  void (async () => {
    for await (const { readable, writable } of server) {
      pipes.push(codeOf(readable.pipeTo(writable)));
    }
  })();
  while (!clients.every((client) => client.answer !== "")) {
    peers.turn();
    await macrotask();
  }
  const whole = loop.shutdown({ timeoutMs: 60_000 });
  assert.equal(server.closed, true);
  await untilGone(peers, clients);
  assert.deepEqual(clients.map(({ end }) => end), [null, null, null]);
  assert.deepEqual(await Promise.all(pipes), Array(3).fill("SHUT_DOWN"));
  assert.deepEqual(await whole, { closed: 3, aborted: 0 });
  assert.equal(await server.accept(), null);
});

testStreams("what closes a connection beside its stream is no end of the peer", async (loop) => {
  const { near, far } = await openStreams(loop);
  const waits = codeOf(near.read());
  near.connection.close();
  assert.equal(await far.read(), null);
  far.shutdown();
  assert.equal(await waits, "STALE_HANDLE");
  await Promise.all([near.closed, far.closed]);
});

testStreams("a callback that throws ends its stream and no other", async (outer) => {
  const loop = new Loop({ backend: outer.backend });
  const failure = new Error("thrown while draining");
  const server = await listen(anyPort, {
    loop,
    onDraining(): void {
      throw failure;
    },
  });
  const running = loop.run().catch((error) => error);
  const client = await connect(server.endpoint, { loop, onDraining: () => {} });
  const stream = (await server.accept())!;
  const shutdown = server.shutdown({ timeoutMs: 60_000 });
  assert.equal(await running, failure);
  const again = loop.run();
  assert.equal(await codeOf(stream.closed), "ABORTED");
  assert.equal(await shutdown, 0);
  assert.equal(await codeOf(client.read()), "ECONNRESET");
  await discard(client);
  await again;
  loop.close();
});
