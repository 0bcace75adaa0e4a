/**
 * Datagram sockets: what a program sees of them, and what it opens them with.
 *
 * @module
 */

import type { Sendable, SendResult } from "./connection.ts";
import type { DatagramSource } from "./datagram_source.ts";
import type { Endpoint } from "./endpoint.ts";
import type { IoError } from "./io_error.ts";
import type { Lease } from "./lease.ts";
import type { SocketAddress } from "./socket_address.ts";

/** Where a datagram socket is in its life. It only moves forward. */
export type DatagramSocketState = "open" | "closing" | "closed";

/**
 * What happens on a datagram socket. Handlers are called in a turn, one after the other; one that
 * throws ends its socket with `ABORTED`, of which the error is the cause, and makes `run()` reject
 * or `turn()` throw.
 */
export interface DatagramHandlers {
  /**
   * A datagram arrived. The lease ends when this returns, unless it was retained or sent, and so
   * does `source`, which is the same object each time: keep `source.address` to answer later.
   */
  message?(socket: DatagramSocket, lease: Lease, source: DatagramSource): void;
  /** There is room again after `send` answered `"full"`. */
  drain?(socket: DatagramSocket): void;
  /**
   * The kernel refused a datagram (`EMSGSIZE`, `ENETUNREACH`, …), or tells that an earlier one was
   * refused by its receiver (`ECONNREFUSED`, of a connected socket). The socket goes on. What is
   * said several times in a row within a turn is told once.
   */
  error?(socket: DatagramSocket, error: IoError): void;
  /** The socket is gone; called exactly once. `error` is null after `close()`. */
  close?(socket: DatagramSocket, error: IoError | null): void;
}

/** Options of the kernel's socket that can be changed while it is open. */
export interface DatagramSettings {
  /** Lets datagrams go to broadcast addresses (`SO_BROADCAST`). Default false. */
  broadcast?: boolean;
  /**
   * Bytes that the kernel holds to be sent: 1 to 1,073,741,824, within its limits (`SO_SNDBUF`).
   */
  sendBufferBytes?: number;
  /**
   * Bytes that the kernel holds to be received: 1 to 1,073,741,824, within its limits
   * (`SO_RCVBUF`). What comes when they are full is lost.
   */
  receiveBufferBytes?: number;
  /**
   * The byte in the IP header: 0 to 255 (`IP_TOS`, `IPV6_TCLASS`). The lower two bits are ECN: 1 or
   * 2 for a transport that reacts to it.
   */
  typeOfService?: number;
  /** Hops of a datagram to one receiver: 1 to 255 (`IP_TTL`, `IPV6_UNICAST_HOPS`). */
  ttl?: number;
  /** Hops of a datagram to a group: 0 to 255. Default 1. */
  multicastTtl?: number;
  /** Whether what is sent to a group comes back to receivers on this machine. Default true. */
  multicastLoop?: boolean;
  /** Index of the interface by which datagrams to groups leave, 0 for the routing table's. */
  multicastInterface?: number;
  /** How long a call polls the network device, in microseconds: 0 to 1,000,000 (`SO_BUSY_POLL`). */
  busyPollUs?: number;
  /** For routing and firewalls: 0 to 4,294,967,294 (`SO_MARK`). Needs `CAP_NET_ADMIN`. */
  mark?: number;
  /** For the queues of the device: 0 to 15 (`SO_PRIORITY`). */
  priority?: number;
}

/** The name of an option that can be read. */
export type DatagramOptionName = keyof DatagramSettings | "reuseAddress" | "reusePort" | "ipv6Only";

/** Options of `loop.bind`. */
export interface DatagramOptions extends DatagramSettings {
  /**
   * Connects the socket: it receives from there only, sends there, and is told of what the network
   * refuses.
   */
  remote?: string | Endpoint;
  /**
   * Bytes that may wait to be sent before `send` answers `"full"`. At least two buffers of the
   * pool, at most 1 GiB. Default 262,144.
   */
  highWaterMark?: number;
  /**
   * How long a closed socket goes on sending what is queued, in milliseconds: 1 to 3,600,000.
   * Default 2,000.
   */
  lingerTimeoutMs?: number;
  /**
   * Receive buffers that the socket may hold, and so datagrams that a turn delivers at most: 1 to
   * 65,536. As many again may be held back; then the kernel keeps what it has room for and drops
   * the rest. While buffers are scarce a socket may hold fewer. Default 256.
   */
  receiveCredits?: number;
  /** Lets several sockets have the address, as receivers of a group do (`SO_REUSEADDR`). */
  reuseAddress?: boolean;
  /** Lets several sockets share what comes to the port (`SO_REUSEPORT`). Default false. */
  reusePort?: boolean;
  /** Keeps an IPv6 socket from IPv4 (`IPV6_V6ONLY`). Default false. */
  ipv6Only?: boolean;
  /**
   * Lets the kernel join datagrams of one size from one sender to one (`UDP_GRO`, Linux 5.0):
   * `source.segmentSize` then tells the size. Needs `pool.bufferSize` of 131,072 bytes. Default
   * false.
   */
  gro?: boolean;
  /** Tells `source.localAddress` and `source.interface` (Linux). Default false. */
  packetInfo?: boolean;
  /** Tells `source.ecn` (Linux). Default false. */
  ecn?: boolean;
  /**
   * Counts what the kernel has no room for in `loop.stats().datagramsDropped` (`SO_RXQ_OVFL`,
   * Linux); it tells with the next datagram. Costs some percent. Default false.
   */
  countDrops?: boolean;
  /**
   * Gives neighbouring datagrams of one size to one receiver to the kernel as one (`UDP_SEGMENT`,
   * Linux 4.18), which spares most of their cost. They are datagrams all the same. Where the way
   * does not allow it, each goes by itself. Default true.
   */
  gso?: boolean;
}

