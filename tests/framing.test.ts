// Segmenters: every split of a stream gives the same messages, declared or by a function, in one
// lease or in parts.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import type { LengthSegmenter, LineSegmenter, Loop, Segmenter } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import {
  asFunction,
  type Collected,
  expectMessages,
  framed,
  openCollector,
  sendPieces,
  shown,
} from "./support/messages.ts";
import { awaitClosed, content } from "./support/streams.ts";

/** A stream, the segmenter that cuts it, and what the handler must be shown. */
interface Case {
  readonly segmenter: Segmenter;
  readonly stream: Buffer;
  readonly expected: readonly Uint8Array[];
  readonly pieces: number[];
}

const someBytes = (most: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.nat(100) },
    { weight: 1, arbitrary: fc.nat(most) },
  ).map((length) => content(length, length));

const pieces: fc.Arbitrary<number[]> = fc.oneof(
  fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 6 }),
  fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
);

const shapes: fc.Arbitrary<LengthSegmenter> = fc.record({
  kind: fc.constant("length" as const),
  offset: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 })),
  width: fc.integer({ min: 2, max: 8 }),
  encoding: fc.constantFrom("big", "little", "varint"),
  adjustment: fc.integer({ min: -300, max: 0 }),
  stripped: fc.boolean(),
  contiguous: fc.boolean(),
  extra: fc.integer({ min: 0, max: 9 }),
}).map(({ extra, ...shape }) => {
  if (shape.encoding === "varint") return { ...shape, width: Math.min(10, shape.width + 1) };
  return { ...shape, headerBytes: shape.offset + shape.width + extra };
});

const lengthCases: fc.Arbitrary<Case> = fc.record({
  shape: shapes,
  bodies: fc.array(someBytes(3_000), { minLength: 1, maxLength: 12 }),
  pieces,
  isFunction: fc.boolean(),
}).map(({ shape, bodies, pieces, isFunction }) => {
  const whole = bodies.map((body) => framed(shape, body));
  const segmenter = isFunction ? asFunction(shape) : shape;
  const expected = whole.map((message, index) => shown(segmenter, message, bodies[index]));
  return { segmenter, stream: Buffer.concat(whole), expected, pieces };
});

const lineCases: fc.Arbitrary<Case> = fc.record({
  delimiter: fc.constantFrom("\n", "\r\n", "aab", "|||||||||||||||x"),
  lines: fc.array(
    fc.oneof(
      fc.string({ unit: fc.constantFrom("a", "b", "\r", "|", "é"), maxLength: 40 }),
      fc.nat(4_000).map((length) => "c".repeat(length)),
    ),
    { minLength: 1, maxLength: 12 },
  ),
  stripped: fc.boolean(),
  contiguous: fc.boolean(),
  pieces,
  isFunction: fc.boolean(),
}).map(({ delimiter, lines, stripped, contiguous, pieces, isFunction }) => {
  const declared: LineSegmenter = { kind: "line", delimiter, stripped, contiguous };
  const segmenter = isFunction ? asFunction(declared) : declared;
  // Where a line begins with what ends a delimiter, or has one inside, the reference decides.
  const stream = Buffer.from(lines.map((line) => line + delimiter).join(""));
  const cut = stream.toString().split(delimiter).slice(0, -1);
  const expected = cut.map((line) =>
    shown(segmenter, Buffer.from(line + delimiter), Buffer.from(line))
  );
  return { segmenter, stream, expected, pieces };
});

const fixedCases: fc.Arbitrary<Case> = fc.record({
  bytes: fc.integer({ min: 1, max: 2_000 }),
  count: fc.integer({ min: 1, max: 12 }),
  contiguous: fc.boolean(),
  pieces,
}).map(({ bytes, count, contiguous, pieces }) => {
  const stream = Buffer.from(content(bytes * count));
  const expected = Array.from(
    { length: count },
    (_, index) => stream.subarray(index * bytes, (index + 1) * bytes),
  );
  return { segmenter: { kind: "fixed", bytes, contiguous }, stream, expected, pieces };
});

/** One connection for many cases: each sets its segmenter. */
function checkCases(loop: Loop, cases: fc.Arbitrary<Case>, numRuns: number): void {
  const collected = openCollector(loop, undefined);
  fc.assert(fc.property(cases, (one) => checkCase(loop, collected, one)), { numRuns });
  collected.client.close();
  awaitClosed(loop, collected.client, collected.server);
  assert.equal(collected.data.length, 0);
}

function checkCase(loop: Loop, { client, server, messages }: Collected, one: Case): void {
  server.setSegmenter(one.segmenter);
  messages.length = 0;
  sendPieces(loop, client, one.stream, one.pieces);
  const { length } = one.expected;
  turnUntil(loop, () => messages.length >= length || server.state !== "open", "the messages");
  expectMessages(messages, one.expected);
}

