// Streams of layer 1: reading and writing in every way, the ends of both directions, and what waits
// when a connection ends.

import assert from "node:assert/strict";
import { type IoError, Loop, type Stream } from "../mod.ts";
import { connect, listen } from "../mod.ts";
import { test } from "node:test";
import { bestBackend } from "./support/backends.ts";
import { macrotask, within } from "./support/drive.ts";
import {
  discard,
  openStreams,
  testStreams,
  testStreamTransports,
  textOf,
} from "./support/layer1.ts";
import { anyPort, content, ContentReader } from "./support/streams.ts";

const decoder = new TextDecoder();

/** The code that a promise rejects with, or undefined when it does not. */
function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  return promise.then(() => undefined, (error: IoError) => error.code);
}

/** Waits until `far` has received so many bytes that nobody has read. */
async function received(far: Stream, bytes: number): Promise<void> {
  const { incoming } = far as unknown as { incoming: { bytes: number } };
  for (let tick = 0; incoming.bytes < bytes; tick++) {
    assert.ok(tick < 100_000, `${incoming.bytes} of ${bytes} bytes`);
    await macrotask();
  }
}

testStreamTransports(
  "text and bytes of any length arrive, by every way to read",
  async (loop, { endpoint }) => {
    const { near, far } = await openStreams(loop, { endpoint });
    await near.write("grüße");
    assert.equal(decoder.decode(await far.read() ?? undefined), "grüße");
    const into = new Uint8Array(new ArrayBuffer(64), 8, 4);
    const waits = far.read(into);
    await near.write("abcdefgh");
    const part = await waits;
    assert.equal(part?.buffer, into.buffer);
    assert.equal(part?.byteOffset, 8);
    assert.equal(decoder.decode(part ?? undefined), "abcd");
    assert.equal(decoder.decode(await far.read() ?? undefined), "efgh");

    const total = 3_000_000;
    const reader = new ContentReader();
    const writing = near.write(content(total));
    while (reader.received < total) reader.read((await far.read())!);
    await writing;
    const text = "ß".repeat(700_000);
    const writingText = near.write(text).then(() => near.shutdown());
    assert.equal(await textOf(far), text);
    await writingText;
    await far.close();
    await near.closed;
  },
);

testStreams("a chunk of a default reader stays as it is", async (loop) => {
  const { near, far } = await openStreams(loop);
  const chunks: Uint8Array[] = [];
  for (let round = 0; round < 50; round++) {
    await near.write(`message ${round}`);
    // Some are waited for, some have arrived before.
    if (round % 2 === 0) await received(far, 1);
    chunks.push((await far.read())!);
  }
  assert.deepEqual(
    chunks.map((chunk) => decoder.decode(chunk)),
    Array.from({ length: 50 }, (_, round) => `message ${round}`),
  );
  await discard(near, far);
});

testStreamTransports(
  "a BYOB reader gets the bytes in its own memory",
  async (loop, { endpoint }) => {
    const { near, far } = await openStreams(loop, { endpoint });
    const reader = far.readable.getReader({ mode: "byob" });
    const total = 1_000_000;
    const writing = near.write(content(total)).then(() => near.writable.close());
    const expected = new ContentReader();
    let memory = new Uint8Array(30_011);
    for (;;) {
      const { done, value } = await reader.read(memory);
      if (value !== undefined) {
        assert.equal(value.byteOffset, 0);
        assert.equal(value.buffer.byteLength, 30_011);
        expected.read(value);
        memory = new Uint8Array(value.buffer);
      }
      if (done) break;
    }
    await writing;
    assert.equal(expected.received, total);
    await far.writable.close();
    await Promise.all([near.closed, far.closed]);
  },
);

testStreams("several BYOB reads at a time are answered in order", async (loop) => {
  const { near, far } = await openStreams(loop);
  const reader = far.readable.getReader({ mode: "byob" });
  const reads = [3, 2, 4].map((length) => reader.read(new Uint8Array(length)));
  await near.write("abcdefgh");
  const [a, b, c] = await Promise.all(reads);
  assert.deepEqual([a, b, c].map(({ value }) => decoder.decode(value)), ["abc", "de", "fgh"]);
  await discard(near, far);
});

