/**
 * Descriptors that go over Unix sockets, on their way to native code and from it.
 *
 * @module
 */

import type { ConnectionHandle } from "./connection_handle.ts";
import type { StreamOptions } from "./connection.ts";
import { checkDescriptor } from "./descriptors.ts";
import { errorOfStatus, IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import type { Transport } from "./socket_address.ts";
import { Header, message_descriptors_max, Status } from "./native/abi.ts";

/** Duplicates of descriptors that native code holds. */
export interface Staged {
  readonly index: number;
  readonly generation: number;
}

/** Duplicates descriptors for the next message of a connection. */
export function stage(conn: ConnectionHandle, descriptors: readonly number[]): Staged {
  if (!conn.passesDescriptors) {
    throw new IoError("UNSUPPORTED", "descriptors on a connection that does not pass them", {
      advice: "Open it, or its listener, with descriptors: true.",
    });
  }
  if (
    !Array.isArray(descriptors) || descriptors.length === 0 ||
    descriptors.length > message_descriptors_max
  ) {
    throw new IoError("INVALID_ARGUMENT", "descriptors must be a list of numbers", {
      advice: `Send 1 to ${message_descriptors_max} descriptors with a message.`,
    });
  }
  for (const descriptor of descriptors) checkDescriptor(descriptor, "send a descriptor");
  const { functions, handle, words } = conn.loop;
  const bytes = new Uint8Array(Int32Array.from(descriptors).buffer);
  const index = functions.tp_descriptors_stage(handle, bytes, bytes.length);
  if (index >= 0) return { index, generation: words[Header.result_generation] };
  throw errorOfStatus(index, "send descriptors", words[Header.error_syscall], {
    advice: index === Status.exhausted
      ? "Wait until the messages with descriptors that were sent before have left."
      : "Pass the numbers of descriptors that are open in this process.",
  });
}

/** Throws where a transport cannot do what is asked for. */
export function checkPassing(transport: Transport, options: StreamOptions): void {
  if (options.descriptors !== true || transport === "unix") return;
  throw new IoError("INVALID_OPTION", `option descriptors with ${transport}`, {
    advice: "Descriptors go over Unix sockets only.",
  });
}

/** They are not sent after all. */
export function forgo(conn: ConnectionHandle, { index, generation }: Staged): void {
  if (conn.loop.isClosed) return;
  conn.loop.functions.tp_descriptors_forgo(conn.loop.handle, index, generation);
}

/** Takes over the descriptors that came with a message; without `wanted` they are closed. */
export function readDescriptors(
  loop: LoopState,
  index: number,
  generation: number,
  wanted: boolean,
): number[] {
  const words = new Int32Array(1 + (wanted ? message_descriptors_max : 0));
  words[0] = generation;
  const bytes = new Uint8Array(words.buffer);
  const count = loop.functions.tp_descriptors_read(loop.handle, index, bytes, bytes.length);
  return [...words.subarray(1, 1 + Math.max(0, count))];
}

/** The error for descriptors without a byte that they could go with. */
export function emptyMessage(): IoError {
  return new IoError("INVALID_ARGUMENT", "descriptors without a byte", {
    advice: "Send at least one byte with them.",
  });
}