const small = { pool: { bufferSize: 512 } };

testLoop("length-prefixed messages, whatever their headers and splits", (loop) => {
  checkCases(loop, lengthCases, 30);
}, small);

testLoop("lines, whatever ends them and however they are split", (loop) => {
  checkCases(loop, lineCases, 30);
}, small);

testLoop("messages of one length, however they are split", (loop) => {
  checkCases(loop, fixedCases, 15);
}, small);

testLoop("a carriage return is stripped with its newline, where that is asked for", (loop) => {
  for (const contiguous of [true, false]) {
    const segmenter: LineSegmenter = { kind: "line", stripped: true, crlf: true, contiguous };
    const { client, server, messages } = openCollector(loop, segmenter);
    sendPieces(loop, client, Buffer.from("one\r\n\ntwo\n\r\nth\rree\r\n"), [1, 4, 2]);
    turnUntil(loop, () => messages.length === 5, "the lines");
    assert.deepEqual(messages.map(String), ["one", "", "two", "", "th\rree"]);
    client.close();
    awaitClosed(loop, client, server);
  }
});

testLoop("many small messages of one buffer are shown where they are", (loop) => {
  const segmenter: LengthSegmenter = { kind: "length", width: 2 };
  const bodies = Array.from({ length: 200 }, (_, index) => content(62, index));
  const buffers = new Set<ArrayBufferLike>();
  const places: number[] = [];
  const { client, server, messages, parts } = openCollector(loop, segmenter, {}, {
    message(_, { bytes }): void {
      buffers.add(bytes.buffer);
      places.push(bytes.byteOffset);
    },
  });
  client.send(Buffer.concat(bodies.map((body) => framed(segmenter, body))));
  turnUntil(loop, () => messages.length === bodies.length, "the messages");
  expectMessages(messages, bodies.map((body) => framed(segmenter, body)));
  assert.ok(parts.every((count) => count === 1));
  const neighbours = places.filter((place, index) => place - places[index - 1] === 64).length;
  assert.ok(neighbours >= 190, `${neighbours} messages lie behind the one before`);
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("several MiB arrive as one lease, and in parts", (loop) => {
  const body = content(5 << 20);
  for (const contiguous of [true, false]) {
    const segmenter: LengthSegmenter = { kind: "length", maxLength: 8 << 20, contiguous };
    const whole = framed(segmenter, body);
    const { client, server, messages, parts } = openCollector(loop, segmenter);
    for (let count = 0; count < 3; count++) sendPieces(loop, client, whole, [200_000]);
    turnUntil(loop, () => messages.length === 3, "the messages");
    for (const message of messages) assert.equal(Buffer.compare(message, whole), 0);
    if (contiguous) assert.deepEqual(parts, [1, 1, 1]);
    client.close();
    awaitClosed(loop, client, server);
  }
});

testLoop("the parts of a message are sent back as they are", (loop) => {
  const segmenter: LengthSegmenter = { kind: "length", contiguous: false };
  const whole = framed(segmenter, content(100_000));
  const answer: Buffer[] = [];
  let most = 0;
  const { client, server } = openCollector(loop, segmenter, {
    client: { data: (_, lease) => void answer.push(Buffer.from(lease.bytes)) },
  }, {
    message(conn, lease, rest): void {
      most = Math.max(most, rest.length);
      const result = conn.send([lease, ...rest]);
      assert.notEqual(result, "full");
    },
  });
  client.send(whole);
  const size = (): number => answer.reduce((sum, { length }) => sum + length, 0);
  turnUntil(loop, () => size() >= whole.length, "the answer");
  assert.equal(Buffer.compare(Buffer.concat(answer), whole), 0);
  assert.ok(most >= 1, "it came in parts");
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("messages are kept, also several of one buffer, and across buffers", (loop) => {
  const kept: (() => Buffer)[] = [];
  const releases: (() => void)[] = [];
  const segmenter: LengthSegmenter = { kind: "length", width: 2, contiguous: false };
  const bodies = [10, 700, 3, 2_000, 1, 1, 900].map((length, index) => content(length, index));
  const { client, server, messages } = openCollector(loop, segmenter, {}, {
    message(_, lease, rest): void {
      const leases = [lease, ...rest].map((part) => part.retain());
      kept.push(() => Buffer.concat(leases.map((part) => part.bytes)));
      releases.push(() => leases.forEach((part) => part.release()));
    },
  });
  client.send(Buffer.concat(bodies.map((body) => framed(segmenter, body))));
  turnUntil(loop, () => messages.length === bodies.length, "the messages");
  for (let turn = 0; turn < 5; turn++) loop.turn();
  expectMessages(kept.map((read) => read()), bodies.map((body) => framed(segmenter, body)));
  for (const release of releases) release();
  client.close();
  awaitClosed(loop, client, server);
}, small);
