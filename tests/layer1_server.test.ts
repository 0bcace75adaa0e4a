// Servers of layer 1: iteration, streams that wait, ends, and that processes end by themselves.

import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { connect, listen, type Loop, type Server, type Stream } from "../mod.ts";
import { Child, runChild } from "./support/child.ts";
import { macrotask } from "./support/drive.ts";
import { discard, testStreams, textOf } from "./support/layer1.ts";
import { command } from "./support/runtime.ts";
import { anyPort } from "./support/streams.ts";

/** Connects so many clients, one after the other. */
async function connectAll(server: Server, loop: Loop, count: number): Promise<Stream[]> {
  const streams: Stream[] = [];
  for (let index = 0; index < count; index++) {
    const stream = await connect(server.endpoint, { loop });
    await stream.write(`client ${index}`);
    streams.push(stream);
  }
  return streams;
}

/** Waits until so many connections are open. */
async function untilOpen(loop: Loop, count: number): Promise<void> {
  for (let tick = 0; loop.stats().openConnections !== count; tick++) {
    assert.ok(tick < 100_000, `${loop.stats().openConnections} connections are open`);
    await macrotask();
  }
}

testStreams("streams are iterated in the order in which they came", async (loop) => {
  const server = await listen(anyPort, { loop });
  const clients = await connectAll(server, loop, 5);
  const texts: string[] = [];
  for await (const stream of server) {
    texts.push(new TextDecoder().decode(await stream.read() ?? undefined));
    await discard(stream);
    if (texts.length === 5) server.close();
  }
  assert.deepEqual(texts, [0, 1, 2, 3, 4].map((index) => `client ${index}`));
  assert.equal(server.closed, true);
  assert.equal(await server.accept(), null);
  await discard(...clients);
});

testStreams("several who accept get a stream each; all hear of the end", async (loop) => {
  const server = await listen(anyPort, { loop });
  const accepting = [server.accept(), server.accept(), server.accept()];
  const clients = await connectAll(server, loop, 2);
  const [first, second] = await Promise.all(accepting.slice(0, 2));
  assert.notEqual(first, second);
  server.close();
  assert.equal(await accepting[2], null);
  await discard(first!, second!, ...clients);
});

testStreams("leaving an iteration closes, and aborts what nobody has taken", async (loop) => {
  const server = await listen(anyPort, { loop });
  const clients = await connectAll(server, loop, 3);
  await untilOpen(loop, 6);
  let taken: Stream | undefined;
  for await (const stream of server) {
    taken = stream;
    break;
  }
  assert.equal(server.closed, true);
  const ends = await Promise.allSettled(clients.slice(1).map((client) => client.closed));
  for (const end of ends) assert.equal(end.status, "rejected");
  await taken!.write("still open");
  assert.equal(new TextDecoder().decode(await clients[0].read() ?? undefined), "still open");
  await discard(taken!, clients[0]);
});

testStreams("after close() what was accepted is still given out", async (loop) => {
  const server = await listen(anyPort, { loop });
  const clients = await connectAll(server, loop, 3);
  await untilOpen(loop, 6);
  server.close();
  const streams: Stream[] = [];
  for await (const stream of server) streams.push(stream);
  assert.equal(streams.length, 3);
  await discard(...streams, ...clients);
});

testStreams("those that wait beyond the limit are paused, and go on in order", async (loop) => {
  const server = await listen(anyPort, { loop, maxWaiting: 1 });
  const clients = await connectAll(server, loop, 3);
  await untilOpen(loop, 6);
  const waiting = [...(server as unknown as Waiting).streamsWaiting];
  assert.deepEqual(waiting.map((stream) => stream.connection.paused), [false, true, true]);
  const first = await server.accept();
  assert.equal(first, waiting[0]);
  assert.deepEqual(waiting.map((stream) => stream.connection.paused), [false, false, true]);
  server.close();
  await discard(...waiting, ...clients);
});

/** What the class knows beside the interface. */
interface Waiting {
  readonly streamsWaiting: Iterable<Stream>;
}

testStreams("a stream that ends while it waits waits no longer", async (loop) => {
  const server = await listen(anyPort, { loop });
  const clients = await connectAll(server, loop, 3);
  await untilOpen(loop, 6);
  await discard(clients[1]);
  await untilOpen(loop, 4);
  server.close();
  const texts: string[] = [];
  for await (const stream of server) {
    texts.push(new TextDecoder().decode(await stream.read() ?? undefined));
    await discard(stream);
  }
  assert.deepEqual(texts, ["client 0", "client 2"]);
  await discard(...clients);
});

