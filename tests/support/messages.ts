// Messages and segmenters for tests: how streams are made, and what must come out of them.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type {
  Connection,
  ConnectionHandlers,
  Lease,
  LengthSegmenter,
  LineSegmenter,
  Loop,
  Segmenter,
} from "../../mod.ts";
import { Segment } from "../../mod.ts";
import { turnUntil } from "./drive.ts";
import { openPair, type PairOptions } from "./streams.ts";

/** Bytes of a message as its handler got them. */
export function bytesOf(lease: Lease, rest: readonly Lease[]): Buffer {
  return Buffer.concat([lease, ...rest].map((part) => part.bytes));
}

/** A header of this shape before `body`. */
export function framed(shape: LengthSegmenter, body: Uint8Array): Buffer {
  const { offset = 0, encoding = "big", adjustment = 0 } = shape;
  const { width = 4 } = shape;
  let value = BigInt(body.length - adjustment);
  const field: number[] = [];
  if (encoding === "varint") {
    do {
      const more = value > 127n ? 128 : 0;
      field.push(Number(value & 127n) | more);
      value >>= 7n;
    } while (value > 0n);
  } else {
    for (let place = 0; place < width; place++) {
      field.push(Number(value & 255n));
      value >>= 8n;
    }
    if (encoding === "big") field.reverse();
  }
  const end = offset + field.length;
  const { headerBytes = end } = shape;
  const header = Buffer.alloc(encoding === "varint" ? end : headerBytes, 0xee);
  header.set(field, offset);
  return Buffer.concat([header, body]);
}

/** The bytes of a message that the handler is shown. */
export function shown(segmenter: Segmenter, whole: Buffer, body: Uint8Array): Uint8Array {
  if (typeof segmenter === "function" || !("stripped" in segmenter)) return whole;
  return segmenter.stripped ? body : whole;
}

/** What a segmenter of a kind says, as a function. */
export function asFunction(segmenter: LengthSegmenter | LineSegmenter): Segmenter {
  const segment = segmenter.kind === "length" ? measure(segmenter) : findLine(segmenter);
  const { maxLength, contiguous } = segmenter;
  return { kind: "function", segment, maxLength, contiguous };
}

function findLine({ delimiter = "\n" }: LineSegmenter): (bytes: Uint8Array) => number {
  return (bytes) => {
    const at = Buffer.from(bytes).indexOf(delimiter as string);
    return at < 0 ? Segment.needMore : at + Buffer.from(delimiter as string).length;
  };
}

function measure(shape: LengthSegmenter): (bytes: Uint8Array) => number {
  const { offset = 0, encoding = "big", adjustment = 0, width = 4 } = shape;
  return (bytes) => {
    let value = 0n;
    let end = offset + width;
    if (encoding === "varint") {
      for (let place = 0;; place++) {
        if (offset + place >= bytes.length) return Segment.needMore;
        const byte = bytes[offset + place];
        value |= BigInt(byte & 127) << BigInt(7 * place);
        end = offset + place + 1;
        if (byte < 128) break;
      }
    } else {
      if (bytes.length < end) return Segment.needMore;
      const field = [...bytes.subarray(offset, end)];
      if (encoding === "little") field.reverse();
      for (const byte of field) value = value << 8n | BigInt(byte);
      end = shape.headerBytes ?? end;
    }
    const body = Number(value) + adjustment;
    return body < 0 ? Segment.invalid : end + body;
  };
}

/** A pair whose server collects messages. */
export interface Collected {
  readonly server: Connection;
  readonly client: Connection;
  /** Copies, in order. */
  readonly messages: Buffer[];
  /** How many parts each had. */
  readonly parts: number[];
  /** What arrived as `data`. */
  readonly data: Buffer[];
  /** With what the server's end closed: null at first, then a code or "". */
  code(): string | null;
}

/** Opens one whose server has a segmenter. */
export function openCollector(
  loop: Loop,
  segmenter: Segmenter | undefined,
  options: PairOptions = {},
  also: ConnectionHandlers = {},
): Collected {
  const messages: Buffer[] = [];
  const parts: number[] = [];
  const data: Buffer[] = [];
  let code: string | null = null;
  const { server, client } = openPair(loop, {
    ...options,
    server: {
      ...also,
      message(conn, lease, rest): void {
        messages.push(bytesOf(lease, rest));
        parts.push(1 + rest.length);
        also.message?.(conn, lease, rest);
      },
      data(conn, lease): void {
        data.push(Buffer.from(lease.bytes));
        also.data?.(conn, lease);
      },
      close(conn, error): void {
        code = error?.code ?? "";
        also.close?.(conn, error);
      },
    },
    listen: { ...options.listen, segmenter },
  });
  return { server, client, messages, parts, data, code: () => code };
}

/** Sends a stream in pieces, each in a turn of its own, as far as there is room. */
export function sendPieces(loop: Loop, conn: Connection, stream: Buffer, sizes: number[]): void {
  let at = 0;
  for (let index = 0; at < stream.length; index++) {
    const size = sizes.length === 0 ? stream.length : sizes[index % sizes.length];
    const piece = stream.subarray(at, at + size);
    turnUntil(loop, () => conn.send(piece) !== "full", "room for a piece");
    at += piece.length;
    loop.turn();
  }
}

/** Fails at the first message that is not the expected one. */
export function expectMessages(found: readonly Buffer[], expected: readonly Uint8Array[]): void {
  for (const [index, message] of expected.entries()) {
    assert.ok(index < found.length, `message ${index} of ${expected.length} is missing`);
    if (Buffer.compare(found[index], message) === 0) continue;
    assert.deepEqual([...found[index]], [...message], `message ${index}`);
  }
  assert.equal(found.length, expected.length, "messages");
}
