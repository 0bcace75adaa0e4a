/**
 * Options of open connections and listeners: changed and read in the middle of their life. Nothing
 * here is for the hot path.
 *
 * @module
 */

import { errorOfStatus, IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import {
  Header,
  option_unset,
  PeerCredentials as CredentialsLayout,
  SocketControl as Layout,
  type SocketKind,
  Status,
} from "./native/abi.ts";
import { booleanOption, checkOptions, integerOption } from "./options.ts";
import {
  answeredOption,
  askForOption,
  type SocketOptionName,
  socketOptionName,
  type SocketOptionValues,
  type StreamSocketOptions,
  writeSocketOptions,
} from "./socket_options.ts";
import { maxTimeoutMs } from "./stream_options.ts";

/** What of a connection can be changed while it is open. */
export interface ConnectionSettings extends StreamSocketOptions {
  /**
   * How long no byte may move in either direction before the connection ends with `IDLE_TIMEOUT`,
   * in milliseconds: 1 to 3,600,000, or 0 for no limit. It counts from now.
   */
  idleTimeoutMs?: number;
}

/** Who is at the other end of a Unix connection. */
export interface PeerCredentials {
  /** The process, or null where the system does not tell. */
  readonly pid: number | null;
  /** Its user. */
  readonly uid: number;
  /** Its group. */
  readonly gid: number;
}

/** What options are of. */
export interface Controlled {
  readonly loop: LoopState;
  readonly slot: number;
  readonly generation: number;
}

/** The error of a native result that may be about a socket option. */
export function optionError(loop: LoopState, status: number, attempt: string): IoError {
  const option = loop.words[Header.error_option];
  const syscall = loop.words[Header.error_syscall];
  if (option === option_unset) return errorOfStatus(status, attempt, syscall);
  const what = `${attempt}: option ${socketOptionName(option)}`;
  const name = socketOptionName(option);
  if (status === Status.unsupported) {
    return new IoError("UNSUPPORTED", `${what}: this system, or such a socket, does not have it`, {
      advice: `Leave ${name} out, or set bestEffort.`,
    });
  }
  return errorOfStatus(status, what, syscall, {
    advice: `Give the process the right to set ${name}, leave it out, or set bestEffort.`,
  });
}

/** Changes options. Throws `INVALID_OPTION`, `UNSUPPORTED`, or what the kernel says. */
export function setOptions(
  target: Controlled,
  kind: SocketKind,
  options: ConnectionSettings,
): void {
  checkOptions(options);
  const { loop } = target;
  const { idleTimeoutMs, bestEffort = false } = options;
  const words = makeControl(target, kind);
  words[Layout.idle_timeout_ms] = idleTimeoutMs === undefined
    ? option_unset
    : integerOption("idleTimeoutMs", idleTimeoutMs, 0, maxTimeoutMs);
  words[Layout.best_effort] = Number(booleanOption("bestEffort", bestEffort));
  writeSocketOptions(words, Layout.socket, options);
  const bytes = new Uint8Array(words.buffer);
  const status = loop.functions.tp_socket_configure(loop.handle, bytes, words.byteLength);
  if (status < 0) throw optionError(loop, status, "set options");
  loop.wakeSoon();
}

/** Reads an option. Throws `INVALID_OPTION` for a name that is none, or `UNSUPPORTED`. */
export function getOption<Name extends SocketOptionName>(
  target: Controlled,
  kind: SocketKind,
  name: Name,
): SocketOptionValues[Name] {
  const { loop } = target;
  const words = makeControl(target, kind);
  askForOption(words, Layout.socket, name);
  const bytes = new Uint8Array(words.buffer);
  const status = loop.functions.tp_socket_read(loop.handle, bytes, words.byteLength);
  if (status < 0) throw errorOfStatus(status, "read an option", loop.words[Header.error_syscall]);
  const value = name === "idleTimeoutMs"
    ? words[Layout.idle_timeout_ms]
    : answeredOption(words, Layout.socket, name);
  if (value === undefined) {
    throw new IoError("UNSUPPORTED", `option ${name}: such a socket does not have it`, {
      advice: "Ask for an option that this transport has.",
    });
  }
  return value as SocketOptionValues[Name];
}

function makeControl(target: Controlled, kind: SocketKind): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  words[Layout.kind] = kind;
  words[Layout.slot] = target.slot;
  words[Layout.generation] = target.generation;
  return words;
}

/** Who is at the other end of a Unix connection. Throws `UNSUPPORTED` for others. */
export function readCredentials(target: Controlled): PeerCredentials {
  const { loop, slot, generation } = target;
  const words = new Uint32Array(CredentialsLayout.byte_length / 4);
  words[CredentialsLayout.size] = CredentialsLayout.byte_length;
  words[CredentialsLayout.slot] = slot;
  words[CredentialsLayout.generation] = generation;
  const bytes = new Uint8Array(words.buffer);
  const status = loop.functions.tp_peer_credentials(loop.handle, bytes, words.byteLength);
  if (status === Status.unsupported) {
    throw new IoError("UNSUPPORTED", "only Unix connections tell who their peer is", {
      advice: "Use a unix: endpoint.",
    });
  }
  const syscall = loop.words[Header.error_syscall];
  if (status < 0) throw errorOfStatus(status, "read the peer's credentials", syscall);
  const pid = words[CredentialsLayout.pid];
  return {
    pid: pid === 0 ? null : pid,
    uid: words[CredentialsLayout.uid],
    gid: words[CredentialsLayout.gid],
  };
}