testStreams("a signal closes the server", async (loop) => {
  const controller = new AbortController();
  const server = await listen(anyPort, { loop, signal: controller.signal });
  const accepting = server.accept();
  controller.abort();
  assert.equal(await accepting, null);
  const late = await listen(anyPort, { loop, signal: controller.signal });
  assert.equal(late.closed, true);
});

testStreams("shutdown() waits for open streams, then aborts those that are left", async (loop) => {
  for (const timeoutMs of [60_000, 1, 0]) {
    const server = await listen(anyPort, { loop });
    const [client] = await connectAll(server, loop, 1);
    const stream = (await server.accept())!;
    const shutdown = server.shutdown({ timeoutMs });
    assert.equal(server.closed, true);
    if (timeoutMs === 60_000) {
      client.shutdown();
      assert.equal(await textOf(stream), "client 0");
      await stream.close();
    }
    assert.equal(await shutdown, timeoutMs === 60_000 ? 0 : 1);
    if (timeoutMs < 60_000) await assert.rejects(stream.closed, { code: "ABORTED" });
    await discard(client);
  }
  const idle = await listen(anyPort, { loop });
  await assert.rejects(idle.shutdown({ timeoutMs: -1 }), { code: "INVALID_OPTION" });
  assert.equal(await idle.shutdown(), 0);
});

testStreams("closing the loop ends iterations", async (loop) => {
  const { Loop } = await import("../mod.ts");
  const other = new Loop({ backend: loop.backend });
  const server = await listen(anyPort, { loop: other });
  const accepting = server.accept();
  other.close();
  assert.equal(await accepting, null);
  assert.equal(server.closed, true);
  await assert.rejects(listen(anyPort, { loop: other }), { code: "LOOP_CLOSED" });
});

testStreams("bad options are told by name", async (loop) => {
  for (const maxWaiting of [0, 65_537, 1.5, NaN]) {
    await assert.rejects(listen(anyPort, { loop, maxWaiting }), { code: "INVALID_OPTION" });
  }
  const onAcceptError = 5 as unknown as () => void;
  await assert.rejects(listen(anyPort, { loop, onAcceptError }), { code: "INVALID_OPTION" });
  const readAheadBytes = 2 ** 31;
  await assert.rejects(listen(anyPort, { loop, readAheadBytes }), { code: "INVALID_OPTION" });
});

testStreams("many connections at a time, each with its own bytes", async (loop) => {
  const server = await listen(anyPort, { loop });
  const serving = (async () => {
    const echoes: Promise<void>[] = [];
    for await (const stream of server) echoes.push(stream.readable.pipeTo(stream.writable));
    await Promise.all(echoes);
  })();
  const count = 100;
  await Promise.all(Array.from({ length: count }, async (_, index) => {
    await using stream = await connect(server.endpoint, { loop });
    for (let round = 0; round < 5; round++) {
      const message = `${index}:${round};`.repeat(1 + index);
      await stream.write(message);
      let answer = "";
      while (answer.length < message.length) {
        answer += new TextDecoder().decode(await stream.read() ?? assert.fail("an early end"));
      }
      assert.equal(answer, message);
    }
    await stream.writable.close();
    assert.equal(await stream.read(), null);
  }));
  server.close();
  await serving;
});

for (
  const [how, output] of [
    ["close", "hello\n"],
    ["unref", "hello\n"],
    ["wait", "hello\n"],
    ["shutdown", "hello\n0 aborted\n"],
  ]
) {
  test(`a process with streams ends by itself after: ${how}`, async () => {
    const { code, stdout, stderr } = await runChild([
      ...command("tests/programs/layer1.ts", ["--allow-ffi"]),
      how,
    ]);
    assert.deepEqual([code, stdout, stderr], [0, output, ""]);
  });
}

test("an open server keeps the process alive", async () => {
  using child = new Child([...command("tests/programs/layer1.ts"), "stay"]);
  assert.equal(await child.line(), "hello");
  const [, port] = (await child.line()).split(" ");
  // Its main program has ended; it still accepts.
  const socket = net.connect(Number(port), "127.0.0.1");
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.destroy();
  child.kill("SIGTERM");
  assert.equal((await child.finished).signal, "SIGTERM");
});
