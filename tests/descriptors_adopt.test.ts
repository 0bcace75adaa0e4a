// Sockets from elsewhere become connections and listeners, and whatever is none is refused by name.

import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { closeDescriptor, type Connection, IoError, Loop } from "../mod.ts";
import { bestBackend, testLoop } from "./support/backends.ts";
import {
  closeAll,
  countDescriptors,
  duplicate,
  makeListening,
  makeSockets,
} from "./support/descriptors.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { Pipe } from "./support/pipe.ts";
import { root } from "./support/runtime.ts";
import { anyPort, content, ContentReader, ContentWriter, Recorder } from "./support/streams.ts";

function fails(code: string, body: () => unknown, advice = /./): void {
  assert.throws(body, (error) => {
    return error instanceof IoError && error.code === code && advice.test(error.advice);
  }, code);
}

const numbers = [-1, 1.5, NaN, Infinity, 2 ** 31, 2 ** 53, "3", null, undefined] as number[];

for (const kind of ["blocking", "nonblocking"] as const) {
  testLoop(`a connected socket is adopted, ${kind} or not`, (loop) => {
    const [first, second] = makeSockets(kind);
    const reader = new ContentReader();
    const total = 300_000;
    const writer = new ContentWriter(total);
    const sink = new Recorder({ data: (_, lease) => reader.read(lease.bytes), end: () => {} });
    const near = loop.adopt(first, {
      open: (conn) => writer.write(conn),
      drain: (conn) => writer.write(conn),
    });
    assert.equal(near.state, "open");
    assert.equal(near.remoteAddress.transport, "unix");
    const far = loop.adopt(second, sink);
    turnUntil(loop, () => reader.received === total, "all of it");
    assert.equal(sink.events[0], "open");
    near.close();
    turnUntil(loop, () => sink.events.includes("end"), "the end");
    far.close();
  });
}

testLoop("what is sent before the first turn arrives, also when it is closed at once", (loop) => {
  const [first, second] = makeSockets("blocking");
  const sink = new Recorder();
  const near = loop.adopt(first, new Recorder());
  assert.equal(near.send("early"), "sent");
  near.close();
  loop.adopt(second, sink);
  turnUntil(loop, () => sink.isClosed && near.state === "closed", "both closed");
  assert.deepEqual(sink.events, ["open", "data", "close:null"]);
  assert.equal(sink.text, "early");
});

testLoop("what cannot be adopted is refused, and stays the caller's", (loop) => {
  const handlers = {};
  using pipe = new Pipe();
  const file = openSync(join(root, "build.zig"), "r");
  const [unconnected, listening] = makeSockets("stream");
  const datagrams = makeSockets("datagram");
  makeListening(listening);
  const gone = makeSockets("blocking");
  closeAll(...gone);
  for (const number of numbers) fails("EBADF", () => loop.adopt(number, handlers));
  fails("EBADF", () => loop.adopt(900_000, handlers));
  fails("EBADF", () => loop.adopt(gone[0], handlers));
  fails("ENOTSOCK", () => loop.adopt(pipe.read, handlers));
  fails("ENOTSOCK", () => loop.adopt(file, handlers));
  fails("EPROTOTYPE", () => loop.adopt(datagrams[0], handlers), /stream/);
  fails("EINVAL", () => loop.adopt(listening, handlers), /listen/);
  fails("ENOTCONN", () => loop.adopt(unconnected, handlers), /connect/i);
  fails("INVALID_ARGUMENT", () => loop.adopt(unconnected, null as unknown as object));
  fails("INVALID_OPTION", () => loop.adopt(unconnected, {}, { highWaterMark: 1 }));
  fails("EBADF", () => loop.listen({ descriptor: NaN }, {}));
  fails("EBADF", () => loop.listen("fd:-3", {}));
  fails("EBADF", () => loop.listen("fd:900000", {}));
  fails("ENOTSOCK", () => loop.listen({ descriptor: pipe.read }, {}));
  fails("EPROTOTYPE", () => loop.listen(`fd:${datagrams[0]}`, {}));
  fails("EINVAL", () => loop.listen({ descriptor: unconnected }, {}));
  closeSync(file);
  closeAll(unconnected, listening, ...datagrams);
});

testLoop("a socket is adopted once, whatever number it has", (loop) => {
  const [first, second] = makeSockets("blocking");
  const other = duplicate(first);
  const conn = loop.adopt(first, {});
  fails("EEXIST", () => loop.adopt(first, {}));
  fails("EEXIST", () => loop.adopt(other, {}));
  const [, listening] = makeSockets("stream");
  makeListening(listening);
  const listener = loop.listen({ descriptor: listening }, {});
  fails("EEXIST", () => loop.listen({ descriptor: listening }, {}));
  const watch = loop.watch(second, {}, () => {});
  fails("EEXIST", () => loop.adopt(second, {}));
  watch.remove();
  turnUntil(loop, () => loop.stats().openWatches === 0, "the watch's end");
  conn.abort();
  listener.close();
  turnUntil(loop, () => conn.state === "closed", "the end");
  closeAll(other, second);
});

testLoop("as many as there is room for", (loop) => {
  const pairs = Array.from({ length: 2 }, () => makeSockets("blocking"));
  const conns = [...pairs[0]].map((descriptor) => loop.adopt(descriptor, {}));
  fails("EXHAUSTED", () => loop.adopt(pairs[1][0], {}));
  for (const conn of conns) conn.abort();
  closeAll(...pairs[1]);
}, { maxConnections: 2 });

