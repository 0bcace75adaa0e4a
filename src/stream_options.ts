/**
 * The options that listening and connecting share, on their way to native code.
 *
 * @module
 */

import type { StreamOptions } from "./connection.ts";
import { IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import { StreamOptions as Layout } from "./native/abi.ts";
import { booleanOption, integerOption } from "./options.ts";
import type { Transport } from "./socket_address.ts";
import { writeStreamSocketOptions } from "./socket_options.ts";

/** Bytes that may wait to be sent, unless an option says otherwise. */
export const defaultHighWaterMark = 262_144;
/** Most bytes that may wait to be sent. */
export const maxHighWaterMark = 2 ** 30;
const defaultLingerTimeoutMs = 2_000;
const defaultReceiveCredits = 64;

/** The longest time limit that an option can set. */
export const maxTimeoutMs = 3_600_000;

/** Writes the `StreamOptions` at word `at` for an endpoint of `transport`; the high-water mark. */
export function writeStreamOptions(
  words: Uint32Array,
  at: number,
  options: StreamOptions,
  loop: LoopState,
  transport: Transport,
): number {
  const { lingerTimeoutMs = defaultLingerTimeoutMs, idleTimeoutMs = 0, bestEffort = false } =
    options;
  const least = 2 * loop.pool.bufferSize;
  const { highWaterMark = Math.max(defaultHighWaterMark, least) } = options;
  const mark = integerOption("highWaterMark", highWaterMark, least, maxHighWaterMark);
  words[at + Layout.high_water_mark] = mark;
  words[at + Layout.linger_timeout_ms] = integerOption(
    "lingerTimeoutMs",
    lingerTimeoutMs,
    1,
    maxTimeoutMs,
  );
  const { receiveCredits = defaultReceiveCredits } = options;
  words[at + Layout.receive_credits] = integerOption("receiveCredits", receiveCredits, 1, 65_536);
  // Dispatch closes a connection whose script does not handle the end: its close then follows what
  // the data handlers of the same turn have sent.
  words[at + Layout.allow_half_open] = 1;
  words[at + Layout.idle_timeout_ms] = integerOption(
    "idleTimeoutMs",
    idleTimeoutMs,
    0,
    maxTimeoutMs,
  );
  words[at + Layout.best_effort] = Number(booleanOption("bestEffort", bestEffort));
  const { descriptors = false } = options;
  words[at + Layout.descriptors] = Number(booleanOption("descriptors", descriptors));
  if (descriptors && options.segmenter !== undefined) {
    throw new IoError("INVALID_OPTION", "options descriptors and segmenter of one connection", {
      advice: "Descriptors come with bytes, not with messages: leave one of the two out.",
    });
  }
  writeStreamSocketOptions(words, at + Layout.socket, options, transport);
  return mark;
}
