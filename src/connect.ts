/**
 * Opening a connection.
 *
 * @module
 */

import type { ConnectionHandlers, ConnectOptions } from "./connection.ts";
import { ConnectionHandle } from "./connection_handle.ts";
import {
  type Endpoint,
  type ResolvedEndpoint,
  resolveEndpoint,
  streamTransports,
} from "./endpoint.ts";
import { familyOption, writeName } from "./host_name.ts";
import { IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import { Address, ConnectOptions as Layout, Header, StreamOptions } from "./native/abi.ts";
import {
  checkHandlers,
  checkOptions,
  connectionHandlerNames,
  integerOption,
  signalOption,
} from "./options.ts";
import { checkPassing } from "./passed_descriptors.ts";
import { checkSegmenter, writeSegmenter } from "./segmenter.ts";
import { defaultResolveTimeoutMs, lookupError } from "./resolve.ts";
import { readAddress, writeAddress } from "./socket_address.ts";
import { optionError } from "./socket_control.ts";
import { writeConnectSocketOptions } from "./socket_options.ts";
import { maxTimeoutMs, writeStreamOptions } from "./stream_options.ts";

const defaultTimeoutMs = 10_000;
const defaultAttemptDelayMs = 250;

/** Starts to connect; the result is reported to `open` or `close`. */
export function connect(
  loop: LoopState,
  endpoint: string | Endpoint,
  handlers: ConnectionHandlers,
  options: ConnectOptions,
): ConnectionHandle {
  const resolved = resolveEndpoint(endpoint, streamTransports, true);
  if (resolved.transport === "tcp" && resolved.port === 0) {
    throw new IoError("INVALID_ENDPOINT", `${resolved.text}: port 0 cannot be connected to`, {
      advice: "Connect to the port in listener.endpoint.",
    });
  }
  const attempt = `connect ${resolved.text}`;
  loop.checkOpen(attempt);
  checkHandlers(handlers, connectionHandlerNames);
  const { timeoutMs = defaultTimeoutMs } = checkOptions(options);
  const signal = signalOption(options.signal);
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  writeAddress(words, Layout.address, resolved);
  words[Layout.timeout_ms] = integerOption("timeoutMs", timeoutMs, 0, maxTimeoutMs);
  writeNameOptions(words, resolved, options);
  checkPassing(resolved.transport, options);
  const mark = writeStreamOptions(words, Layout.stream, options, loop, resolved.transport);
  writeConnectSocketOptions(words, Layout.stream + StreamOptions.socket, options);
  const segmenter = checkSegmenter(options.segmenter, handlers, loop.pool);
  writeSegmenter(words, Layout.stream + StreamOptions.segmenter, segmenter);

  const { functions, handle } = loop;
  const slot = functions.tp_connect(handle, new Uint8Array(words.buffer), words.byteLength);
  if (slot < 0 && resolved.name !== "") throw lookupError(loop, slot, attempt);
  if (slot < 0) throw optionError(loop, slot, attempt);
  const generation = loop.words[Header.result_generation];
  const conn = new ConnectionHandle(loop, slot, generation, handlers, null, mark, segmenter);
  if (resolved.name === "") conn.knownRemote = readAddress(words, Layout.address);
  else conn.namedEndpoint = resolved.text;
  conn.passesDescriptors = options.descriptors === true;
  loop.addConnection(conn);
  loop.wakeSoon();
  if (signal !== undefined) watchSignal(conn, signal);
  return conn;
}

/** Checks what is for names, which an address does not need. */
function writeNameOptions(
  words: Uint32Array,
  endpoint: ResolvedEndpoint,
  options: ConnectOptions,
): void {
  const {
    family,
    resolveTimeoutMs = defaultResolveTimeoutMs,
    attemptDelayMs = defaultAttemptDelayMs,
  } = options;
  const wanted = familyOption(family);
  words[Layout.resolve_timeout_ms] = integerOption(
    "resolveTimeoutMs",
    resolveTimeoutMs,
    1,
    maxTimeoutMs,
  );
  words[Layout.attempt_delay_ms] = integerOption("attemptDelayMs", attemptDelayMs, 10, 2_000);
  if (endpoint.name === "") return;
  words[Layout.address + Address.family] = wanted;
  words[Layout.name_length] = writeName(words, Layout.name, endpoint.name);
}

/** Aborts `conn` with the signal, as long as it is connecting. */
function watchSignal(conn: ConnectionHandle, signal: AbortSignal): void {
  const abort = (): void => {
    conn.abortReason = signal.reason;
    conn.abort();
  };
  if (signal.aborted) return abort();
  signal.addEventListener("abort", abort, { once: true });
  conn.unwatchSignal = (): void => signal.removeEventListener("abort", abort);
}
