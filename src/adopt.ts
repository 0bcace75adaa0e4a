/**
 * Connections that come from elsewhere: from a descriptor, or from another loop of the process.
 *
 * @module
 */

import type { ConnectionHandlers, StreamOptions } from "./connection.ts";
import { ConnectionHandle } from "./connection_handle.ts";
import { checkConnectionMessage, type ConnectionMessage } from "./connection_message.ts";
import { checkDescriptor } from "./descriptors.ts";
import { errorOfStatus, IoError, type IoErrorOptions } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import {
  ConnectionOptions as Layout,
  Header,
  Status,
  StreamOptions as StreamLayout,
} from "./native/abi.ts";
import { checkHandlers, checkOptions, connectionHandlerNames } from "./options.ts";
import { type CheckedSegmenter, checkSegmenter, writeSegmenter } from "./segmenter.ts";
import { optionError } from "./socket_control.ts";
import { writeStreamOptions } from "./stream_options.ts";

/** Takes over a connected stream socket; `open` follows in the next turn. */
export function adopt(
  loop: LoopState,
  descriptor: number,
  handlers: ConnectionHandlers,
  options: StreamOptions,
): ConnectionHandle {
  const attempt = `adopt descriptor ${String(descriptor)}`;
  loop.checkOpen(attempt);
  checkDescriptor(descriptor, attempt);
  checkHandlers(handlers, connectionHandlerNames);
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  words[Layout.descriptor] = descriptor;
  const mark = writeStreamOptions(words, Layout.stream, checkOptions(options), loop, "unix");
  const segmenter = checkSegmenter(options.segmenter ?? null, handlers, loop.pool);
  writeSegmenter(words, Layout.stream + StreamLayout.segmenter, segmenter);
  const { functions, handle } = loop;
  const bytes = new Uint8Array(words.buffer);
  const slot = functions.tp_connection_adopt(handle, bytes, bytes.length);
  if (slot < 0) throw adoptError(loop, slot, attempt);
  const conn = opened(loop, slot, handlers, mark, segmenter);
  conn.passesDescriptors = options.descriptors === true;
  return conn;
}

/** Takes over a connection that another loop handed off. */
export function receive(
  loop: LoopState,
  message: ConnectionMessage,
  handlers: ConnectionHandlers,
  options: StreamOptions | undefined,
): ConnectionHandle {
  checkConnectionMessage(message);
  loop.checkOpen("receive a connection");
  checkHandlers(handlers, connectionHandlerNames);
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  words[Layout.slot] = message.slot;
  words[Layout.generation] = message.generation;
  words[Layout.pool_key] = message.process;
  if (options !== undefined) {
    checkNotPassing(checkOptions(options));
    words[Layout.has_stream] = 1;
    writeStreamOptions(words, Layout.stream, options, loop, "unix");
  }
  const segmenter = checkSegmenter(options?.segmenter ?? null, handlers, loop.pool);
  writeSegmenter(words, Layout.stream + StreamLayout.segmenter, segmenter);
  const { functions, handle } = loop;
  const bytes = new Uint8Array(words.buffer);
  const slot = functions.tp_connection_receive(handle, bytes, bytes.length);
  if (slot < 0) throw receiveError(slot);
  const mark = loop.words[Header.result_bytes];
  const isShut = loop.words[Header.result_offset] !== 0;
  const conn = opened(loop, slot, handlers, mark, segmenter);
  conn.isShut = isShut;
  return conn;
}

/** What is handed off has never taken descriptors, and does not begin to. */
function checkNotPassing({ descriptors }: StreamOptions): void {
  if (descriptors !== true) return;
  throw new IoError("INVALID_OPTION", "option descriptors of a connection that was handed off", {
    advice: "Detach it instead, and adopt its descriptor with descriptors: true.",
  });
}

function opened(
  loop: LoopState,
  slot: number,
  handlers: ConnectionHandlers,
  mark: number,
  segmenter: CheckedSegmenter | null,
): ConnectionHandle {
  const generation = loop.words[Header.result_generation];
  const conn = new ConnectionHandle(loop, slot, generation, handlers, null, mark, segmenter);
  conn.arrived();
  loop.addConnection(conn);
  loop.wakeSoon();
  return conn;
}

/** What to do about a descriptor that is none of a connection. */
const advices: Readonly<Record<string, string>> = {
  EBADF: "Pass the number of a descriptor that is open in this process.",
  EEXIST: "A descriptor belongs to one connection, listener or watch of a loop.",
  EINVAL: "Pass a listening socket to loop.listen({ descriptor }), and a connected one here.",
  ENOTCONN: "Connect it first, or let loop.connect do that.",
  ENOTSOCK: "Only sockets can be adopted; loop.watch tells when anything else is ready.",
  EPROTOTYPE: "Only stream sockets can be adopted.",
};

/** The error for a descriptor that cannot be taken over. */
export function adoptError(loop: LoopState, status: number, attempt: string): IoError {
  const error = optionError(loop, status, attempt);
  const advice = advices[error.code];
  if (advice === undefined) return error;
  const details: IoErrorOptions = { advice };
  if (error.errno !== undefined) details.errno = error.errno;
  if (error.syscall !== undefined) details.syscall = error.syscall;
  return new IoError(error.code, error.message, details);
}

function receiveError(status: number): IoError {
  const details: IoErrorOptions = {};
  if (status === Status.stale_handle) {
    details.advice =
      "A connection is received once, in the process and the lifetime of its sender.";
  }
  return errorOfStatus(status, "receive a connection", 0, details);
}
