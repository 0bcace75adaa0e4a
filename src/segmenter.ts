/**
 * Segmenters: how a connection's bytes become messages.
 *
 * What is declared is executed by native code; a function runs here, over bytes that native code
 * keeps contiguous. Limits and handlers are the same for all of them.
 *
 * @module
 */

import type { ConnectionHandlers } from "./connection.ts";
import { IoError } from "./io_error.ts";
import {
  segment_carriage_return,
  segment_little,
  segment_scattered,
  segment_stripped,
  segment_varint,
  Segmenter as Layout,
  SegmenterKind,
} from "./native/abi.ts";
import { booleanOption, choiceOption, integerOption, invalidOption } from "./options.ts";
import type { PoolHandle } from "./pool.ts";

/** What every segmenter can be given. */
export interface SegmenterLimits {
  /**
   * Most bytes of a message, with its header or delimiter: 1 to what the pool always has memory
   * for, which is the largest power of two (above 4 MiB: whole pages) in half of what it has for
   * messages and in `pool.slabBytes`. A longer message ends the connection with
   * `MESSAGE_TOO_LARGE`, as soon as its header tells. Default 1 MiB, or less in a small pool.
   */
  maxLength?: number;
  /**
   * Whether a message is one lease, also where it came in several buffers: its parts are then
   * copied together, once. With false the handler gets the parts where they are, the first as
   * `lease` and the others as `rest`; parts are joined only where there are more than 64, or more
   * than the connection's credits. Default true.
   */
  contiguous?: boolean;
}

/** Each message begins with a header that tells its length. */
export interface LengthSegmenter extends SegmenterLimits {
  /** A header tells the length. */
  kind: "length";
  /** Bytes of the header before the length field, 0 to 255. Default 0. */
  offset?: number;
  /**
   * Bytes of the length field, 1 to 8; of `"varint"` the most that it may have, 1 to 10. Default 4,
   * of `"varint"` 10.
   */
  width?: number;
  /**
   * How the field is written: the higher or the lower bytes first, or as an unsigned LEB128 number
   * as in Protocol Buffers and MQTT. Default `"big"`.
   */
  encoding?: "big" | "little" | "varint";
  /**
   * Added to the field's value, which makes the bytes after the header; -2^30 to 2^30. Where the
   * value counts the header too it is the header's length, negated. Default 0.
   */
  adjustment?: number;
  /**
   * All bytes of the header, from the end of the field to 512. Default the end of the field, which
   * it always is with `"varint"`.
   */
  headerBytes?: number;
  /** Whether messages are given without their header. Default false. */
  stripped?: boolean;
}

/** Each message ends with a delimiter. */
export interface LineSegmenter extends SegmenterLimits {
  /** A delimiter ends each message. */
  kind: "line";
  /** 1 to 16 bytes; a string counts as UTF-8. Default `"\n"`. */
  delimiter?: string | Uint8Array;
  /** Whether messages are given without their delimiter. Default false. */
  stripped?: boolean;
  /**
   * Whether a carriage return before the delimiter, which must be `"\n"`, is stripped as well: for
   * peers that end lines in either way. Default false.
   */
  crlf?: boolean;
}

/** All messages are of one length. */
export interface FixedSegmenter extends Pick<SegmenterLimits, "contiguous"> {
  /** The length is known. */
  kind: "fixed";
  /** Bytes of a message: 1 to what `maxLength` may be. */
  bytes: number;
}

/**
 * Tells how long the message is that begins with `bytes`: all of its bytes, also more than there
 * are yet; or {@linkcode Segment}`.needMore` or {@linkcode Segment}`.invalid`. Bytes are contiguous
 * and there is at least one. It is asked again, with more of them, until it can tell.
 */
export type SegmentFunction = (bytes: Uint8Array) => number;

/** A function with limits. */
export interface FunctionSegmenter extends SegmenterLimits {
  /** A function tells the length. */
  kind: "function";
  /** Asked for each message. */
  segment: SegmentFunction;
}

