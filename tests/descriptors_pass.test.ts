// Descriptors over Unix sockets: they arrive with their bytes, and none is lost or left open.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  closeDescriptor,
  type Connection,
  type ConnectionHandlers,
  IoError,
  Loop,
  type LoopOptions,
} from "../mod.ts";
import { bestBackend, testLoop } from "./support/backends.ts";
import { closeAll, countDescriptors, makeSockets, sendMany } from "./support/descriptors.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { Pipe, readDescriptor, writeDescriptor } from "./support/pipe.ts";
import { anyPort, content, ContentReader, openPair, Recorder } from "./support/streams.ts";

const passing = { descriptors: true } as const;

function fails(code: string, body: () => unknown): void {
  assert.throws(body, (error) => error instanceof IoError && error.code === code, code);
}

interface Ends {
  readonly near: Connection;
  readonly far: Connection;
}

/** Two ends of a Unix connection on `loop`, both of which take descriptors. */
function openEnds(loop: Loop, far: ConnectionHandlers, near: ConnectionHandlers = {}): Ends {
  const [first, second] = makeSockets("blocking");
  return { near: loop.adopt(first, near, passing), far: loop.adopt(second, far, passing) };
}

/** Whether receives of `loop` share buffers, with which descriptors cannot come. */
function isShared(loop: Loop): boolean {
  return loop.capabilities.features.includes("incrementalBuffers");
}

/** A test per row that can take descriptors. */
function testPassing(name: string, body: (loop: Loop) => void, options: LoopOptions = {}): void {
  testLoop(name, (loop) => {
    if (!isShared(loop)) return body(loop);
    const [first, second] = makeSockets("blocking");
    fails("UNSUPPORTED", () => loop.adopt(first, {}, passing));
    fails("UNSUPPORTED", () => loop.listen("unix:@twinpoll-passing-test", {}, passing));
    closeAll(first, second);
  }, options);
}

testPassing("much goes to a peer that reads late, beside descriptors", (loop) => {
  const total = 2_097_152;
  const reader = new ContentReader();
  const { near, far } = openEnds(loop, { data: (_, lease) => reader.read(lease.bytes) });
  far.pause();
  turns(loop, 2);
  assert.notEqual(near.send(content(total)), "full");
  turns(loop, 20);
  assert.ok(near.queuedBytes > 0, "the kernel takes no more");
  far.resume();
  turnUntil(loop, () => reader.received === total, "all of it");
  for (const conn of [near, far]) conn.close();
}, { pool: { maxBytes: 16_777_216 } });

testPassing("descriptors arrive right before the bytes that they came with", (loop) => {
  using pipe = new Pipe();
  const events: string[] = [];
  const got: number[] = [];
  const { near, far } = openEnds(loop, {
    descriptors(_, descriptors): void {
      events.push(`${descriptors.length} descriptors`);
      got.push(...descriptors);
    },
    data: (_, lease) => void events.push(new TextDecoder().decode(lease.bytes)),
  });
  assert.equal(near.send("a", { descriptors: [pipe.write] }), "sent");
  near.send("b", { descriptors: [pipe.write, pipe.read] });
  near.send("c");
  near.send(["d", "e"], { descriptors: Array.from({ length: 8 }, () => pipe.write) });
  // The caller's own may be closed at once.
  pipe.closeWrite();
  turnUntil(loop, () => events.join("").endsWith("de"), "all of it");
  assert.deepEqual(events, [
    "1 descriptors",
    "a",
    "2 descriptors",
    "b",
    "c",
    "8 descriptors",
    "de",
  ]);
  writeDescriptor(got[0], "through it");
  const bytes = new Uint8Array(64);
  assert.equal(readDescriptor(pipe.read, bytes), 10);
  for (const descriptor of got) closeDescriptor(descriptor);
  near.close();
  far.close();
});

