// Limits of segmenters: wrong options, messages that are too large, invalid or cut off, and memory
// and credits that are scarce.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Lease, LengthSegmenter, Loop, Segmenter } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import {
  asFunction,
  expectMessages,
  framed,
  openCollector,
  sendPieces,
} from "./support/messages.ts";
import { awaitClosed, content, openPair } from "./support/streams.ts";

const two: LengthSegmenter = { kind: "length", width: 2 };
const message = (body: string): Buffer => framed(two, Buffer.from(body));

testLoop("every option out of its range is named", (loop) => {
  const wrong: [option: string, segmenter: unknown][] = [
    ["segmenter", 5],
    ["segmenter", "line"],
    ["segmenter.kind", {}],
    ["segmenter.kind", { kind: "lines" }],
    ["segmenter.offset", { kind: "length", offset: 256 }],
    ["segmenter.offset", { kind: "length", offset: -1 }],
    ["segmenter.width", { kind: "length", width: 0 }],
    ["segmenter.width", { kind: "length", width: 9 }],
    ["segmenter.width", { kind: "length", width: NaN }],
    ["segmenter.width", { kind: "length", width: 11, encoding: "varint" }],
    ["segmenter.encoding", { kind: "length", encoding: "middle" }],
    ["segmenter.adjustment", { kind: "length", adjustment: 2 ** 30 + 1 }],
    ["segmenter.adjustment", { kind: "length", adjustment: 0.5 }],
    ["segmenter.headerBytes", { kind: "length", headerBytes: 3 }],
    ["segmenter.headerBytes", { kind: "length", headerBytes: 513 }],
    ["segmenter.headerBytes", { kind: "length", headerBytes: 4, encoding: "varint" }],
    ["segmenter.stripped", { kind: "length", stripped: 1 }],
    ["segmenter.contiguous", { kind: "length", contiguous: "no" }],
    ["segmenter.maxLength", { kind: "length", maxLength: 3 }],
    ["segmenter.maxLength", { kind: "length", maxLength: 0 }],
    ["segmenter.maxLength", { kind: "line", maxLength: 2 ** 30 }],
    ["segmenter.maxLength", { kind: "function", segment: () => 0, maxLength: Infinity }],
    ["segmenter.delimiter", { kind: "line", delimiter: "" }],
    ["segmenter.delimiter", { kind: "line", delimiter: "12345678901234567" }],
    ["segmenter.delimiter", { kind: "line", delimiter: new Uint8Array(17) }],
    ["segmenter.delimiter", { kind: "line", delimiter: 10 }],
    ["segmenter.crlf", { kind: "line", delimiter: "\r\n", crlf: true }],
    ["segmenter.crlf", { kind: "line", crlf: "yes" }],
    ["segmenter.bytes", { kind: "fixed" }],
    ["segmenter.bytes", { kind: "fixed", bytes: 0 }],
    ["segmenter.bytes", { kind: "fixed", bytes: 2 ** 30 }],
    ["segmenter.segment", { kind: "function" }],
  ];
  const handlers = { message: () => {} };
  const { client, server } = openPair(loop, { server: handlers });
  for (const [option, value] of wrong) {
    const segmenter = value as Segmenter;
    const hasDefault = !/\.(kind|bytes|segment)$/.test(option);
    const expected = {
      code: "INVALID_OPTION",
      message: new RegExp(`option ${option} is`),
      advice: hasDefault ? /default/ : /^(?!.*default)/,
    };
    assert.throws(() => loop.listen("tcp://127.0.0.1:0", handlers, { segmenter }), expected);
    assert.throws(() => loop.connect("tcp://127.0.0.1:1", handlers, { segmenter }), expected);
    assert.throws(() => server.setSegmenter(segmenter), expected);
  }
  const withoutHandler = { code: "INVALID_ARGUMENT", message: /message handler/ };
  assert.throws(
    () => loop.listen("tcp://127.0.0.1:0", {}, { segmenter: two }),
    withoutHandler,
  );
  assert.throws(() => client.setSegmenter(two), withoutHandler);
  client.setSegmenter(null);
  client.close();
  awaitClosed(loop, client, server);
  assert.throws(() => client.setSegmenter(null), { code: "STALE_HANDLE" });
});

/** What a server with `segmenter` closes with, after messages before what is wrong. */
function expectEnd(
  loop: Loop,
  segmenter: Segmenter,
  stream: Buffer,
  expected: readonly Uint8Array[],
  code: string,
  sizes: number[],
): void {
  const collected = openCollector(loop, segmenter);
  const { client, server, messages } = collected;
  sendPieces(loop, client, stream, sizes);
  if (code === "TRUNCATED_MESSAGE" || code === "") client.shutdown();
  awaitClosed(loop, server, client);
  expectMessages(messages, expected);
  assert.equal(collected.code(), code);
}

const splits = [[], [1], [3, 2]];

