/**
 * A connection on its way to another loop or Worker, as plain data.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import { show } from "./show.ts";

/**
 * What `conn.handOff()` gives: plain data for `postMessage`, good for one `loop.receive`. Until it
 * is received the connection belongs to the loop that sent it, and is reset when that is closed or
 * its Worker ends.
 */
export interface ConnectionMessage {
  /** Tells it from other messages. */
  readonly kind: "twinpoll-connection";
  /** The process in which it can be received. */
  readonly process: number;
  /** The connection. */
  readonly slot: number;
  /** Which use of the slot. */
  readonly generation: number;
}

const numbers = ["process", "slot", "generation"] as const;

/** Throws unless `message` is a message of a connection, whoever made it. */
export function checkConnectionMessage(message: unknown): asserts message is ConnectionMessage {
  const fields = (message ?? {}) as Readonly<Record<string, unknown>>;
  const isOne = fields.kind === "twinpoll-connection" && numbers.every((name) => {
    const value = fields[name];
    return Number.isInteger(value) && value as number >= 0 && value as number < 2 ** 32;
  });
  if (isOne) return;
  throw new IoError("INVALID_ARGUMENT", `${show(message)} is no message of a connection`, {
    advice: "Pass what handOff() gave, as postMessage delivers it.",
  });
}
