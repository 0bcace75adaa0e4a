/**
 * Options of the kernel's sockets: what they are called here, and their way to native code.
 *
 * What is asked for is set or refused, never left out in silence, unless `bestEffort` is set. What
 * nobody asked for is the default, and set only where sockets have it.
 *
 * @module
 */

import { option_unset, socket_option_count, SocketOption } from "./native/abi.ts";
import { booleanOption, integerOption, invalidOption } from "./options.ts";
import type { Transport } from "./socket_address.ts";

/** How a silent peer is looked for. What is left out is as the kernel has it. */
export interface KeepAliveOptions {
  /** Silence before the first probe, in seconds: 1 to 32,767 (`TCP_KEEPIDLE`). */
  idleSeconds?: number;
  /** Between two probes, in seconds: 1 to 32,767 (`TCP_KEEPINTVL`). */
  intervalSeconds?: number;
  /** Probes without an answer after which the connection ends: 1 to 127 (`TCP_KEEPCNT`). */
  count?: number;
}

/** Options of the socket under a connection. They can be changed while it is open. */
export interface StreamSocketOptions {
  /** Small messages leave at once (`TCP_NODELAY`). Default true over TCP. */
  noDelay?: boolean;
  /**
   * Segments that are not full wait for more, up to 200 ms on Linux (`TCP_CORK`, elsewhere
   * `TCP_NOPUSH`). Setting it to false sends what waits.
   */
  cork?: boolean;
  /**
   * What arrives is acknowledged at once (`TCP_QUICKACK`, Linux). The kernel takes it back by
   * itself.
   */
  quickAck?: boolean;
  /** Looks for peers that are gone: true with the kernel's times, or with these. */
  keepAlive?: boolean | KeepAliveOptions;
  /**
   * How long sent bytes may stay without an acknowledgement before the connection ends with
   * `ETIMEDOUT`, in milliseconds: 0 (the kernel's own limit) to 2,147,483,647
   * (`TCP_USER_TIMEOUT`, Linux).
   */
  userTimeoutMs?: number;
  /**
   * Bytes that the kernel holds to be sent: 1 to 1,073,741,824, within its limits (`SO_SNDBUF`).
   * Linux doubles it, and tells the double.
   */
  sendBufferBytes?: number;
  /**
   * Bytes that the kernel holds to be read: 1 to 1,073,741,824, within its limits (`SO_RCVBUF`).
   * Linux doubles it, and tells the double.
   */
  receiveBufferBytes?: number;
  /**
   * How long a call polls the network device, in microseconds: 0 to 1,000,000 (`SO_BUSY_POLL`,
   * Linux). Raising it needs `CAP_NET_ADMIN`.
   */
  busyPollUs?: number;
  /** The byte in the IP header: 0 to 255 (`IP_TOS`, `IPV6_TCLASS`). TCP keeps its two ECN bits. */
  typeOfService?: number;
  /**
   * For routing and firewalls: 0 to 4,294,967,294 (`SO_MARK`, Linux). Needs `CAP_NET_ADMIN` or
   * `CAP_NET_RAW`.
   */
  mark?: number;
  /** For the queues of the device: 0 to 15 (`SO_PRIORITY`, Linux). Above 6 `CAP_NET_ADMIN`. */
  priority?: number;
  /** Routers that a packet may pass: 1 to 255 (`IP_TTL`, `IPV6_UNICAST_HOPS`). */
  ttl?: number;
  /**
   * Does without socket options that this system or such a socket does not have, or that the
   * kernel refuses. Default false: each of these is an error.
   */
  bestEffort?: boolean;
}

/** Options of a connecting socket alone. */
export interface ConnectSocketOptions {
  /**
   * The first message goes with the request to connect, if the peer has allowed it before
   * (`TCP_FASTOPEN_CONNECT`, Linux). The connection may then be open before the peer knows of it:
   * send something. Default false.
   */
  fastOpen?: boolean;
}

/** Options of a listening socket alone. */
export interface ListenerSocketOptions {
  /** Lets a port be used again while connections of it linger (`SO_REUSEADDR`). Default true. */
  reuseAddress?: boolean;
  /** Lets several listeners share the port (`SO_REUSEPORT`). Default false. */
  reusePort?: boolean;
  /**
   * Keeps an IPv6 listener from accepting IPv4 (`IPV6_V6ONLY`). Default false, whatever the
   * system's default is.
   */
  ipv6Only?: boolean;
  /**
   * Connections that may come with their first message and wait to be completed: 0 (none) to
   * 65,535 (`TCP_FASTOPEN`, Linux). Default 0.
   */
  fastOpenBacklog?: number;
}