testLoop("a message that is too large ends the connection, after those before it", (loop) => {
  const limit: LengthSegmenter = { ...two, maxLength: 100 };
  const full = framed(two, content(98));
  const over = framed(two, content(99)).subarray(0, 2);
  const line = Buffer.from(`${"x".repeat(9)}\n`);
  for (const sizes of splits) {
    for (const segmenter of [limit, { ...limit, contiguous: false }, asFunction(limit)]) {
      const stream = Buffer.concat([full, full, over]);
      expectEnd(loop, segmenter, stream, [full, full], "MESSAGE_TOO_LARGE", sizes);
    }
    const lines = { kind: "line", maxLength: 10 } as const;
    for (const segmenter of [lines, asFunction(lines)]) {
      const stream = Buffer.concat([line, Buffer.from("x".repeat(10))]);
      expectEnd(loop, segmenter, stream, [line], "MESSAGE_TOO_LARGE", sizes);
    }
  }
});

testLoop("what is no message ends the connection, after those before it", (loop) => {
  const whole: LengthSegmenter = { kind: "length", width: 2, adjustment: -2 };
  const good = framed(whole, Buffer.from("good"));
  const bad = Buffer.from([0, 1]);
  const varint: LengthSegmenter = { kind: "length", encoding: "varint", width: 2 };
  const short = framed(varint, Buffer.from("short"));
  for (const sizes of splits) {
    for (const segmenter of [whole, asFunction(whole)]) {
      expectEnd(loop, segmenter, Buffer.concat([good, bad]), [good], "INVALID_MESSAGE", sizes);
    }
    const endless = Buffer.concat([short, Buffer.from([0x80, 0x80])]);
    expectEnd(loop, varint, endless, [short], "INVALID_MESSAGE", sizes);
  }
});

testLoop(
  "an end of the peer inside of a message is an error, between messages it is none",
  (loop) => {
    const whole = message("whole");
    const ends: [segmenter: Segmenter, rest: string][] = [
      [two, "\x00"],
      [two, "\x00\x05hell"],
      [{ ...two, contiguous: false }, "\x00\x05hell"],
      [asFunction(two), "\x00"],
      [asFunction(two), "\x00\x05hell"],
      [{ kind: "fixed", bytes: 7 }, "x"],
      [{ kind: "line", delimiter: "e" }, "no stop"],
    ];
    for (const sizes of splits) {
      for (const [segmenter, rest] of ends) {
        const stream = Buffer.concat([whole, Buffer.from(rest, "latin1")]);
        expectEnd(loop, segmenter, stream, [whole], "TRUNCATED_MESSAGE", sizes);
        expectEnd(loop, segmenter, whole, [whole], "", sizes);
        expectEnd(loop, segmenter, Buffer.alloc(0), [], "", sizes);
      }
    }
  },
);

testLoop("a function that throws, or answers what is no length, ends its connection", (loop) => {
  const answers: (() => number)[] = [
    () => {
      throw new Error("no idea");
    },
    () => NaN,
    () => 1.5,
    () => undefined as unknown as number,
    () => "1" as unknown as number,
  ];
  for (const segment of answers) {
    const { client, server, code } = openCollector(loop, segment);
    client.send("bytes");
    assert.throws(() => awaitClosed(loop, client, server), /no idea|a segmenter answered/);
    awaitClosed(loop, client, server);
    assert.equal(code(), "ABORTED");
  }
});

const tiny = {
  pool: { bufferSize: 512, receiveBuffers: 8, slabBytes: 65_536, maxBytes: 65_536 * 2 },
} as const;

testLoop("a message may be far larger than all that its connection may hold", (loop) => {
  for (const receiveCredits of [1, 2, 64]) {
    for (const contiguous of [true, false]) {
      const segmenter: LengthSegmenter = { kind: "length", contiguous, maxLength: 20_000 };
      const whole = framed(segmenter, content(19_996));
      for (const one of [segmenter, asFunction(segmenter), line(contiguous)]) {
        const stream = one === segmenter || !("delimiter" in one)
          ? whole
          : Buffer.from(`${"y".repeat(19_998)}\r\n`);
        const { client, server, messages } = openCollector(loop, one, {
          listen: { receiveCredits },
        });
        for (let count = 0; count < 3; count++) sendPieces(loop, client, stream, [1_500]);
        turnUntil(loop, () => messages.length === 3, "the messages");
        expectMessages(messages, [stream, stream, stream]);
        client.close();
        awaitClosed(loop, client, server);
      }
    }
  }
}, tiny);

function line(contiguous: boolean): Segmenter {
  return { kind: "line", delimiter: "\r\n", contiguous, maxLength: 20_000 };
}

