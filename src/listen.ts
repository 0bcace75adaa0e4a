/**
 * Opening a listener.
 *
 * @module
 */

import { type Endpoint, resolveEndpoint } from "./endpoint.ts";
import { errorOfStatus } from "./io_error.ts";
import { ListenerHandle, type ListenerHandlers, type ListenOptions } from "./listener.ts";
import type { LoopState } from "./loop_state.ts";
import { Header, ListenOptions as Layout, StreamOptions } from "./native/abi.ts";
import { checkHandlers, integerOption } from "./options.ts";
import { readAddress, writeAddress } from "./socket_address.ts";
import { writeListenerOptions } from "./socket_options.ts";
import { writeStreamOptions } from "./stream_options.ts";

const defaultBacklog = 4_096;

/** Listens. Throws an `IoError` when an argument or the system says no. */
export function listen(
  loop: LoopState,
  endpoint: string | Endpoint,
  handlers: ListenerHandlers,
  options: ListenOptions,
): ListenerHandle {
  const resolved = resolveEndpoint(endpoint);
  loop.checkOpen(`listen ${resolved.text}`);
  checkHandlers(handlers, ["open", "data", "end", "drain", "close", "error"]);
  const { backlog = defaultBacklog } = options;
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  writeAddress(words, Layout.address, resolved);
  words[Layout.backlog] = integerOption("backlog", backlog, 1, 65_535);
  const mark = writeStreamOptions(words, Layout.stream, options, loop);
  writeListenerOptions(words, Layout.stream + StreamOptions.socket, options);

  const { functions, handle } = loop;
  const slot = functions.tp_listen(handle, new Uint8Array(words.buffer), words.byteLength);
  const attempt = `listen ${resolved.text}`;
  if (slot < 0) throw errorOfStatus(slot, attempt, loop.words[Header.error_syscall]);
  const generation = loop.words[Header.result_generation];
  const status = functions.tp_listener_address(handle, slot, generation);
  if (status < 0) throw errorOfStatus(status, attempt, loop.words[Header.error_syscall]);
  const address = readAddress(loop.words, Header.address);
  const listener = new ListenerHandle(loop, slot, generation, handlers, address, mark);
  loop.addListener(listener);
  loop.wakeSoon();
  return listener;
}
