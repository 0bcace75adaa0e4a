// Datagram sockets of layer 1: iteration, what waits, room to send, and ends.

import assert from "node:assert/strict";
import process from "node:process";
import { bind, type DatagramStream, type IoError, Loop } from "../mod.ts";
import { macrotask } from "./support/drive.ts";
import { testStreams } from "./support/layer1.ts";

const anyPort = "udp://127.0.0.1:0";
const decoder = new TextDecoder();

function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(() => undefined, (error: IoError) => error.code);
}

/** Makes a test per row that has datagrams, on an attached loop. */
function testSockets(name: string, body: (loop: Loop) => Promise<void>): void {
  testStreams(name, body, {}, { needs: "datagrams" });
}

/** Waits until `done`. */
async function until(done: () => boolean, what: string): Promise<void> {
  for (let tick = 0; !done(); tick++) {
    assert.ok(tick < 100_000, what);
    await macrotask();
  }
}

async function text(socket: DatagramStream): Promise<string> {
  return decoder.decode((await socket.receive())?.bytes);
}

testSockets("datagrams are iterated, and answered", async (loop) => {
  const server = await bind(anyPort, { loop });
  const client = await bind(anyPort, { loop, remote: server.localAddress });
  assert.deepEqual(client.remoteAddress, server.localAddress);
  assert.equal(server.remoteAddress, null);
  const echoing = (async () => {
    for await (const { bytes, source, truncated, segmentSize } of server) {
      assert.deepEqual([truncated, segmentSize], [false, 0]);
      assert.equal(source.port, client.localAddress.port);
      await server.send(bytes, source);
      if (bytes.length === 0) break;
    }
  })();
  const kept: string[] = [];
  for (const message of ["one", "zwölf", "x".repeat(9_000), ""]) {
    await client.send(message);
    kept.push(await text(client));
  }
  assert.deepEqual(kept, ["one", "zwölf", "x".repeat(9_000), ""]);
  await echoing;
  await server.closed;
  await client.close();
});

testSockets("beyond maxWaiting a socket is paused, and goes on", async (loop) => {
  const receiver = await bind(anyPort, { loop, maxWaiting: 4 });
  const sender = await bind(anyPort, { loop });
  for (let index = 0; index < 4; index++) await sender.send(`${index}`, receiver.localAddress);
  await until(() => receiver.socket.paused, "a pause");
  for (let index = 4; index < 8; index++) await sender.send(`${index}`, receiver.localAddress);
  // The kernel has room for these.
  for (let index = 0; index < 8; index++) assert.equal(await text(receiver), `${index}`);
  assert.equal(receiver.socket.paused, false);
  await Promise.all([receiver.close(), sender.close()]);
});

testSockets("a send waits for room, in order", async (loop) => {
  const name = `unix+datagram:@twinpoll-layer1-${process.pid}`;
  const receiver = await bind(name, { loop, maxWaiting: 1 });
  const sender = await bind(`${name}-sender`, { loop, highWaterMark: 65_536 });
  const length = 16_000;
  let sent = 0;
  let isOver = false;
  const sending = (async () => {
    while (!isOver) {
      const datagram = new Uint8Array(length);
      new DataView(datagram.buffer).setUint32(0, sent++);
      await sender.send(datagram, receiver.localAddress);
    }
  })();
  for (let index = 0; index < 100; index++) {
    const { bytes } = (await receiver.receive())!;
    assert.deepEqual([bytes.length, new DataView(bytes.buffer).getUint32(0)], [length, index]);
  }
  isOver = true;
  for (let index = 100; index < sent; index++) await receiver.receive();
  await sending;
  await Promise.all([receiver.close(), sender.close()]);
});

testSockets("what waits hears of the end", async (loop) => {
  const socket = await bind(anyPort, { loop });
  const waits = socket.receive();
  await assert.rejects(socket.receive(), { code: "BUSY", advice: /each receive/ });
  const closed = socket.close();
  assert.equal(await waits, null);
  assert.equal(await socket.receive(), null);
  assert.equal(await codeOf(socket.send("x", "udp://127.0.0.1:9")), "STALE_HANDLE");
  await closed;
  const aborted = await bind(anyPort, { loop });
  const failing = codeOf(aborted.receive());
  aborted.abort();
  assert.equal(await failing, "ABORTED");
  assert.equal(await codeOf(aborted.closed), "ABORTED");
  assert.equal(await codeOf(aborted.receive()), "ABORTED");

  const controller = new AbortController();
  const signalled = await bind(anyPort, { loop, signal: controller.signal });
  const last = signalled.receive();
  controller.abort();
  assert.equal(await last, null);
  await signalled.closed;

  const other = new Loop({ backend: loop.backend });
  const stale = await bind(anyPort, { loop: other });
  const lost = codeOf(stale.receive());
  other.close();
  assert.equal(await lost, "LOOP_CLOSED");
});

testSockets("errors of the network come beside the datagrams; misuse rejects", async (loop) => {
  const gone = await bind(anyPort, { loop });
  const remote = gone.localAddress;
  await gone.close();
  const errors: string[] = [];
  const onError = (error: IoError): void => void errors.push(error.code);
  const socket = await bind(anyPort, { loop, remote, onError });
  await socket.send("nobody is there");
  await until(() => errors.length > 0, "the refusal");
  assert.deepEqual(errors, ["ECONNREFUSED"]);
  assert.equal(socket.socket.state, "open");
  assert.equal(await codeOf(socket.send("x".repeat(70_000))), "MESSAGE_TOO_LARGE");
  await socket.close();
  for (const maxWaiting of [0, 65_537, NaN]) {
    assert.equal(await codeOf(bind(anyPort, { loop, maxWaiting })), "INVALID_OPTION");
  }
  const bad = 5 as unknown as () => void;
  assert.equal(await codeOf(bind(anyPort, { loop, onError: bad })), "INVALID_OPTION");
  assert.equal(await codeOf(bind("tcp://127.0.0.1:0", { loop })), "UNKNOWN_SCHEME");
});

testSockets("`await using` closes, and what was taken is sent", async (loop) => {
  await using receiver = await bind(anyPort, { loop });
  {
    await using sender = await bind(anyPort, { loop, remote: receiver.localAddress });
    await sender.send("last words");
  }
  assert.equal(await text(receiver), "last words");
});