/** Options of one `send`. */
export interface DatagramSendOptions {
  /**
   * Cuts the bytes into datagrams of so many bytes, 1 to 65,535, the last one of what is left
   * (`UDP_SEGMENT`). Only for `udp:`.
   */
  segmentSize?: number;
}

/** A group to join or to leave. */
export interface GroupOptions {
  /**
   * Index of the interface. Default the scope of the group's address (`ff02::1%2`), or 0 for what
   * the routing table says.
   */
  interface?: number;
  /** Only what this sender sends, an IP address. */
  source?: string;
}

/**
 * A socket for messages that are kept apart, of which each may be lost, or for `unix+datagram:`
 * none.
 *
 * @example Echo, without a copy and without looking at addresses
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * const socket = loop.bind("udp://127.0.0.1:0", {
 *   message(socket, lease, source) {
 *     socket.send(lease, source);
 *   },
 * });
 * console.log(socket.localAddress.port);
 * loop.close();
 * ```
 */
export interface DatagramSocket extends Disposable {
  /** Where the socket is in its life. */
  readonly state: DatagramSocketState;
  /**
   * The bound address, with the port that was chosen; of a Unix socket without a name an empty
   * path.
   */
  readonly localAddress: SocketAddress;
  /** The only peer of a connected socket, else null. */
  readonly remoteAddress: SocketAddress | null;
  /** Bytes that wait to be sent. */
  readonly queuedBytes: number;
  /** Bytes that may wait before `send` answers `"full"`. */
  readonly highWaterMark: number;
  /** True between `pause()` and `resume()`. */
  readonly paused: boolean;
  /** The application's own state; undefined at first. */
  context: unknown;
  /**
   * Sends a datagram, or takes nothing of it. A list of parts is one datagram. Order is kept, also
   * between receivers: one that has no room (`unix+datagram:`) keeps those after it waiting.
   *
   * A lease moves with `"sent"` and `"queued"` (one of its references, if it has several) and stays
   * with the caller after `"full"`; in a list it is copied. Bytes and strings (as UTF-8) are copied
   * once.
   *
   * @param data The datagram; it may be empty.
   * @param to The receiver, unless the socket is connected: a datagram's source while its handler
   *   runs, an address, or an endpoint such as `udp://127.0.0.1:53`.
   * @param options How it is sent.
   * @throws {IoError} `STALE_HANDLE` when closing or closed, or for a source whose handler has
   *   returned; `MESSAGE_TOO_LARGE`, `INVALID_ARGUMENT`, `INVALID_ENDPOINT`, `UNKNOWN_SCHEME`,
   *   `INVALID_OPTION`, `STALE_LEASE`, `WRONG_LOOP`. Nothing is taken then.
   */
  send(
    data: Sendable | readonly Sendable[],
    to?: DatagramSource | SocketAddress | Endpoint | string,
    options?: DatagramSendOptions,
  ): SendResult;
  /**
   * Stops delivery from the next turn on. The kernel then keeps what it has room for, and drops
   * what comes beyond that.
   *
   * @throws {IoError} `STALE_HANDLE` when closed.
   */
  pause(): void;
  /**
   * Delivers again.
   *
   * @throws {IoError} `STALE_HANDLE` when closed.
   */
  resume(): void;
  /**
   * Receives what is sent to a group.
   *
   * @param group Its address, such as `239.1.2.3` or `ff02::1234`.
   * @param options Where, and from whom.
   * @throws {IoError} `STALE_HANDLE`, `INVALID_ARGUMENT`, `UNSUPPORTED` for a Unix socket, or what
   *   the system says: `EADDRINUSE` when it is joined already, `ENODEV`.
   */
  joinGroup(group: string, options?: GroupOptions): void;
  /**
   * Ends what `joinGroup` began with the same arguments.
   *
   * @throws {IoError} As `joinGroup`; `EADDRNOTAVAIL` when it was not joined.
   */
  leaveGroup(group: string, options?: GroupOptions): void;
  /**
   * Changes options of the kernel's socket.
   *
   * @throws {IoError} `STALE_HANDLE`, `INVALID_OPTION`, `UNSUPPORTED` for one that such a socket
   *   does not have, or what the system says. Those before it are changed then.
   */
  setOptions(settings: DatagramSettings): void;
  /**
   * Reads an option back from the kernel; switches are 0 or 1. Linux tells twice the bytes of
   * buffers that were asked for.
   *
   * @throws {IoError} `STALE_HANDLE`, `INVALID_OPTION`, `UNSUPPORTED`.
   */
  getOption(name: DatagramOptionName): number;
  /**
   * Closes once everything queued is sent, within `lingerTimeoutMs`: later `close` gets
   * `ETIMEDOUT`. Nothing is delivered any more. Does nothing when closing or closed.
   */
  close(): void;
  /** Drops what is queued and closes; `close` gets `ABORTED`. Does nothing when closed. */
  abort(): void;
  /** Lets the socket keep the loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop end although the socket is open. */
  unref(): void;
  /** Same as `close()`. */
  [Symbol.dispose](): void;
}