testPassing("order is kept in a long stream, and backpressure too", (loop) => {
  using pipe = new Pipe();
  const before = countDescriptors();
  const reader = new ContentReader();
  const places: number[] = [];
  let far: Connection | null = null;
  const ends = openEnds(loop, {
    descriptors(_, descriptors): void {
      places.push(reader.received);
      for (const descriptor of descriptors) closeDescriptor(descriptor);
    },
    data(conn, lease): void {
      reader.read(lease.bytes);
      far = conn;
      if (reader.received % 3 === 0) conn.pause();
    },
  });
  const wanted: number[] = [];
  let sent = 0;
  const part = 10_007;
  const write = (): void => {
    while (sent < 1_000_000) {
      const isMarked = sent / part % 10 === 0;
      const options = isMarked ? { descriptors: [pipe.read] } : {};
      if (ends.near.send(content(part, sent), options) === "full") return;
      if (isMarked) wanted.push(sent);
      sent += part;
    }
  };
  turnUntil(loop, () => {
    write();
    if (far?.paused) far.resume();
    return sent >= 1_000_000 && reader.received === sent;
  }, "all of it");
  // Bytes of the message before may be in the same delivery.
  assert.equal(places.length, wanted.length);
  wanted.forEach((at, index) => {
    assert.ok(places[index] <= at && (places[index + 1] ?? Infinity) > at, `${at}`);
  });
  ends.near.close();
  ends.far.close();
  turnUntil(loop, () => ends.far.state === "closed", "the end");
  turnUntil(loop, () => ends.near.state === "closed", "the end");
  assert.equal(countDescriptors(), before);
});

testPassing("nobody wants them, nobody reads them, the connection ends: all are closed", (loop) => {
  using pipe = new Pipe();
  const before = countDescriptors();
  const sink = new Recorder();
  const first = openEnds(loop, sink);
  first.near.send("nobody", { descriptors: [pipe.read, pipe.write] });
  turnUntil(loop, () => sink.text === "nobody", "the bytes");
  first.far.pause();
  first.near.send("held back", { descriptors: [pipe.read] });
  turns(loop, 5);
  first.far.close();
  first.near.send("closing", { descriptors: [pipe.read] });
  first.near.close();
  turnUntil(loop, () => sink.isClosed && first.near.state === "closed", "the end");
  // What is queued and never sent.
  const second = openEnds(loop, {});
  second.far.pause();
  turns(loop, 3);
  while (second.near.send(content(60_000)) !== "full");
  turns(loop, 3);
  while (second.near.send("x", { descriptors: [pipe.read] }) === "full") {
    turns(loop, 1);
    if (second.near.queuedBytes === 0) break;
    second.far.resume();
  }
  second.near.abort();
  second.far.abort();
  turnUntil(loop, () => loop.stats().openConnections === 0, "the end");
  assert.equal(countDescriptors(), before);
});

testPassing("what cannot be sent is refused, and nothing stays behind", (loop) => {
  using pipe = new Pipe();
  const { near, far } = openEnds(loop, {});
  const before = countDescriptors();
  for (const number of [-1, NaN, 1.5, Infinity, 2 ** 31, 900_000]) {
    fails("EBADF", () => near.send("x", { descriptors: [pipe.read, number] }));
  }
  fails("INVALID_ARGUMENT", () => near.send("x", { descriptors: [] }));
  fails("INVALID_ARGUMENT", () => near.send("x", { descriptors: Array(9).fill(pipe.read) }));
  fails("INVALID_ARGUMENT", () => near.send("x", { descriptors: 3 as unknown as number[] }));
  fails("INVALID_ARGUMENT", () => near.send("", { descriptors: [pipe.read] }));
  fails("INVALID_ARGUMENT", () => near.send([], { descriptors: [pipe.read] }));
  fails("INVALID_ARGUMENT", () => near.send(3 as unknown as string, { descriptors: [pipe.read] }));
  fails("UNSUPPORTED", () => near.detach(() => {}));
  fails("UNSUPPORTED", () => near.handOff(() => {}));
  assert.equal(countDescriptors(), before);
  fails("EXHAUSTED", () => {
    for (let count = 0; count < 300; count++) near.send("x", { descriptors: [pipe.read] });
  });
  near.abort();
  far.abort();
  fails("STALE_HANDLE", () => near.send("x", { descriptors: [pipe.read] }));
  turnUntil(loop, () => loop.stats().openConnections === 0, "the end");
  assert.equal(countDescriptors(), before - 2);
});

