/**
 * Opening a datagram socket.
 *
 * @module
 */

import { readSocketAddress, settingName, writeDatagramSettings } from "./datagram_control.ts";
import { DatagramSocketHandle } from "./datagram_handle.ts";
import type { DatagramHandlers, DatagramOptions } from "./datagram_socket.ts";
import { deniedAdvice } from "./denied.ts";
import { type Endpoint, type ResolvedEndpoint, resolveEndpoint } from "./endpoint.ts";
import { errorOfStatus, IoError } from "./io_error.ts";
import { pathAdvice } from "./listen.ts";
import type { LoopState } from "./loop_state.ts";
import {
  AddressFamily,
  BindOptions as Layout,
  Header,
  option_unset,
  Status,
  Syscall,
} from "./native/abi.ts";
import { booleanOption, checkHandlers, checkOptions, integerOption } from "./options.ts";
import { type Transport, writeAddress } from "./socket_address.ts";
import { maxTimeoutMs } from "./stream_options.ts";

/** The transports of datagrams. */
export const datagramTransports: readonly Transport[] = ["udp", "unix+datagram"];
const unnamed = "unix+datagram:";

const defaultHighWaterMark = 262_144;
const maxHighWaterMark = 2 ** 30;
const defaultLingerTimeoutMs = 2_000;
const defaultReceiveCredits = 256;
/** What the kernel joins has so many bytes at most, and a buffer is a power of two. */
const groBufferBytes = 131_072;

/** Names of the fields that a system may not have, as the program spelled them. */
const wishes = new Map<number, string>([
  [Layout.receive_segments, "gro"],
  [Layout.tell_local, "packetInfo"],
  [Layout.tell_ecn, "ecn"],
  [Layout.tell_drops, "countDrops"],
]);

/** Opens a datagram socket. Throws an `IoError` when an argument or the system says no. */
export function bind(
  loop: LoopState,
  endpoint: string | Endpoint,
  handlers: DatagramHandlers,
  options: DatagramOptions,
): DatagramSocketHandle {
  const local = isUnnamed(endpoint) ? null : resolveEndpoint(endpoint, datagramTransports);
  const attempt = `bind ${local?.text ?? unnamed}`;
  loop.checkOpen(attempt);
  checkHandlers(handlers, ["message", "drain", "error", "close"]);
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  if (local !== null) writeAddress(words, Layout.address, local);
  const remote = remoteOf(local?.transport ?? "unix+datagram", checkOptions(options).remote);
  if (remote !== null) writeAddress(words, Layout.remote, remote);
  writeOptions(words, options, loop, local?.family === AddressFamily.ipv6);

  const { functions, handle } = loop;
  const slot = functions.tp_bind(handle, new Uint8Array(words.buffer), words.byteLength);
  if (slot < 0) throw bindError(loop, slot, attempt, local);
  const generation = loop.words[Header.result_generation];
  const name = { loop, slot, generation };
  const socket = new DatagramSocketHandle(loop, {
    slot,
    generation,
    handlers,
    localAddress: readSocketAddress(name, 0, attempt),
    remoteAddress: remote === null ? null : readSocketAddress(name, 1, attempt),
    highWaterMark: words[Layout.high_water_mark],
  });
  loop.addSocket(socket);
  loop.wakeSoon();
  return socket;
}

/** `unix+datagram:` alone is a socket without a name, which can send and be connected. */
export function isUnnamed(endpoint: string | Endpoint): boolean {
  if (typeof endpoint === "string") return endpoint.toLowerCase() === unnamed;
  const { transport, path } = (endpoint ?? {}) as { transport?: unknown; path?: unknown };
  return transport === "unix+datagram" && path === "";
}

function remoteOf(
  transport: Transport,
  remote: string | Endpoint | undefined,
): ResolvedEndpoint | null {
  if (remote === undefined) return null;
  const resolved = resolveEndpoint(remote, [transport]);
  if (transport !== "udp" || resolved.port > 0) return resolved;
  throw new IoError("INVALID_ENDPOINT", `${resolved.text}: port 0 cannot be connected to`, {
    advice: "Connect to the port in the other socket's localAddress.",
  });
}

function writeOptions(
  words: Uint32Array,
  options: DatagramOptions,
  loop: LoopState,
  isIpv6: boolean,
): void {
  const least = 2 * loop.pool.bufferSize;
  const {
    highWaterMark = Math.max(defaultHighWaterMark, least),
    lingerTimeoutMs = defaultLingerTimeoutMs,
    receiveCredits = defaultReceiveCredits,
    gro = false,
    packetInfo = false,
    ecn = false,
    countDrops = false,
    gso = true,
  } = options;
  const mark = integerOption("highWaterMark", highWaterMark, least, maxHighWaterMark);
  words[Layout.high_water_mark] = mark;
  const linger = integerOption("lingerTimeoutMs", lingerTimeoutMs, 1, maxTimeoutMs);
  words[Layout.linger_timeout_ms] = linger;
  words[Layout.receive_credits] = integerOption("receiveCredits", receiveCredits, 1, 65_536);
  words[Layout.receive_segments] = Number(booleanOption("gro", gro));
  words[Layout.tell_local] = Number(booleanOption("packetInfo", packetInfo));
  words[Layout.tell_ecn] = Number(booleanOption("ecn", ecn));
  words[Layout.tell_drops] = Number(booleanOption("countDrops", countDrops));
  words[Layout.send_segments] = Number(booleanOption("gso", gso));
  if (gro && loop.pool.bufferSize < groBufferBytes) {
    throw new IoError("INVALID_OPTION", "option gro with smaller buffers would lose datagrams", {
      advice: `Open the loop with pool.bufferSize of at least ${groBufferBytes}.`,
    });
  }
  const settings = { ...(isIpv6 ? { ipv6Only: false } : {}), ...defined(options) };
  writeDatagramSettings(words, Layout.socket, settings);
}

/** Without what is there and undefined. */
function defined(options: DatagramOptions): DatagramOptions {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as DatagramOptions;
}

function bindError(
  loop: LoopState,
  status: number,
  attempt: string,
  local: ResolvedEndpoint | null,
): IoError {
  const option = loop.words[Header.error_option];
  if (option !== option_unset) {
    const name = settingName(option);
    const syscall = loop.words[Header.error_syscall];
    return errorOfStatus(status, `${attempt}: option ${name}`, syscall, {
      advice: `Leave ${name} out, or use a value that this system takes.`,
    });
  }
  if (status === Status.unsupported) {
    const name = wishes.get(loop.words[Header.result_bytes]);
    const what = name === undefined
      ? "datagrams do not go with shared buffers"
      : `this system has no option ${name}`;
    return new IoError("UNSUPPORTED", `${attempt}: ${what}`, {
      advice: name === undefined
        ? "Open the loop without ioUring.incrementalBuffers."
        : `Leave ${name} out.`,
    });
  }
  const syscall = loop.words[Header.error_syscall];
  const family = local?.family === AddressFamily.unix ? "unix" : "ip";
  const tried = syscall === Syscall.connect ? "connect" : "bind";
  const isPath = family === "unix" && tried === "bind";
  const advice = isPath ? pathAdvice(status) : deniedAdvice(status, tried, family);
  return errorOfStatus(status, attempt, syscall, advice);
}