/**
 * How bytes become messages: declared, or by a function.
 *
 * @example Lines, and then messages with a length of two bytes before them
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * const text = new TextDecoder();
 * const listener = loop.listen("tcp://127.0.0.1:0", {
 *   message(conn, lease) {
 *     console.log(text.decode(lease.bytes)); // HELLO, then binary
 *     if (text.decode(lease.bytes) === "HELLO") {
 *       conn.setSegmenter({ kind: "length", width: 2, stripped: true });
 *     } else {
 *       conn.close();
 *       listener.close();
 *     }
 *   },
 * }, { segmenter: { kind: "line", stripped: true } });
 * loop.connect(listener.address, {
 *   open: (conn) => void conn.send("HELLO\n\x00\x06binary"),
 * });
 * await loop.run();
 * loop.close();
 * ```
 */
export type Segmenter =
  | LengthSegmenter
  | LineSegmenter
  | FixedSegmenter
  | FunctionSegmenter
  | SegmentFunction;

/** What a {@linkcode SegmentFunction} answers when it cannot tell a length. */
export const Segment: {
  /** The bytes do not tell yet. */
  readonly needMore: 0;
  /** No message begins like this: the connection ends with `INVALID_MESSAGE`. */
  readonly invalid: -1;
} = { needMore: 0, invalid: -1 };

/** A segmenter that was checked. */
export interface CheckedSegmenter {
  /** What native code is told. */
  readonly words: Uint32Array;
  readonly maxLength: number;
  /** Where messages end, unless native code finds out. */
  readonly segment: SegmentFunction | null;
}

const usualMaxLength = 1_048_576;
const maxAdjustment = 2 ** 30;
const maxHeaderBytes = 512;
const maxDelimiterBytes = 16;
const encodings = { big: 0, little: segment_little, varint: segment_varint } as const;
const encoder = new TextEncoder();

/** Checks a segmenter and the handlers that are to get its messages; null where there is none. */
export function checkSegmenter(
  segmenter: Segmenter | null | undefined,
  handlers: ConnectionHandlers,
  pool: PoolHandle,
): CheckedSegmenter | null {
  if (segmenter === null || segmenter === undefined) return null;
  if (handlers.message === undefined) {
    throw new IoError("INVALID_ARGUMENT", "a segmenter needs a message handler", {
      advice: "Add `message` to the handlers of a loop; the streams of layer 1 have no messages.",
    });
  }
  const declared = typeof segmenter === "function"
    ? { kind: "function", segment: segmenter } as const
    : segmenter;
  if (typeof declared !== "object") {
    throw invalidOption("segmenter", segmenter, "an object or a function");
  }
  const words = new Uint32Array(Layout.byte_length / 4);
  switch (declared.kind) {
    case "length":
      return writeLength(words, declared, pool);
    case "line":
      return writeLine(words, declared, pool);
    case "fixed":
      return writeFixed(words, declared, pool);
    case "function":
      return writeFunction(words, declared, pool);
    default:
      throw invalidOption(
        "segmenter.kind",
        (declared as { readonly kind: unknown }).kind,
        "one of length, line, fixed, function",
        "required",
      );
  }
}

/** Writes a `Segmenter` at word `at`. */
export function writeSegmenter(
  words: Uint32Array,
  at: number,
  segmenter: CheckedSegmenter | null,
): void {
  if (segmenter === null) words.fill(0, at, at + Layout.byte_length / 4);
  else words.set(segmenter.words, at);
}