/** What can be read of an open connection or listener, by name. */
export interface SocketOptionValues {
  /** `TCP_NODELAY`. */
  noDelay: boolean;
  /** `TCP_CORK`, `TCP_NOPUSH`. */
  cork: boolean;
  /** `TCP_QUICKACK`. */
  quickAck: boolean;
  /** False when it is off. */
  keepAlive: false | Required<KeepAliveOptions>;
  /** `TCP_USER_TIMEOUT`. */
  userTimeoutMs: number;
  /** `SO_SNDBUF`; on Linux twice what was asked for. */
  sendBufferBytes: number;
  /** `SO_RCVBUF`; on Linux twice what was asked for. */
  receiveBufferBytes: number;
  /** `SO_BUSY_POLL`. */
  busyPollUs: number;
  /** `IP_TOS`, `IPV6_TCLASS`. */
  typeOfService: number;
  /** `SO_MARK`. */
  mark: number;
  /** `SO_PRIORITY`. */
  priority: number;
  /** `IP_TTL`, `IPV6_UNICAST_HOPS`. */
  ttl: number;
  /** `TCP_FASTOPEN_CONNECT` of a connection. */
  fastOpen: boolean;
  /** `TCP_FASTOPEN` of a listener. */
  fastOpenBacklog: number;
  /** `SO_REUSEADDR`. */
  reuseAddress: boolean;
  /** `SO_REUSEPORT`. */
  reusePort: boolean;
  /** `IPV6_V6ONLY`. */
  ipv6Only: boolean;
  /** How long it may be silent, in milliseconds; 0 for ever. */
  idleTimeoutMs: number;
}

/** The name of an option that can be read. */
export type SocketOptionName = keyof SocketOptionValues;

/** Where an option with one number is, and which numbers. */
interface Shape {
  readonly at: SocketOption;
  /** The largest number, or "boolean". */
  readonly most: number | "boolean";
  readonly least?: number;
}

/** Options that are one number or a switch, in the order in which they are set. */
const shapes = {
  noDelay: { at: SocketOption.no_delay, most: "boolean" },
  cork: { at: SocketOption.cork, most: "boolean" },
  quickAck: { at: SocketOption.quick_ack, most: "boolean" },
  userTimeoutMs: { at: SocketOption.user_timeout_ms, most: 2_147_483_647 },
  sendBufferBytes: { at: SocketOption.send_buffer, most: 2 ** 30, least: 1 },
  receiveBufferBytes: { at: SocketOption.receive_buffer, most: 2 ** 30, least: 1 },
  busyPollUs: { at: SocketOption.busy_poll_us, most: 1_000_000 },
  typeOfService: { at: SocketOption.type_of_service, most: 255 },
  mark: { at: SocketOption.mark, most: 4_294_967_294 },
  priority: { at: SocketOption.priority, most: 15 },
  ttl: { at: SocketOption.ttl, most: 255, least: 1 },
} as const satisfies Readonly<Record<string, Shape>>;

const listenerShapes = {
  reuseAddress: { at: SocketOption.reuse_address, most: "boolean" },
  reusePort: { at: SocketOption.reuse_port, most: "boolean" },
  ipv6Only: { at: SocketOption.ipv6_only, most: "boolean" },
  fastOpenBacklog: { at: SocketOption.fast_open, most: 65_535 },
} as const satisfies Readonly<Record<string, Shape>>;

const connectShapes = {
  fastOpen: { at: SocketOption.fast_open, most: "boolean" },
} as const satisfies Readonly<Record<string, Shape>>;

const allShapes: Readonly<Record<string, Shape>> = {
  ...shapes,
  ...listenerShapes,
  ...connectShapes,
};

const keepAliveWords = {
  idleSeconds: { at: SocketOption.keep_alive_idle_s, most: 32_767, least: 1 },
  intervalSeconds: { at: SocketOption.keep_alive_interval_s, most: 32_767, least: 1 },
  count: { at: SocketOption.keep_alive_count, most: 127, least: 1 },
} as const satisfies Readonly<Record<keyof KeepAliveOptions, Shape>>;

/** What the native option of this number is called here. */
export function socketOptionName(option: number): string {
  for (const [name, { at }] of Object.entries(allShapes)) {
    if (at === option) return name;
  }
  for (const [name, { at }] of Object.entries(keepAliveWords)) {
    if (at === option) return `keepAlive.${name}`;
  }
  return option === SocketOption.keep_alive ? "keepAlive" : `${option}`;
}

