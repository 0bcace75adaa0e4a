// Segmenters that change in the middle of a stream: what the handlers have not seen is cut anew.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { Connection, LengthSegmenter, Segmenter } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import {
  asFunction,
  expectMessages,
  framed,
  openCollector,
  sendPieces,
} from "./support/messages.ts";
import { awaitClosed, content } from "./support/streams.ts";

const two: LengthSegmenter = { kind: "length", width: 2 };
const lines: Segmenter = { kind: "line" };

testLoop("a handshake of a line, and messages right behind it", (loop) => {
  const bodies = [3, 0, 900, 1].map((length) => framed(two, content(length)));
  for (const sizes of [[], [1], [7]]) {
    for (const first of [lines, asFunction({ kind: "line" })]) {
      for (const next of [two, { ...two, contiguous: false }, asFunction(two)]) {
        const { client, server, messages } = openCollector(loop, first, {}, {
          message: (conn) => messages.length === 1 && conn.setSegmenter(next),
        });
        const hello = Buffer.from("HELLO\n");
        sendPieces(loop, client, Buffer.concat([hello, ...bodies]), sizes);
        turnUntil(loop, () => messages.length === 5, "the messages");
        expectMessages(messages, [hello, ...bodies]);
        client.close();
        awaitClosed(loop, client, server);
      }
    }
  }
}, { pool: { bufferSize: 512 } });

testLoop("after a handshake bytes come as they are, and messages again later", (loop) => {
  const { client, server, messages, data } = openCollector(loop, lines, {}, {
    message: (conn) => conn.setSegmenter(null),
    data(conn): void {
      if (Buffer.concat(data).length === 10) conn.setSegmenter(two);
    },
  });
  client.send("RAW\n0123456789");
  turnUntil(loop, () => data.length > 0, "the bytes");
  assert.equal(Buffer.concat(data).toString(), "0123456789");
  client.send(framed(two, Buffer.from("again")));
  turnUntil(loop, () => messages.length === 2, "the message");
  expectMessages(messages, [Buffer.from("RAW\n"), framed(two, Buffer.from("again"))]);
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("data of several buffers that is not seen yet becomes messages", (loop) => {
  const whole = framed(two, content(400));
  const { client, server, messages, data } = openCollector(loop, undefined, {}, {
    data: (conn) => conn.setSegmenter(two),
  });
  server.pause();
  client.send(Buffer.concat([Buffer.alloc(512), ...Array.from({ length: 9 }, () => whole)]));
  for (let turn = 0; turn < 10; turn++) loop.turn();
  server.resume();
  turnUntil(loop, () => messages.length === 9, "the messages");
  expectMessages(messages, Array.from({ length: 9 }, () => whole));
  assert.deepEqual(data.map(({ length }) => length), [512]);
  client.close();
  awaitClosed(loop, client, server);
}, { pool: { bufferSize: 512 } });

testLoop("what follows is not judged before the handlers have had their say", (loop) => {
  const hello = Buffer.from("HELLO\n");
  const long = framed({ kind: "length" }, Buffer.alloc(2_000, "x"));
  for (const end of [true, false]) {
    const { client, server, messages, code } = openCollector(
      loop,
      {
        kind: "line",
        maxLength: 100,
      },
      {},
      { message: (conn) => conn.setSegmenter({ kind: "length" }) },
    );
    client.send(Buffer.concat([hello, long]));
    if (end) client.shutdown();
    turnUntil(loop, () => messages.length === 2, "the messages");
    expectMessages(messages, [hello, long]);
    client.close();
    awaitClosed(loop, client, server);
    assert.equal(code(), "");
  }
});

testLoop("the end is told after what was cut anew", (loop) => {
  const events: string[] = [];
  const { client, server } = openCollector(loop, lines, {}, {
    message(conn, { length }): void {
      events.push(`message of ${length}`);
      if (length === 2) conn.setSegmenter({ kind: "fixed", bytes: 3 });
    },
    end(conn): void {
      events.push("end");
      conn.close();
    },
  });
  client.send("a\nb\nc\nd");
  client.shutdown();
  awaitClosed(loop, client, server);
  assert.deepEqual(
    events,
    ["message of 2"]
      .concat(["message of 3"]),
    "a rest of two bytes is no message",
  );
});

testLoop("another connection's handler changes it too", (loop) => {
  const found: string[] = [];
  let other: Connection | null = null;
  const target = openCollector(loop, lines, {}, {
    message: (_, lease) => void found.push(Buffer.from(lease.bytes).toString()),
  });
  const first = openCollector(loop, lines, {}, {
    message: () => other!.setSegmenter({ kind: "fixed", bytes: 2 }),
  });
  other = target.server;
  first.client.send("go\n");
  target.client.send("a\nbcd\nefgh\n");
  turnUntil(loop, () => found.join("").length >= 10, "the messages");
  assert.equal(found.join("").slice(0, 10), "a\nbcd\nefgh");
  for (const { client, server } of [first, target]) {
    client.abort();
    awaitClosed(loop, client, server);
  }
});

testLoop("a segmenter can be set before a connection is open", (loop) => {
  const found: string[] = [];
  const listener = loop.listen("tcp://127.0.0.1:0", {
    open: (conn) => void conn.send("one\ntwo\n"),
  });
  const client = loop.connect(listener.address, {
    message: (_, lease) => void found.push(Buffer.from(lease.bytes).toString()),
  });
  client.setSegmenter(lines);
  turnUntil(loop, () => found.length === 2, "the lines");
  assert.deepEqual(found, ["one\n", "two\n"]);
  client.close();
  listener.close();
});

/** Each message has a segmenter of its own, which the handler of the one before sets. */
const chains = fc.record({
  links: fc.array(
    fc.record({
      kind: fc.constantFrom("length", "line", "fixed", "function"),
      size: fc.oneof(fc.nat(30), fc.nat(2_000)),
      contiguous: fc.boolean(),
    }),
    { minLength: 1, maxLength: 15 },
  ),
  sizes: fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 5 }),
});

