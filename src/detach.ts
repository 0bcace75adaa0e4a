/**
 * How a connection leaves its loop: as a descriptor, or as a message for another loop.
 *
 * @module
 */

import type { ConnectionHandle } from "./connection_handle.ts";
import type { ConnectionMessage } from "./connection_message.ts";
import { errorOfStatus, type IoError } from "./io_error.ts";
import type { Lease } from "./lease.ts";
import { Header } from "./native/abi.ts";

/** What is left of a connection that was detached. */
export interface DetachedSocket {
  /** The connected socket. Whoever has it closes it, with `closeDescriptor` for instance. */
  readonly descriptor: number;
  /** What had arrived and was not delivered, in order. Each lease must be released or sent. */
  readonly received: readonly Lease[];
  /** The error that the connection had ended with behind what was received; null for none. */
  readonly error: IoError | null;
}

/** What becomes of a connection that is leaving. */
export type Leaving =
  | { readonly travels: false; readonly done: (socket: DetachedSocket) => void }
  | { readonly travels: true; readonly done: (message: ConnectionMessage) => void };

/** The connection rests: takes it out of its loop. `result`: 0, or the error that it ended with. */
export function leave(conn: ConnectionHandle, leaving: Leaving, result: number): void {
  const error = result < 0 ? errorOfStatus(result, "connection") : null;
  if (leaving.travels) sendOff(conn, leaving.done);
  else takeOut(conn, leaving.done, error);
}

function takeOut(
  conn: ConnectionHandle,
  done: (socket: DetachedSocket) => void,
  error: IoError | null,
): void {
  const { loop, slot, generation } = conn;
  const { functions, handle, words, pool } = loop;
  const received: Lease[] = [];
  for (;;) {
    const buffer = functions.tp_connection_read(handle, slot, generation);
    if (buffer < 0) break;
    const bufferGeneration = words[Header.result_generation];
    const offset = words[Header.result_offset];
    received.push(pool.own(buffer, bufferGeneration, offset, words[Header.result_bytes]));
  }
  const descriptor = functions.tp_connection_take(handle, slot, generation);
  if (descriptor < 0) throw errorOfStatus(descriptor, "detach a connection");
  loop.connections[slot] = null;
  loop.shutdown?.ended(conn);
  conn.expire();
  try {
    done({ descriptor, received, error });
  } finally {
    conn.handlers.close?.(conn, null);
  }
}

function sendOff(conn: ConnectionHandle, done: (message: ConnectionMessage) => void): void {
  const { loop, generation } = conn;
  const { functions, handle, words, pool } = loop;
  const slot = functions.tp_connection_hand_off(handle, conn.slot, generation);
  if (slot < 0) {
    conn.abortReason = errorOfStatus(slot, "hand off a connection", 0, {
      advice: "Receive what was handed off before, or hand off less at a time.",
    });
    return conn.abort();
  }
  const message: ConnectionMessage = {
    kind: "twinpoll-connection",
    process: pool.key,
    slot,
    generation: words[Header.result_generation],
  };
  loop.connections[conn.slot] = null;
  loop.shutdown?.ended(conn);
  conn.expire();
  try {
    done(message);
  } finally {
    conn.handlers.close?.(conn, null);
  }
}