/** Writes the `SocketOptions` at word `at`: what is asked for, and nothing else. */
export function writeSocketOptions(
  words: Uint32Array,
  at: number,
  options: StreamSocketOptions,
): void {
  words.fill(option_unset, at, at + socket_option_count);
  writeShapes(words, at, options, shapes);
  if (options.keepAlive !== undefined) writeKeepAlive(words, at, options.keepAlive);
}

/** The same for a socket that is to connect to, or to listen on, an endpoint of `transport`. */
export function writeStreamSocketOptions(
  words: Uint32Array,
  at: number,
  options: StreamSocketOptions,
  transport: Transport,
): void {
  writeSocketOptions(words, at, options);
  const isDefault = options.noDelay === undefined && transport === "tcp";
  if (isDefault) words[at + SocketOption.no_delay] = 1;
}

/** Adds what only connecting sockets have. */
export function writeConnectSocketOptions(
  words: Uint32Array,
  at: number,
  options: ConnectSocketOptions,
): void {
  writeShapes(words, at, options, connectShapes);
}

/** Adds what only listeners have; `isIpv6` and `isTcp` of their endpoint. */
export function writeListenerOptions(
  words: Uint32Array,
  at: number,
  options: ListenerSocketOptions,
  { isTcp, isIpv6 }: { readonly isTcp: boolean; readonly isIpv6: boolean },
): void {
  if (isTcp) words[at + SocketOption.reuse_address] = 1;
  if (isIpv6) words[at + SocketOption.ipv6_only] = 0;
  writeShapes(words, at, options, listenerShapes);
  // False is what others are anyway.
  const isOff = options.ipv6Only === false || options.ipv6Only === undefined;
  if (!isIpv6 && isOff) words[at + SocketOption.ipv6_only] = option_unset;
}

function writeShapes(
  words: Uint32Array,
  at: number,
  options: object,
  known: Readonly<Record<string, Shape>>,
): void {
  for (const [name, { at: option, most, least = 0 }] of Object.entries(known)) {
    const value = (options as Readonly<Record<string, unknown>>)[name];
    if (value === undefined) continue;
    words[at + option] = most === "boolean"
      ? Number(booleanOption(name, value))
      : integerOption(name, value, least, most);
  }
}

function writeKeepAlive(words: Uint32Array, at: number, value: unknown): void {
  if (typeof value !== "boolean" && (typeof value !== "object" || value === null)) {
    throw invalidOption("keepAlive", value, "true, false or an object of its times");
  }
  words[at + SocketOption.keep_alive] = Number(value !== false);
  if (typeof value === "boolean") return;
  for (const [name, { at: option, most, least }] of Object.entries(keepAliveWords)) {
    const part = (value as Readonly<Record<string, unknown>>)[name];
    if (part === undefined) continue;
    words[at + option] = integerOption(`keepAlive.${name}`, part, least, most);
  }
}

/** Marks in the `SocketOptions` at word `at` what has to be read for the option `name`. */
export function askForOption(words: Uint32Array, at: number, name: string): void {
  words.fill(option_unset, at, at + socket_option_count);
  if (name === "keepAlive") {
    words[at + SocketOption.keep_alive] = 0;
    for (const { at: option } of Object.values(keepAliveWords)) words[at + option] = 0;
  } else if (Object.hasOwn(allShapes, name)) {
    words[at + allShapes[name].at] = 0;
  } else if (name !== "idleTimeoutMs") {
    throw invalidOption("name", name, "the name of an option", "required");
  }
}

/** What was read for `name`, or undefined where such a socket has no such option. */
export function answeredOption(
  words: Uint32Array,
  at: number,
  name: string,
): boolean | number | Required<KeepAliveOptions> | undefined {
  if (name === "keepAlive") return answeredKeepAlive(words, at);
  const { at: option, most } = allShapes[name];
  const value = words[at + option];
  if (value === option_unset) return undefined;
  return most === "boolean" ? value !== 0 : value;
}

function answeredKeepAlive(
  words: Uint32Array,
  at: number,
): false | Required<KeepAliveOptions> | undefined {
  const isOn = words[at + SocketOption.keep_alive];
  if (isOn === option_unset) return undefined;
  if (isOn === 0) return false;
  return {
    idleSeconds: words[at + SocketOption.keep_alive_idle_s],
    intervalSeconds: words[at + SocketOption.keep_alive_interval_s],
    count: words[at + SocketOption.keep_alive_count],
  };
}