testLoop("a chain of segmenters, each set by the message before", (loop) => {
  const segmenters: Segmenter[] = [];
  let next = 0;
  const { client, server, messages } = openCollector(loop, undefined, {}, {
    message(conn): void {
      next += 1;
      if (next < segmenters.length) conn.setSegmenter(segmenters[next]);
    },
  });
  fc.assert(
    fc.property(chains, ({ links, sizes }) => {
      const expected = links.map(({ kind, size }) => encode(kind, size));
      segmenters.splice(0, segmenters.length, ...links.map(choose));
      next = 0;
      messages.length = 0;
      server.setSegmenter(segmenters[0]);
      sendPieces(loop, client, Buffer.concat(expected), sizes);
      turnUntil(loop, () => next === links.length || server.state !== "open", "the chain");
      expectMessages(messages, expected);
    }),
    { numRuns: 40 },
  );
  client.close();
  awaitClosed(loop, client, server);
}, { pool: { bufferSize: 512 } });

interface Link {
  readonly kind: string;
  readonly size: number;
  readonly contiguous: boolean;
}

function encode(kind: string, size: number): Buffer {
  if (kind === "line") return Buffer.from(`${"l".repeat(size)}\n`);
  if (kind === "fixed") return Buffer.from(content(size + 1));
  return framed(two, content(size));
}

function choose({ kind, size, contiguous }: Link): Segmenter {
  if (kind === "line") return { kind: "line", contiguous };
  if (kind === "fixed") return { kind: "fixed", bytes: size + 1, contiguous };
  const length: LengthSegmenter = { ...two, contiguous };
  return kind === "length" ? length : asFunction(length);
}

testLoop(
  "a segmenter can be set when a connection opens, before or after bytes arrived",
  (loop) => {
    const found: string[] = [];
    const listener = loop.listen("tcp://127.0.0.1:0", {
      open: (conn) => conn.setSegmenter(lines),
      data: () => assert.fail("bytes that are no message"),
      message: (_, lease) => void found.push(Buffer.from(lease.bytes).toString()),
    });
    const clients = Array.from({ length: 5 }, () => {
      const client = loop.connect(listener.address, {});
      client.send("one\ntwo\n");
      return client;
    });
    turnUntil(loop, () => found.length === 10, "the lines");
    assert.deepEqual(
      found.toSorted(),
      Array.from({ length: 10 }, (_, n) => n < 5 ? "one\n" : "two\n"),
    );
    for (const client of clients) client.close();
    listener.close();
  },
);