testPassing("a connection that takes descriptors has no messages", (loop) => {
  const handlers = { message(): void {} };
  const both = { ...passing, segmenter: { kind: "line" } } as const;
  const [first, second] = makeSockets("blocking");
  fails("INVALID_OPTION", () => loop.adopt(first, handlers, both));
  fails("INVALID_OPTION", () => loop.listen("unix:@twinpoll-passing-test", handlers, both));
  fails("INVALID_OPTION", () => loop.connect("unix:@twinpoll-passing-test", handlers, both));
  const conn = loop.adopt(first, handlers, passing);
  fails("UNSUPPORTED", () => conn.setSegmenter(both.segmenter));
  conn.setSegmenter(null);
  turns(loop);
  assert.equal(conn.state, "open");
  conn.abort();
  turnUntil(loop, () => conn.state === "closed", "the end");
  closeAll(second);
});

testPassing("only Unix sockets that were opened for it pass descriptors", (loop) => {
  fails("INVALID_OPTION", () => loop.listen(anyPort, {}, passing));
  fails("INVALID_OPTION", () => loop.connect("tcp://127.0.0.1:1", {}, passing));
  fails("INVALID_OPTION", () => loop.listen(anyPort, {}, { descriptors: 1 as unknown as boolean }));
  const segmenter = { kind: "line" } as const;
  const path = "unix:@descriptors-and-messages";
  fails("INVALID_OPTION", () => loop.connect(path, {}, { descriptors: true, segmenter }));
  const { near, far } = openEnds(loop, {}, { message: () => {} });
  fails("UNSUPPORTED", () => near.setSegmenter(segmenter));
  for (const end of [near, far]) end.abort();
  const { server, client } = openPair(loop);
  fails("UNSUPPORTED", () => client.send("x", { descriptors: [0] }));
  let descriptor = -1;
  server.detach((socket) => descriptor = socket.descriptor);
  turnUntil(loop, () => descriptor >= 0, "detached");
  fails("INVALID_ARGUMENT", () => loop.adopt(descriptor, {}, passing));
  closeDescriptor(descriptor);
  client.close();
});

testPassing("a listener's connections take a connection, which goes on", (loop) => {
  const endpoint = `unix:@twinpoll-passing-${Date.now()}-${Math.random()}`;
  const { server, client } = openPair(loop, { client: { end: () => {} } });
  const sink = new Recorder();
  let moved: Connection | null = null;
  const listener = loop.listen(endpoint, {
    descriptors(_, [descriptor]): void {
      moved = loop.adopt(descriptor, sink);
    },
  }, passing);
  const channel = loop.connect(endpoint, {}, passing);
  server.detach(({ descriptor }) => {
    channel.send("take this", { descriptors: [descriptor] });
    closeDescriptor(descriptor);
  });
  turnUntil(loop, () => moved !== null, "passed");
  client.send("to whoever has it");
  turnUntil(loop, () => sink.text === "to whoever has it", "the bytes");
  moved!.close();
  client.close();
  channel.close();
  listener.close();
});

testPassing("a peer that sends too many at once is left, and all of them are closed", (loop) => {
  using pipe = new Pipe();
  const before = countDescriptors();
  for (const count of [9, 12, 13, 100]) {
    const [near, foreign] = makeSockets("blocking");
    const sink = new Recorder();
    const conn = loop.adopt(near, { ...sink, descriptors: () => assert.fail("too many") }, passing);
    sendMany(foreign, pipe.read, count);
    turnUntil(loop, () => conn.state === "closed", "left");
    assert.equal(sink.reason?.code, "EMSGSIZE");
    closeAll(foreign);
  }
  assert.equal(countDescriptors(), before);
});

test("what was staged or told of is closed with the loop", () => {
  const before = countDescriptors();
  const loop = new Loop({ backend: bestBackend });
  const pipe = new Pipe();
  const taken: number[] = [];
  const { near } = openEnds(loop, {
    descriptors(_, descriptors): void {
      taken.push(...descriptors);
      loop.close();
    },
  });
  near.send("x", { descriptors: [pipe.read] });
  near.send("y", { descriptors: [pipe.read] });
  turnUntil(loop, () => loop.closed, "closed by the handler");
  pipe[Symbol.dispose]();
  for (const descriptor of taken) closeDescriptor(descriptor);
  assert.deepEqual([taken.length, countDescriptors()], [1, before]);
});
