// How relays end: with one of their sides, in order or with an error, by a time limit, by the
// script.

import assert from "node:assert/strict";
import { testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { Proxy } from "./support/proxy.ts";
import { Silence } from "./support/silence.ts";
import { ContentReader, ContentWriter } from "./support/streams.ts";

const mebibyte = 1_048_576;

testLoop("bytes that arrived before a reset are delivered before the reset", (loop) => {
  const reader = new ContentReader();
  const proxy = new Proxy(loop, {
    client: {},
    target: { data: (_, lease) => reader.read(lease.bytes), end: () => assert.fail("an end") },
  });
  proxy.targetConn.pause();
  turns(loop, 2);
  const writer = new ContentWriter(8 * mebibyte);
  writer.write(proxy.clientConn);
  turns(loop, 30);
  proxy.clientConn.abort();
  turnUntil(loop, () => proxy.first.isClosed, "the reset");
  assert.equal(proxy.first.events.at(-1), "close:ECONNRESET");
  proxy.targetConn.resume();
  const { code, totals } = proxy.awaitEnd();
  assert.equal(code, "ECONNRESET");
  assert.ok(totals.firstToSecond > 0);
  assert.equal(reader.received, totals.firstToSecond, "everything that had arrived");
  assert.equal(proxy.target.events.at(-1), "close:ECONNRESET");
  assert.equal(proxy.second.events.at(-1), "close:ABORTED");
});

testLoop("a peer that takes nothing is not waited for longer than the linger time", (loop) => {
  const proxy = new Proxy(loop, { target: { end: () => assert.fail("an end") } });
  proxy.targetConn.pause();
  turns(loop, 2);
  new ContentWriter(8 * mebibyte).write(proxy.clientConn);
  turns(loop, 30);
  proxy.clientConn.abort();
  turnUntil(loop, () => proxy.first.isClosed, "the reset");
  turns(loop);
  assert.equal(proxy.ends.length, 0);
  // The time limit, and once more in which nothing was taken.
  for (let step = 0; step < 50 && proxy.ends.length === 0; step++) {
    loop.advance(200_000);
    turns(loop, 2);
  }
  assert.equal(proxy.ends[0]?.code, "ECONNRESET");
  proxy.targetConn.abort();
  proxy.awaitEnd();
}, { clock: "virtual" });

for (const who of ["client", "target"] as const) {
  for (const state of ["idle", "half-open", "half-open to it"] as const) {
    testLoop(`a reset by the ${who} reaches the other side: ${state}`, (loop) => {
      let hasEnded = false;
      const stays = { end: () => void (hasEnded = true) };
      const proxy = new Proxy(loop, { client: stays, target: stays });
      const [resets, other] = who === "client"
        ? [proxy.clientConn, proxy.targetConn]
        : [proxy.targetConn, proxy.clientConn];
      if (state === "half-open") resets.shutdown();
      if (state === "half-open to it") other.shutdown();
      if (state !== "idle") turnUntil(loop, () => hasEnded, "the end of one direction");
      resets.abort();
      // Of one whose end was read nothing more is read: the next byte to it meets the reset.
      if (state === "half-open") {
        turns(loop, 2);
        other.send("x");
        turnUntil(loop, () => proxy.ends.length > 0, "the end of the relay");
        turns(loop, 2);
        other.send("y");
      }
      const { code } = proxy.awaitEnd();
      assert.equal(code, "ECONNRESET");
      const told = who === "client" ? proxy.target : proxy.client;
      assert.equal(told.events.at(-1), "close:ECONNRESET");
      assert.equal(proxy.ends.length, 1);
    });
  }
}

testLoop("idleTimeoutMs ends both sides, once no byte has moved for so long", (loop) => {
  const proxy = new Proxy(loop, { relay: { idleTimeoutMs: 1_000 } });
  turnUntil(loop, () => proxy.second.isOpen, "the target");
  turns(loop);
  for (const sender of [proxy.clientConn, proxy.targetConn, proxy.clientConn]) {
    loop.advance(900_000);
    turns(loop);
    const before = proxy.client.bytes + proxy.target.bytes;
    sender.send("x");
    turnUntil(loop, () => proxy.client.bytes + proxy.target.bytes > before, "a byte");
  }
  loop.advance(900_000);
  turns(loop);
  assert.equal(proxy.relay!.state, "open");
  loop.advance(101_000);
  assert.equal(proxy.awaitEnd().code, "IDLE_TIMEOUT");
  for (const side of [proxy.first, proxy.second]) assert.equal(side.reason?.code, "IDLE_TIMEOUT");
  assert.equal(proxy.client.events.at(-1), "close:ECONNRESET");
  assert.equal(proxy.target.events.at(-1), "close:ECONNRESET");
}, { clock: "virtual" });

testLoop("halfOpenTimeoutMs takes over when one direction has ended", (loop) => {
  for (const idleTimeoutMs of [0, 60_000]) {
    let hasEnded = false;
    const proxy = new Proxy(loop, {
      target: { end: () => void (hasEnded = true) },
      relay: { idleTimeoutMs, halfOpenTimeoutMs: 100 },
    });
    turnUntil(loop, () => proxy.second.isOpen, "the target");
    loop.advance(1_000_000);
    turns(loop);
    assert.equal(proxy.relay!.state, "open");
    proxy.clientConn.shutdown();
    turnUntil(loop, () => hasEnded, "the end");
    loop.advance(101_000);
    turnUntil(loop, () => proxy.ends.length > 0, "the end of the relay");
    assert.equal(proxy.ends[0].code, "IDLE_TIMEOUT");
    // Of the relay's end it has read everything, and is not told of what follows.
    proxy.targetConn.abort();
    proxy.awaitEnd();
  }
}, { clock: "virtual" });

testLoop(
  "close() of the relay or of a side sends what was read, and ends both in order",
  (loop) => {
    for (const close of ["relay", "first", "second", "dispose"] as const) {
      const proxy = new Proxy(loop);
      turnUntil(loop, () => proxy.second.isOpen, "the target");
      proxy.clientConn.send("last words");
      turnUntil(loop, () => proxy.relay!.totals.firstToSecond === 10, "the bytes");
      if (close === "relay") proxy.relay!.close();
      else if (close === "dispose") proxy.relay![Symbol.dispose]();
      else proxy.relay![close].close();
      assert.equal(proxy.relay!.state, "closing");
      assert.equal(proxy.firstConn.state, "closing");
      assert.equal(proxy.secondConn.state, "closing");
      proxy.relay!.close();
      assert.equal(proxy.awaitEnd().code, null);
      assert.equal(proxy.target.text, "last words");
      assert.deepEqual(proxy.first.events, ["open", "close:null"]);
    }
  },
);

testLoop("close() while the target still connects closes the client in order", (loop) => {
  using silence = new Silence(loop);
  const proxy = new Proxy(loop, { endpoint: silence.endpoint });
  proxy.relay!.close();
  assert.equal(proxy.awaitEnd().code, "ABORTED");
  assert.deepEqual(proxy.first.events, ["open", "close:null"]);
  assert.equal(proxy.client.events.at(-1), "close:null");
});

testLoop("abort() of the relay resets both sides", (loop) => {
  const proxy = new Proxy(loop);
  proxy.relay!.abort();
  assert.equal(proxy.awaitEnd().code, "ABORTED");
  assert.equal(proxy.client.events.at(-1), "close:ECONNRESET");
  assert.equal(proxy.target.events.at(-1), "close:ECONNRESET");
  proxy.relay!.abort();
  proxy.relay!.close();
});
