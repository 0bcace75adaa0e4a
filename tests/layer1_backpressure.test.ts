// Backpressure through streams: how many bytes can be on their way between a writer that never
// stops and a consumer that is slow, counted and not timed.

import assert from "node:assert/strict";
import process from "node:process";
import type { Loop, Stream } from "../mod.ts";
import { macrotask } from "./support/drive.ts";
import { discard, openStreams, type StreamPair, testStreams } from "./support/layer1.ts";
import { contentAt, ContentReader } from "./support/streams.ts";

const chunkBytes = 16_384;
const highWaterMark = 65_536;
const readAheadBytes = 32_768;
/** What a Unix socket holds by default, doubled for kernels with another default. */
const socketBytes = 425_984;
/**
 * What each layer may hold: marks, the socket, a burst as long as that which the kernel delivered
 * ahead, a turn's deliveries, the writable's own, and chunks at hand.
 */
const mostInFlight = highWaterMark + readAheadBytes + 2 * socketBytes + highWaterMark / 2 +
  65_536 + 2 * chunkBytes;

let count = 0;

/** Over a Unix socket, whose buffers do not grow. */
function openPair(loop: Loop): Promise<StreamPair> {
  const endpoint = `unix:@twinpoll-test-${process.pid}-${count++}`;
  return openStreams(loop, { near: { highWaterMark }, far: { readAheadBytes }, endpoint });
}

/** Waits until a count stays the same for many passes of the host's event loop. */
async function settled(count: () => number): Promise<number> {
  let last = -1;
  for (let quiet = 0, tick = 0; quiet < 50; tick++) {
    assert.ok(tick < 100_000, "it never settles");
    quiet = count() === last ? quiet + 1 : 0;
    last = count();
    await macrotask();
  }
  return last;
}

/** Waits until `done`. */
async function until(done: () => boolean, what: string): Promise<void> {
  for (let tick = 0; !done(); tick++) {
    assert.ok(tick < 100_000, what);
    await macrotask();
  }
}

/** Writes until it fails; `sent` counts the bytes whose write has ended. */
class Flood {
  sent = 0;
  failure: unknown = null;
  constructor(stream: Stream, way: "write" | "writable") {
    this.done = (way === "write" ? this.#direct(stream) : this.#piped(stream))
      .catch((error) => this.failure = error);
  }

  readonly done: Promise<unknown>;

  async #direct(stream: Stream): Promise<void> {
    for (;;) {
      await stream.write(contentAt(this.sent, chunkBytes));
      this.sent += chunkBytes;
    }
  }

  async #piped(stream: Stream): Promise<void> {
    await new ReadableStream<Uint8Array>({
      pull: (controller): void => {
        controller.enqueue(contentAt(this.sent, chunkBytes));
        this.sent += chunkBytes;
      },
    }, { highWaterMark: 0 }).pipeTo(stream.writable);
  }
}

for (const way of ["write", "writable"] as const) {
  testStreams(`a consumer that does not read stops a flood of ${way}`, async (loop) => {
    const { near, far } = await openPair(loop);
    const flood = new Flood(near, way);
    assert.ok(await settled(() => flood.sent) <= mostInFlight, `${flood.sent} bytes at once`);

    const reader = new ContentReader();
    while (reader.received < 5_000_000) {
      reader.read((await far.read())!);
      const inFlight = flood.sent - reader.received;
      assert.ok(inFlight <= mostInFlight, `${inFlight} bytes after ${reader.received}`);
    }
    await discard(near, far);
    await flood.done;
    assert.equal((flood.failure as { code: string }).code, "ABORTED");
  });
}

testStreams("a slow sink behind pipeTo holds the peer back", async (loop) => {
  const { near, far } = await openPair(loop);
  const flood = new Flood(near, "write");
  const expected = new ContentReader();
  const steps: (() => void)[] = [];
  let isSlow = true;
  const sink = new WritableStream<Uint8Array>({
    write(chunk): Promise<void> {
      expected.read(chunk);
      return isSlow ? new Promise((resolve) => steps.push(resolve)) : Promise.resolve();
    },
  });
  const piped = far.readable.pipeTo(sink).catch(() => {});
  for (let round = 0; round < 40; round++) {
    await until(() => steps.length > 0, "a chunk");
    await settled(() => steps.length);
    assert.equal(steps.length, 1, "one chunk at a time");
    const inFlight = flood.sent - expected.received;
    assert.ok(inFlight <= mostInFlight, `${inFlight} bytes`);
    steps.pop()!();
  }
  // The step that is open ends with the pipe.
  await until(() => steps.length > 0, "a chunk");
  isSlow = false;
  near.abort();
  for (const step of steps) step();
  await discard(near, far);
  await Promise.all([piped, flood.done]);
});

testStreams("a writer sees what waits in desiredSize and ready", async (loop) => {
  const { near, far } = await openPair(loop);
  const writer = near.writable.getWriter();
  const free = writer.desiredSize!;
  assert.ok(free > 0);
  let sent = 0;
  const writes: Promise<void>[] = [];
  // What the connection takes leaves the writable again before the next pass.
  for (let quiet = 0; quiet < 50;) {
    if (writer.desiredSize! > 0) {
      writes.push(writer.write(contentAt(sent, chunkBytes)));
      sent += chunkBytes;
      quiet = 0;
    } else {
      quiet += 1;
    }
    assert.ok(sent <= mostInFlight);
    await macrotask();
  }
  let isReady = false;
  const ready = writer.ready.then(() => isReady = true);
  await settled(() => Number(isReady));
  assert.equal(isReady, false, "nobody reads");
  const reader = new ContentReader();
  while (reader.received < sent) reader.read((await far.read())!);
  await ready;
  await Promise.all(writes);
  assert.equal(writer.desiredSize, free);
  await discard(near, far);
});

testStreams("a consumer that was slow gets all of it, to the end", async (loop) => {
  const { near, far } = await openPair(loop);
  const total = 2_000_000;
  const writing = (async () => {
    for (let sent = 0; sent < total; sent += chunkBytes) {
      await near.write(contentAt(sent, Math.min(chunkBytes, total - sent)));
    }
    near.shutdown();
  })();
  const reader = new ContentReader();
  for (let reads = 0;; reads++) {
    // Some reads find a paused connection, others one that goes on.
    if (reads % 7 === 0) { for (let tick = 0; tick < 20; tick++) await macrotask(); }
    const chunk = await far.read(new Uint8Array(9_001));
    if (chunk === null) break;
    reader.read(chunk);
  }
  assert.equal(reader.received, total);
  await writing;
  await far.close();
  await near.closed;
});
