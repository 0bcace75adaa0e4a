/**
 * Opening a listener.
 *
 * @module
 */

import { type Endpoint, type ResolvedEndpoint, resolveEndpoint } from "./endpoint.ts";
import { adoptError } from "./adopt.ts";
import { deniedAdvice } from "./denied.ts";
import { type DescriptorEndpoint, resolveDescriptor } from "./descriptor_endpoint.ts";
import { errorOfStatus, IoError } from "./io_error.ts";
import { ListenerHandle, type ListenerHandlers, type ListenOptions } from "./listener.ts";
import type { LoopState } from "./loop_state.ts";
import {
  AddressFamily,
  Header,
  ListenOptions as Layout,
  option_unset,
  StreamOptions,
} from "./native/abi.ts";
import {
  booleanOption,
  checkHandlers,
  checkOptions,
  connectionHandlerNames,
  integerOption,
} from "./options.ts";
import { checkPassing } from "./passed_descriptors.ts";
import { checkSegmenter, writeSegmenter } from "./segmenter.ts";
import { readAddress, writeAddress } from "./socket_address.ts";
import { optionError } from "./socket_control.ts";
import { writeListenerOptions } from "./socket_options.ts";
import { writeStreamOptions } from "./stream_options.ts";

const defaultBacklog = 4_096;

/** Listens. Throws an `IoError` when an argument or the system says no. */
export function listen(
  loop: LoopState,
  endpoint: string | Endpoint | DescriptorEndpoint,
  handlers: ListenerHandlers,
  options: ListenOptions,
): ListenerHandle {
  const resolved = resolveDescriptor(endpoint) ?? resolveEndpoint(endpoint as string | Endpoint);
  const { family } = resolved;
  loop.checkOpen(`listen ${resolved.text}`);
  if (loop.shutdown !== null) {
    throw new IoError("LOOP_CLOSED", `listen ${resolved.text}: the loop is being shut down`);
  }
  checkHandlers(handlers, [...connectionHandlerNames, "error"]);
  const { backlog = defaultBacklog, unlinkStale = true, mode } = checkOptions(options);
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  writeAddress(words, Layout.address, resolved);
  words[Layout.backlog] = integerOption("backlog", backlog, 1, 65_535);
  words[Layout.unlink_stale] = Number(booleanOption("unlinkStale", unlinkStale));
  words[Layout.mode] = mode === undefined ? option_unset : integerOption("mode", mode, 0, 0o777);
  if (family !== AddressFamily.descriptor) checkPassing(resolved.transport, options);
  // Of a descriptor that listens native code knows what it is.
  const transport = family === AddressFamily.descriptor ? "unix" : resolved.transport;
  const mark = writeStreamOptions(words, Layout.stream, options, loop, transport);
  writeListenerOptions(words, Layout.stream + StreamOptions.socket, options, {
    isTcp: transport === "tcp",
    isIpv6: family === AddressFamily.ipv6,
  });
  const segmenter = checkSegmenter(options.segmenter, handlers, loop.pool);
  writeSegmenter(words, Layout.stream + StreamOptions.segmenter, segmenter);

  const { functions, handle } = loop;
  const slot = functions.tp_listen(handle, new Uint8Array(words.buffer), words.byteLength);
  const attempt = `listen ${resolved.text}`;
  if (slot < 0) throw listenError(loop, slot, resolved);
  const generation = loop.words[Header.result_generation];
  const status = functions.tp_listener_address(handle, slot, generation);
  if (status < 0) throw errorOfStatus(status, attempt, loop.words[Header.error_syscall]);
  const address = readAddress(loop.words, Header.address);
  const listener = new ListenerHandle(loop, slot, generation, handlers, address, mark, segmenter);
  listener.passesDescriptors = options.descriptors === true;
  loop.addListener(listener);
  loop.wakeSoon();
  return listener;
}

/** EADDRINUSE, negated. */
const inUse = -98;

/** What to do where no socket can be made at a path. */
export function pathAdvice(status: number): { advice?: string } {
  const advice =
    "End the program that listens there, remove what is at the path, or choose another.";
  return status === inUse ? { advice } : deniedAdvice(status, "bind", "unix");
}

function listenError(loop: LoopState, status: number, resolved: ResolvedEndpoint): IoError {
  const attempt = `listen ${resolved.text}`;
  if (resolved.family === AddressFamily.descriptor) return adoptError(loop, status, attempt);
  if (resolved.transport !== "unix" || loop.words[Header.error_option] !== option_unset) {
    return optionError(loop, status, attempt);
  }
  return errorOfStatus(status, attempt, loop.words[Header.error_syscall], pathAdvice(status));
}