testLoop("a listening socket is taken over, and leaves when it is closed", (loop) => {
  const [unused, listening] = makeSockets("stream");
  makeListening(listening);
  const sink = new Recorder({ data: (conn, lease) => void conn.send(lease) });
  const listener = loop.listen({ descriptor: listening }, sink);
  assert.match(listener.endpoint, /^tcp:\/\/0\.0\.0\.0:[1-9]/);
  const { port } = listener.address;
  const source = new Recorder();
  const client = loop.connect(`tcp://127.0.0.1:${port}`, source);
  client.send("through it");
  turnUntil(loop, () => source.text === "through it", "the echo");
  client.close();
  // A second one after an idle time, when the listener has nothing to accept.
  turnUntil(loop, () => client.state === "closed", "its end");
  turns(loop, 3);
  const again = loop.connect(`tcp://127.0.0.1:${port}`, new Recorder());
  turnUntil(loop, () => again.state === "open", "open");
  again.close();
  listener.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "closed");
  const refused = loop.connect(`tcp://127.0.0.1:${port}`, source);
  turnUntil(loop, () => refused.state === "closed", "refused");
  assert.equal(source.reason?.code, "ECONNREFUSED");
  closeAll(unused);
});

testLoop("a shared listener goes on after one of them is closed", (loop) => {
  const first = loop.listen(anyPort, {});
  const descriptor = first.share();
  fails("EINVAL", () => loop.adopt(descriptor, {}));
  const accepted: Connection[] = [];
  const second = loop.listen({ descriptor }, { open: (conn) => void accepted.push(conn) });
  first.close();
  turnUntil(loop, () => loop.stats().openListeners === 1, "the first one closed");
  fails("STALE_HANDLE", () => first.share());
  assert.deepEqual(second.address, first.address);
  const clients = Array.from({ length: 20 }, () => loop.connect(first.address, {}));
  turnUntil(loop, () => accepted.length === 20, "all of them accepted");
  for (const conn of [...clients, ...accepted]) conn.close();
  second.close();
});

testLoop("a listener that drains loses none of those that wait", (loop) => {
  const sink = new Recorder({ data: (conn, lease) => void conn.send(lease) });
  using peers = new Loop({ backend: bestBackend });
  const listener = loop.listen(anyPort, sink);
  let answered = 0;
  let failed = 0;
  const clients = Array.from({ length: 100 }, () =>
    peers.connect(listener.address, {
      open: (conn) => void conn.send("x"),
      data(conn): void {
        answered += 1;
        conn.close();
      },
      close: (_, error) => void (failed += error === null ? 0 : 1),
    }));
  turnUntil(peers, () => clients.every(({ state }) => state === "open"), "in the backlog");
  listener.close({ drain: true });
  assert.equal(listener.closed, true);
  fails("INVALID_OPTION", () => listener.close({ drain: 1 as unknown as boolean }));
  turnUntil(loop, () => {
    peers.turn();
    return answered === 100 && loop.stats().openConnections === 0;
  }, "all of them answered");
  assert.equal(failed, 0);
  turnUntil(loop, () => loop.stats().openListeners === 0, "the listener's end");
  const late = peers.connect(listener.address, {});
  turnUntil(peers, () => late.state === "closed", "refused");
}, { maxConnections: 16 });

testLoop("a drain waits for room, and can be ended", (loop) => {
  using peers = new Loop({ backend: bestBackend });
  const accepted: Connection[] = [];
  const listener = loop.listen(anyPort, { open: (conn) => void accepted.push(conn) });
  const clients = Array.from({ length: 3 }, () => peers.connect(listener.address, {}));
  turnUntil(peers, () => clients.every(({ state }) => state === "open"), "in the backlog");
  listener.close({ drain: true });
  turnUntil(loop, () => accepted.length === 1, "the only one");
  turns(loop, 5);
  assert.equal(loop.stats().openListeners, 1);
  listener.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "given up");
  accepted[0].close();
  turnUntil(loop, () => {
    peers.turn();
    return accepted[0].state === "closed";
  }, "the end");
}, { maxConnections: 1 });

test("only what the library gave out is closed by it", () => {
  using loop = new Loop({ backend: bestBackend });
  for (const number of numbers) fails("EBADF", () => closeDescriptor(number));
  fails("EBADF", () => closeDescriptor(0));
  const before = countDescriptors();
  const listener = loop.listen(anyPort, {});
  const descriptor = listener.share();
  closeDescriptor(descriptor);
  fails("EBADF", () => closeDescriptor(descriptor));
  listener.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "closed");
  assert.equal(countDescriptors(), before);
});

test("what is adopted ends with its loop", () => {
  const before = countDescriptors();
  const loop = new Loop({ backend: "epoll" });
  const [first, second] = makeSockets("blocking");
  loop.adopt(first, {}).send(content(100));
  const [, listening] = makeSockets("stream");
  makeListening(listening);
  loop.listen({ descriptor: listening }, {});
  loop.close();
  fails("LOOP_CLOSED", () => loop.adopt(second, {}));
  closeAll(second, listening - 1);
  assert.equal(countDescriptors(), before);
});