testStreams("a reader that leaves while it waits takes nothing along", async (loop) => {
  const { near, far } = await openStreams(loop);
  for (const mode of ["byob", "default"] as const) {
    const first = mode === "byob" ? far.readable.getReader({ mode }) : far.readable.getReader();
    const left = codeOf(
      first instanceof ReadableStreamBYOBReader ? first.read(new Uint8Array(4)) : first.read(),
    );
    await macrotask();
    first.releaseLock();
    await left;
    await near.write(mode);
    await received(far, mode.length);
    const second = far.readable.getReader();
    assert.equal(decoder.decode((await second.read()).value), mode);
    const third = second.read();
    await macrotask();
    await near.write("later");
    assert.equal(decoder.decode((await third).value), "later");
    second.releaseLock();
  }
  await near.write("direct");
  assert.equal(decoder.decode(await far.read() ?? undefined), "direct");
  await discard(near, far);
});

testStreamTransports(
  "pipeTo carries a stream through, both ways, and ends it",
  async (loop, { endpoint }) => {
    const { near, far } = await openStreams(loop, { endpoint });
    const echo = far.readable.pipeTo(far.writable);
    const total = 2_000_000;
    let at = 0;
    const source = new ReadableStream<Uint8Array>({
      pull(controller): void {
        const length = Math.min(50_000, total - at);
        if (length === 0) return controller.close();
        controller.enqueue(content(length, at));
        at += length;
      },
    });
    const expected = new ContentReader();
    await Promise.all([
      source.pipeTo(near.writable),
      near.readable.pipeTo(new WritableStream({ write: (chunk) => expected.read(chunk) })),
      echo,
    ]);
    assert.equal(expected.received, total);
    await Promise.all([near.closed, far.closed]);
  },
);

testStreamTransports("after the peer's end there is still writing", async (loop, { endpoint }) => {
  const { near, far } = await openStreams(loop, { endpoint });
  await near.write("question");
  await near.writable.close();
  assert.equal(await textOf(far), "question");
  assert.equal(await far.read(), null);
  for (let part = 0; part < 10; part++) await far.write(`answer ${part};`);
  far.shutdown();
  assert.match(await textOf(near), /^answer 0;.*answer 9;$/);
  await Promise.all([near.closed, far.closed]);
  assert.equal(await near.read(), null);
});

testStreamTransports(
  "after shutdown() nothing can be written, and reading goes on",
  async (loop, { endpoint }) => {
    const { near, far } = await openStreams(loop, { endpoint });
    const writer = near.writable.getWriter();
    await writer.write("last");
    near.shutdown();
    near.shutdown();
    assert.equal(await codeOf(writer.write("more")), "EPIPE");
    assert.equal(await codeOf(writer.closed), "EPIPE");
    writer.releaseLock();
    assert.equal(await codeOf(near.write("more")), "EPIPE");
    assert.equal(await textOf(far), "last");
    await far.write("still heard");
    assert.equal(decoder.decode(await near.read() ?? undefined), "still heard");
    await discard(near, far);
  },
);

testStreamTransports(
  "what arrived before the end can be read after it",
  async (loop, { endpoint }) => {
    const { near, far } = await openStreams(loop, { endpoint });
    await near.write("kept");
    await received(far, 4);
    far.shutdown();
    near.shutdown();
    await Promise.all([near.closed, far.closed]);
    loop.turn();
    assert.equal(loop.stats().leases, 0, "nothing is left in the pool");
    assert.equal(decoder.decode(await far.read() ?? undefined), "kept");
    assert.equal(await far.read(), null);
  },
  { pool: { poison: true } },
);

testStreamTransports("cancelling the readable ends reading only", async (loop, { endpoint }) => {
  const { near, far } = await openStreams(loop, { endpoint });
  await near.write("unread");
  await received(far, 6);
  await far.readable.cancel("enough");
  assert.equal(await far.read(), null);
  // More than anything between them could hold.
  await near.write(content(8_000_000));
  await far.write("answer");
  assert.equal(decoder.decode(await near.read() ?? undefined), "answer");
  await far.writable.close();
  await near.close();
  await far.closed;
});

testStreamTransports(
  "close() sends what was taken, and drops what was not read",
  async (loop, { endpoint }) => {
    const { near, far } = await openStreams(loop, { endpoint });
    await far.write("unread");
    await received(near, 6);
    await near.write("sent");
    const waits = codeOf(near.write(content(10_000_000)));
    const closed = near.close();
    assert.equal(await waits, "STALE_HANDLE");
    assert.equal(await near.read(), null);
    assert.equal((await textOf(far)).slice(0, 4), "sent");
    await far.writable.close();
    await Promise.all([closed, near.close(), far.closed]);
    assert.equal(await codeOf(near.write("x")), "STALE_HANDLE");
    near.shutdown();
    near.abort();
  },
);

