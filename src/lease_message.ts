/**
 * A lease on its way to another loop or Worker, as plain data.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import { show } from "./show.ts";

/**
 * What `lease.transfer()` gives: plain data for `postMessage`, good for one `Lease.receive`. The
 * bytes stay where they are. One that is never received keeps its buffer for the life of the
 * process, and counts for the loop that sent it; where its receiver is gone the sender can receive
 * it itself.
 */
export interface LeaseMessage {
  /** Tells it from other messages. */
  readonly kind: "twinpoll-lease";
  /** The memory that the buffer belongs to: that of one process. */
  readonly pool: number;
  /** The buffer. */
  readonly buffer: number;
  /** Which use of the buffer. */
  readonly generation: number;
  /** Bytes from the buffer's start. */
  readonly offset: number;
  /** Bytes in use. */
  readonly length: number;
}

const numbers = ["pool", "buffer", "generation", "offset", "length"] as const;

/** Throws unless `message` is a message of a lease, whoever made it. */
export function checkLeaseMessage(message: unknown): asserts message is LeaseMessage {
  const fields = (message ?? {}) as Readonly<Record<string, unknown>>;
  const isOne = fields.kind === "twinpoll-lease" && numbers.every((name) => {
    const value = fields[name];
    return Number.isInteger(value) && value as number >= 0 && value as number < 2 ** 32;
  });
  if (isOne) return;
  throw new IoError("INVALID_ARGUMENT", `${show(message)} is no message of a lease`, {
    advice: "Pass what lease.transfer() gave, as postMessage delivers it.",
  });
}