testLoop(
  "messages that are kept stop their connection, which goes on as they are released",
  (loop) => {
    for (const segmenter of [two, { ...two, contiguous: false }, asFunction(two)]) {
      const kept: Lease[][] = [];
      const whole = framed(two, content(600));
      const { client, server, messages } = openCollector(loop, segmenter, {
        listen: { receiveCredits: 2 },
      }, {
        message: (_, lease, rest) => void kept.push([lease, ...rest].map((part) => part.retain())),
      });
      const total = 100;
      let sent = 0;
      for (let idle = 0; messages.length < total; idle++) {
        assert.ok(idle < 5_000, `${messages.length} of ${total}`);
        if (sent < total && client.send(whole) !== "full") sent += 1;
        if (loop.turn(100) > 0) idle = 0;
        if (idle % 5 !== 4) continue;
        for (const lease of kept.shift() ?? []) lease.release();
      }
      expectMessages(messages, Array.from({ length: total }, () => whole));
      for (const leases of kept) for (const lease of leases) lease.release();
      client.close();
      awaitClosed(loop, client, server);
    }
  },
  tiny,
);

testLoop("where no memory is left to join a message in, it waits for some", (loop) => {
  const hoard: Lease[] = [];
  for (let lease = loop.allocate(512); lease !== undefined; lease = loop.allocate(512)) {
    hoard.push(lease);
  }
  const segmenter: LengthSegmenter = { kind: "length", maxLength: 8_000 };
  const whole = framed(segmenter, content(7_000));
  const { client, server, messages } = openCollector(loop, segmenter);
  // For what is sent.
  for (let count = 0; count < 8; count++) hoard.pop()!.release();
  loop.turn();
  sendPieces(loop, client, whole, [400]);
  turns(loop, 20);
  assert.equal(messages.length, 0, "there is no memory for it");
  for (const lease of hoard) lease.release();
  turnUntil(loop, () => messages.length === 1, "the message");
  expectMessages(messages, [whole]);
  client.close();
  awaitClosed(loop, client, server);
}, tiny);

testLoop("many unfinished messages end with a message or with an error, and never hang", (loop) => {
  const segmenter: Segmenter = { kind: "line", maxLength: 16_384 };
  const count = 12;
  const pairs = Array.from({ length: count }, () => openCollector(loop, segmenter));
  const whole = Buffer.from(`${"z".repeat(16_000)}\n`);
  for (let at = 0; at < whole.length; at += 400) {
    for (const { client } of pairs) {
      if (client.state !== "open") continue;
      while (client.state === "open" && client.send(whole.subarray(at, at + 400)) === "full") {
        loop.turn(100);
      }
    }
    loop.turn();
  }
  const isDone = (index: number): boolean =>
    pairs[index].messages.length === 1 || pairs[index].code() !== null;
  turnUntil(loop, () => pairs.every((_, index) => isDone(index)), "all of them");
  for (const { client, server, messages, code } of pairs) {
    if (code() === null) expectMessages(messages, [whole]);
    else assert.ok(["EXHAUSTED", "ECONNRESET"].includes(code()!), code()!);
    client.close();
    awaitClosed(loop, client, server);
  }
  assert.ok(pairs.some(({ messages }) => messages.length === 1), "some get through");
}, tiny);

testLoop("a paused connection shows no messages, and all of them when it goes on", (loop) => {
  for (const segmenter of [two, asFunction(two)]) {
    const expected = Array.from({ length: 5_000 }, (_, index) => message(`m${index}`));
    const { client, server, messages } = openCollector(loop, segmenter, {
      listen: { highWaterMark: 8_192 },
    }, { message: (conn) => conn.pause() });
    const stream = Buffer.concat(expected);
    for (let at = 0; at < stream.length; at += 10_000) {
      client.send(stream.subarray(at, at + 10_000));
    }
    let pauses = 0;
    while (messages.length < expected.length) {
      turnUntil(loop, () => server.paused, "a pause");
      loop.turn();
      const before = messages.length;
      turns(loop, 3, 0);
      assert.equal(messages.length, before);
      pauses += 1;
      server.resume();
      loop.turn(1_000);
    }
    assert.ok(pauses > 1);
    expectMessages(messages, expected);
    server.close();
    awaitClosed(loop, client, server);
  }
}, { pool: { bufferSize: 1_024 } });

testLoop(
  "answers inside of a message handler are never full, however slowly they are read",
  (loop) => {
    for (const segmenter of [two, { ...two, contiguous: false }, asFunction(two)]) {
      const whole = framed(two, content(1_000));
      let received = 0;
      const { client, server } = openCollector(loop, segmenter, {
        listen: { highWaterMark: 32_768 },
        client: { data: (_, lease) => void (received += lease.length) },
      }, {
        message: (conn, lease, rest) => assert.notEqual(conn.send([lease, ...rest]), "full"),
      });
      client.pause();
      const total = 2_000;
      for (let sent = 0, fulls = 0; sent < total;) {
        if (client.send(whole) !== "full") {
          sent += 1;
          continue;
        }
        loop.turn(1_000);
        // Until then nobody takes the answers, so that reading stops as well.
        fulls += 1;
        if (fulls === 20) client.resume();
      }
      client.resume();
      turnUntil(loop, () => received === total * whole.length, "all answers");
      client.close();
      awaitClosed(loop, client, server);
    }
  },
  { pool: { bufferSize: 4_096 } },
);