testStreams("an abort reaches whoever waits, with its reason", async (loop) => {
  const { near, far } = await openStreams(loop);
  const reason = new Error("why");
  const writer = far.writable.getWriter();
  const waits = [
    near.read(),
    near.write(content(20_000_000)),
    near.closed,
  ];
  near.abort(reason);
  for (const error of await Promise.all(waits.map((wait) => wait.catch((error) => error)))) {
    assert.equal(error.code, "ABORTED");
    assert.equal(error.cause, reason);
  }
  const failed = ["ECONNRESET", "EPIPE"];
  assert.ok(failed.includes(String(await codeOf(far.closed))));
  assert.ok(failed.includes(String(await codeOf(writer.closed))));
  const reading = far.readable.getReader();
  for (;;) {
    const result = await reading.read().catch((error: IoError) => error);
    if (!("code" in result)) continue;
    assert.equal(result.code, "ECONNRESET");
    break;
  }
});

testStreams("aborting the writable resets, also while a write waits", async (loop) => {
  const { near, far } = await openStreams(loop);
  const writer = near.writable.getWriter();
  const waits = codeOf(writer.write(content(20_000_000)));
  await macrotask();
  await writer.abort("no more").catch(() => {});
  assert.notEqual(await waits, undefined);
  assert.equal(await codeOf(near.closed), "ABORTED");
  // A paused connection hears of nothing.
  assert.equal(await codeOf(far.readable.pipeTo(new WritableStream())), "ECONNRESET");
  assert.equal(await codeOf(far.closed), "ECONNRESET");
  assert.equal(await codeOf(near.readable.getReader().read()), "ABORTED");
});

testStreams("a time limit ends what waits, with its code", async (loop) => {
  const { near, far } = await openStreams(loop, { near: { idleTimeoutMs: 1 } });
  const waits = [near.read(), near.closed];
  for (const code of await Promise.all(waits.map(codeOf))) assert.equal(code, "IDLE_TIMEOUT");
  assert.equal(await codeOf(far.closed), "ECONNRESET");
});

testStreams("closing the loop ends what waits with LOOP_CLOSED", async (outer) => {
  const loop = new Loop({ backend: outer.backend });
  loop.attach();
  const { near, far } = await openStreams(loop);
  await near.write("unread");
  await received(far, 6);
  const waits = [near.read(), near.closed, far.closed];
  loop.close();
  for (const wait of waits) assert.equal(await codeOf(wait), "LOOP_CLOSED");
  assert.equal(await codeOf(far.read()), "LOOP_CLOSED");
  assert.equal(await codeOf(far.write("x")), "LOOP_CLOSED");
});

testStreams("misuse is told apart from ends", async (loop) => {
  const { near, far } = await openStreams(loop);
  const first = codeOf(near.read());
  // Not what is advised to those who drive a loop twice.
  await assert.rejects(near.read(), { code: "BUSY", advice: /each read/ });
  assert.equal(await codeOf(far.read(new Uint8Array(0))), "INVALID_ARGUMENT");
  assert.equal(await codeOf(near.write(7 as unknown as string)), "INVALID_ARGUMENT");
  const waits = codeOf(near.write(content(20_000_000)));
  assert.equal(await codeOf(near.write("x")), "BUSY");
  assert.throws(() => near.shutdown(), { code: "BUSY", advice: /each write/ });
  const reader = far.readable.getReader();
  assert.equal(await codeOf(far.read()), "BUSY");
  const writer = far.writable.getWriter();
  await assert.rejects(far.write("x"), { code: "BUSY", advice: /writer/ });
  writer.releaseLock();
  reader.releaseLock();
  await discard(near, far);
  assert.equal(await first, "ABORTED");
  assert.equal(await waits, "ABORTED");
});

testStreams(
  "a stream whose connection a relay has is read to its end, and closes",
  async (loop) => {
    const first = await openStreams(loop);
    const second = await openStreams(loop);
    await first.near.write("read ahead");
    await received(first.far, 10);
    loop.relay(first.far.connection, second.near.connection);
    assert.equal(decoder.decode(await first.far.read() ?? undefined), "read ahead");
    assert.equal(await codeOf(first.far.write("x")), "BUSY");
    await first.near.write("relayed");
    assert.equal(decoder.decode(await second.far.read() ?? undefined), "relayed");
    const ends = [first, second].flatMap(({ near, far }) => [near.closed, far.closed]);
    await Promise.all([first.far.close(), first.near.close(), second.far.close()]);
    await Promise.all(ends);
  },
);