function writeLength(
  words: Uint32Array,
  segmenter: LengthSegmenter,
  pool: PoolHandle,
): CheckedSegmenter {
  const { offset = 0, encoding = "big", adjustment = 0, stripped = false } = segmenter;
  const encoded = choiceOption("segmenter.encoding", encoding, encodings);
  const isVarint = encoding === "varint";
  const { width = isVarint ? 10 : 4 } = segmenter;
  integerOption("segmenter.offset", offset, 0, 255);
  integerOption("segmenter.width", width, 1, isVarint ? 10 : 8);
  if (isVarint && segmenter.headerBytes !== undefined) {
    throw invalidOption("segmenter.headerBytes", segmenter.headerBytes, "left out with varint");
  }
  const end = offset + width;
  const { headerBytes = end } = segmenter;
  integerOption("segmenter.headerBytes", headerBytes, end, maxHeaderBytes);
  integerOption("segmenter.adjustment", adjustment, -maxAdjustment, maxAdjustment);
  words[Layout.kind] = SegmenterKind.length;
  words[Layout.flags] = encoded | strippedFlag(stripped);
  words[Layout.field_offset] = offset;
  words[Layout.field_width] = width;
  words[Layout.header_bytes] = isVarint ? 0 : headerBytes;
  words[Layout.adjustment] = adjustment;
  return writeLimits(words, segmenter, pool, isVarint ? 1 : headerBytes);
}

function writeLine(
  words: Uint32Array,
  segmenter: LineSegmenter,
  pool: PoolHandle,
): CheckedSegmenter {
  const { delimiter = "\n", stripped = false, crlf = false } = segmenter;
  const bytes = typeof delimiter === "string" ? encoder.encode(delimiter) : delimiter;
  if (!(bytes instanceof Uint8Array) || bytes.length < 1 || bytes.length > maxDelimiterBytes) {
    throw invalidOption(
      "segmenter.delimiter",
      delimiter,
      "a string or Uint8Array of 1 to 16 bytes",
    );
  }
  const isNewline = bytes.length === 1 && bytes[0] === 10;
  if (booleanOption("segmenter.crlf", crlf) && !isNewline) {
    throw invalidOption("segmenter.crlf", crlf, 'false unless the delimiter is "\\n"');
  }
  words[Layout.kind] = SegmenterKind.line;
  words[Layout.flags] = strippedFlag(stripped) | (crlf ? segment_carriage_return : 0);
  words[Layout.delimiter_bytes] = bytes.length;
  new Uint8Array(words.buffer).set(bytes, Layout.delimiter);
  return writeLimits(words, segmenter, pool, bytes.length);
}

function writeFixed(
  words: Uint32Array,
  segmenter: FixedSegmenter,
  pool: PoolHandle,
): CheckedSegmenter {
  const most = pool.messageBytes;
  const bytes = integerOption("segmenter.bytes", segmenter.bytes, 1, most, "required");
  words[Layout.kind] = SegmenterKind.fixed;
  words[Layout.fixed_bytes] = bytes;
  const { contiguous } = segmenter;
  return writeLimits(words, { contiguous, maxLength: bytes }, pool, 1);
}

function writeFunction(
  words: Uint32Array,
  segmenter: FunctionSegmenter,
  pool: PoolHandle,
): CheckedSegmenter {
  const { segment } = segmenter;
  if (typeof segment !== "function") {
    throw invalidOption("segmenter.segment", segment, "a function", "required");
  }
  words[Layout.kind] = SegmenterKind.script;
  return { ...writeLimits(words, segmenter, pool, 1), segment };
}

function writeLimits(
  words: Uint32Array,
  limits: SegmenterLimits,
  pool: PoolHandle,
  least: number,
): CheckedSegmenter {
  const { contiguous = true, maxLength = Math.min(usualMaxLength, pool.messageBytes) } = limits;
  integerOption("segmenter.maxLength", maxLength, least, pool.messageBytes);
  words[Layout.max_length] = maxLength;
  const isContiguous = booleanOption("segmenter.contiguous", contiguous);
  words[Layout.flags] |= isContiguous ? 0 : segment_scattered;
  return { words, maxLength, segment: null };
}

function strippedFlag(stripped: unknown): number {
  return booleanOption("segmenter.stripped", stripped) ? segment_stripped : 0;
}