testStreams("memory that is transferred away while it is used is an error", async (loop) => {
  const { near, far } = await openStreams(loop);
  const into = new Uint8Array(16);
  const read = codeOf(near.read(into));
  structuredClone(into, { transfer: [into.buffer] });
  await far.write("for the next one");
  assert.equal(await read, "INVALID_ARGUMENT");
  assert.equal(decoder.decode(await near.read() ?? undefined), "for the next one");
  const bytes = new Uint8Array(20_000_000);
  const write = codeOf(near.write(bytes));
  structuredClone(bytes, { transfer: [bytes.buffer] });
  void far.readable.pipeTo(new WritableStream()).catch(() => {});
  assert.equal(await write, "INVALID_ARGUMENT");
  await discard(near, far);
});

testStreams("connecting fails with what went wrong", async (loop) => {
  const server = await listen(anyPort, { loop });
  const { endpoint } = server;
  assert.equal(await codeOf(listen(endpoint, { loop })), "EADDRINUSE");
  const reason = new Error("changed my mind");
  const error = await connect(endpoint, { loop, signal: AbortSignal.abort(reason) })
    .catch((error) => error);
  assert.deepEqual([error.code, error.cause], ["ABORTED", reason]);
  const open = await connect(endpoint, { loop });
  const accepted = await server.accept();
  assert.equal(loop.stats().accepted, 1, "what was aborted before it began came to the server");
  await discard(open, accepted!);
  const controller = new AbortController();
  const late = codeOf(connect(endpoint, { loop, signal: controller.signal }));
  controller.abort();
  assert.equal(await late, "ABORTED");
  server.close();
  await macrotask();
  assert.equal(await codeOf(connect(endpoint, { loop })), "ECONNREFUSED");
  assert.equal(await codeOf(connect("tcp://127.0.0.1", { loop })), "INVALID_ENDPOINT");
  assert.equal(await codeOf(connect(anyPort, { loop })), "INVALID_ENDPOINT");
  assert.equal(await codeOf(connect(endpoint, { loop, readAheadBytes: 0 })), "INVALID_OPTION");
  assert.equal(await codeOf(connect(endpoint, { loop: {} as Loop })), "INVALID_OPTION");
});

testStreamTransports(
  "`await using` closes in order and waits for the end",
  async (loop, { endpoint, hasResets }) => {
    await using server = await listen(endpoint, { loop });
    const texts: string[] = [];
    const serving = (async () => {
      for await (const stream of server) {
        await using here = stream;
        texts.push(await textOf(here).catch((error) => error.code));
      }
    })();
    let kept: Stream;
    {
      await using stream = await connect(server.endpoint, { loop });
      kept = stream;
      await stream.write("all of it");
    }
    assert.equal(kept.connection.state, "closed");
    {
      await using stream = await connect(server.endpoint, { loop });
      await stream.write("all of it");
      stream.abort();
    }
    {
      using stream = await connect(server.endpoint, { loop });
      kept = stream;
      await stream.write("all of it");
    }
    assert.equal(kept.connection.state, "closing");
    await kept.closed;
    server.close();
    await serving;
    assert.deepEqual(texts, ["all of it", hasResets ? "ECONNRESET" : texts[1], "all of it"]);
  },
);

test("without a loop, streams share one that nobody has to drive", async () => {
  const first = await listen(anyPort);
  const second = await listen(anyPort);
  const near = await within(connect(first.endpoint), "a connect");
  const other = await within(connect(second.endpoint), "a connect");
  assert.deepEqual(near.remoteAddress, first.address);
  assert.equal(near.localAddress.port, (await first.accept())!.remoteAddress.port);
  await Promise.all([first, second].map((server) => server.shutdown({ timeoutMs: 0 })));
  await Promise.allSettled([near.closed, other.closed]);
});

test("nobody has to look at what fails", async () => {
  const loop = new Loop({ backend: bestBackend });
  loop.attach();
  const { near, far } = await openStreams(loop);
  // The runners fail for a rejection that nobody handles.
  void near.closed;
  void near.readable;
  near.writable.getWriter();
  near.abort();
  await far.closed.catch(() => {});
  await macrotask();
  loop.close();
  await macrotask();
});
