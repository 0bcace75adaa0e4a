/**
 * Connections: what the script sees of a stream.
 *
 * @module
 */

import type { ConnectionMessage } from "./connection_message.ts";
import type { DetachedSocket } from "./detach.ts";
import type { IoError } from "./io_error.ts";
import type { Lease } from "./lease.ts";
import type { Listener } from "./listener.ts";
import type { Segmenter } from "./segmenter.ts";
import type { SocketAddress } from "./socket_address.ts";
import type { ConnectionSettings, PeerCredentials } from "./socket_control.ts";
import type {
  ConnectSocketOptions,
  SocketOptionName,
  SocketOptionValues,
  StreamSocketOptions,
} from "./socket_options.ts";

/**
 * What became of a message.
 *
 * - `"sent"`: nothing was ahead of it; it goes to the kernel with this turn.
 * - `"queued"`: earlier bytes are still on their way; order is kept.
 * - `"full"`: nothing of it was taken. A `drain` follows.
 */
export type SendResult = "sent" | "queued" | "full";

/** Where a connection is in its life. It only moves forward. */
export type ConnectionState = "connecting" | "open" | "closing" | "closed";

/**
 * What happens on a connection. Handlers are called in a turn, one after the other; one that throws
 * ends its connection with `ABORTED`, of which the error is the cause, and makes `run()` reject or
 * `turn()` throw.
 */
export interface ConnectionHandlers {
  /** The connection is open: it was accepted, or its connect succeeded. */
  open?(conn: Connection): void;
  /** Bytes arrived. The lease ends when this returns, unless it was retained or sent. */
  data?(conn: Connection, lease: Lease): void;
  /**
   * Descriptors came with the bytes of the `data` that follows: each is the handler's to close, for
   * instance with `closeDescriptor`, or to adopt. Only with the option `descriptors`; without this
   * handler they are closed.
   */
  descriptors?(conn: Connection, descriptors: number[]): void;
  /**
   * A whole message arrived on a connection with a segmenter. Leases end when this returns, unless
   * they were retained or sent. `rest` has what follows `lease` where the segmenter is not
   * contiguous; `conn.send([lease, ...rest])` is the message.
   */
  message?(conn: Connection, lease: Lease, rest: readonly Lease[]): void;
  /**
   * The peer ended its direction; nothing more will arrive. Without this handler the connection
   * then closes by itself.
   */
  end?(conn: Connection): void;
  /** There is room again after `send` answered `"full"`. */
  drain?(conn: Connection): void;
  /**
   * The loop is being shut down: finish what is under way and close. Called once, also for a
   * connection that opens meanwhile, after its `open`. Without this handler the connection is
   * closed in order then, and what its peer still sends is discarded.
   */
  draining?(conn: Connection): void;
  /** The connection is gone; called exactly once. `error` is null after an orderly end. */
  close?(conn: Connection, error: IoError | null): void;
}

/** Options of a connection, however it comes about. */
export interface StreamOptions extends StreamSocketOptions {
  /**
   * Bytes that may wait to be sent before `send` answers `"full"`. At least two buffers of the
   * pool, at most 1 GiB. Default 262,144.
   *
   * What handlers send leaves at the end of their turn. A connection that others feed needs room
   * for what they are delivered in one turn, or is told `"full"` although its peer is fast.
   */
  highWaterMark?: number;
  /**
   * How long a closed connection waits for a peer that does nothing, in milliseconds: 1 to
   * 3,600,000. A peer that goes on taking what was sent is waited for; one that has taken nothing
   * for so long is reset; one that took everything and does not end is left. Default 2,000.
   */
  lingerTimeoutMs?: number;
  /**
   * How long no byte may move in either direction, in milliseconds: 1 to 3,600,000, or 0 for no
   * limit. The connection then ends with `IDLE_TIMEOUT` and a reset. Whose fault the silence is
   * does not matter: a connection that this side has paused ends as well. Default 0.
   */
  idleTimeoutMs?: number;
  /**
   * Receive buffers that the connection may hold: delivered and not released, held back, or sent
   * on and not taken by their receiver yet; 1 to 65,536. With none left its reading pauses, and
   * goes on when one comes back. The kernel may be ahead by a burst, which is held and not
   * delivered. While buffers are scarce a connection may hold fewer. Default 64.
   */
  receiveCredits?: number;
  /**
   * Unix sockets only: descriptors may be sent, and those that come are given to the handler
   * `descriptors`. A peer that sends more than 8 at once ends the connection with `EMSGSIZE`. Such
   * a connection has no segmenter, cannot be relayed, detached or handed off, and needs whole
   * receive buffers: with `incrementalBuffers` it is `UNSUPPORTED`. Default false.
   */
  descriptors?: boolean;
  /**
   * How bytes become messages, which `message` then gets instead of `data`. An end of the peer
   * inside of a message ends the connection with `TRUNCATED_MESSAGE`. Default none.
   */
  segmenter?: Segmenter;
}

/** Options of `conn.send`. */
export interface SendOptions {
  /**
   * Open descriptors of anything, 1 to 8, that the peer gets as its own. Only over Unix sockets
   * that were opened with the option `descriptors`.
   */
  descriptors?: readonly number[];
}

/** What can be sent: bytes in a leased buffer, bytes that are copied, text as UTF-8. */
export type Sendable = Lease | Uint8Array | string;

/** Options of `loop.connect`. */
export interface ConnectOptions extends StreamOptions, ConnectSocketOptions {
  /**
   * How long to wait for the peer's answer, in milliseconds: 1 to 3,600,000, or 0 for the kernel's
   * own limit of about two minutes. Default 10,000.
   */
  timeoutMs?: number;
  /** Of a name's addresses those of one family only. By default both, IPv6 first. */
  family?: "ipv4" | "ipv6";
  /**
   * How long to wait for the addresses of a name, in milliseconds: 1 to 3,600,000; `timeoutMs`
   * covers that as well. Default 5,000.
   */
  resolveTimeoutMs?: number;
  /**
   * How long one address of a name is given to answer before the next is tried beside it, in
   * milliseconds: 10 to 2,000. When one has failed the next is tried at once. Default 250.
   */
  attemptDelayMs?: number;
  /** Aborts the connection while it is connecting; its `close` then gets `ABORTED`. */
  signal?: AbortSignal;
}

/**
 * A stream of bytes to a peer.
 *
 * @example Echo, without a copy
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * loop.listen("tcp://127.0.0.1:0", {
 *   data(conn, lease) {
 *     conn.send(lease);
 *   },
 * });
 * loop.close();
 * ```
 */
export interface Connection extends Disposable {
  /** Where the connection is in its life. */
  readonly state: ConnectionState;
  /**
   * This side's address, read from the kernel once.
   *
   * @throws {IoError} `STALE_HANDLE` when it was not read before the connection closed, `ENOTCONN`
   *   while it connects to a name.
   */
  readonly localAddress: SocketAddress;
  /**
   * The peer's address, read from the kernel once.
   *
   * @throws {IoError} `STALE_HANDLE` when it was not read before the connection closed, `ENOTCONN`
   *   while it connects to a name.
   */
  readonly remoteAddress: SocketAddress;
  /**
   * Who the peer of a Unix connection was when it connected or listened, asked of the kernel.
   *
   * @throws {IoError} `UNSUPPORTED` over other transports, `STALE_HANDLE` when closed.
   */
  readonly peerCredentials: PeerCredentials;
  /** The listener that accepted it, or null for any other. */
  readonly listener: Listener | null;
  /** Bytes that wait to be sent. */
  readonly queuedBytes: number;
  /** Bytes that may wait before `send` answers `"full"`. */
  readonly highWaterMark: number;
  /** True between `pause()` and `resume()`. */
  readonly paused: boolean;
  /** The application's own state; undefined at first. */
  context: unknown;
  /**
   * Sends a message whole, or none of it. A list of at most 1,024 parts is one message, in order.
   *
   * A lease moves with `"sent"` and `"queued"` (one of its references, if it has several) and stays
   * with the caller after `"full"`. Bytes and strings (as UTF-8) are copied once, into buffers of
   * the pool. While nothing waits, any message that the pool can hold is taken, also one above the
   * mark. While connecting, messages are queued.
   *
   * Descriptors go with the first byte. They are duplicated at once, so that the caller may close
   * its own when this returns.
   *
   * @param data What to send.
   * @param options What goes with it.
   * @throws {IoError} `UNSUPPORTED` for descriptors unless the connection was opened for them,
   *   `EBADF`, `EXHAUSTED` while 256 messages with descriptors wait in the loop.
   * @throws {IoError} `STALE_HANDLE` when closing or closed, `EPIPE` after `shutdown()`,
   *   `BUSY` when a relay has it, `STALE_LEASE`, `WRONG_LOOP`, `MESSAGE_TOO_LARGE` when it can
   *   never fit, `INVALID_ARGUMENT` for anything that cannot be sent. Nothing of a list is taken
   *   then.
   */
  send(data: Sendable | readonly Sendable[], options?: SendOptions): SendResult;
  /**
   * Stops delivery from the next turn on; the kernel's buffers then hold the peer back. What this
   * turn has already received may still be delivered.
   *
   * @throws {IoError} `STALE_HANDLE` when closed, `BUSY` when a relay has it.
   */
  pause(): void;
  /**
   * Delivers again.
   *
   * @throws {IoError} `STALE_HANDLE` when closed, `BUSY` when a relay has it.
   */
  resume(): void;
  /**
   * Makes messages of what arrives from now on, or with null none: `data` gets it as it comes. What
   * the handlers have not seen yet is segmented anew, so that a `message` handler can set another
   * segmenter for all that follows its message.
   *
   * @throws {IoError} `STALE_HANDLE` when closing or closed, `INVALID_OPTION`, `INVALID_ARGUMENT`
   *   without a `message` handler, `BUSY` when a relay has it, `UNSUPPORTED` for one that takes
   *   descriptors.
   */
  setSegmenter(segmenter: Segmenter | null): void;
  /**
   * Ends this side's direction once everything queued is sent; data still arrives.
   *
   * @throws {IoError} `STALE_HANDLE` when closing or closed, `BUSY` when a relay has it.
   */
  shutdown(): void;
  /**
   * Closes in order: sends what is queued, ends this direction, and waits for the peer's end.
   * `lingerTimeoutMs` limits the wait for a peer that does nothing; one with bytes still to take
   * is then reset, with `ETIMEDOUT`. No data is delivered any more. Does nothing when closing or
   * closed.
   */
  close(): void;
  /**
   * Drops what is queued and resets; `close` gets `ABORTED`. Does nothing when closed. Unix sockets
   * know no reset: their peer gets `ECONNRESET` if something it sent was not read, else an end.
   */
  abort(): void;
  /**
   * Takes the connection out of the loop: it is not read any more, what is queued is sent, and then
   * its descriptor is the caller's, with everything that had arrived and was not delivered. No
   * handler is called meanwhile; `close` follows `detached`, without an error. A peer that takes
   * nothing holds it up; `abort()` ends that. If the loop is closed before, `detached` is not
   * called.
   *
   * @param detached Called in a later turn.
   * @throws {IoError} `STALE_HANDLE` when closing, closed or leaving already, `BUSY` while
   *   connecting or when a relay has it, `INVALID_ARGUMENT`, `UNSUPPORTED` for one within the
   *   process, one that has or had a segmenter, or one that takes descriptors.
   */
  detach(detached: (socket: DetachedSocket) => void): void;
  /**
   * Hands the connection to another loop of the process, on this thread or in a Worker: post the
   * message there and pass it to `loop.receive`. It goes on where it was: what had arrived and was
   * not delivered is delivered there, without a copy. What is queued is sent here first, as with
   * `detach`.
   *
   * @param handedOff Called in a later turn; `close` follows, without an error.
   * @throws {IoError} As `detach` does. Where 4,096 connections of the process are in transit,
   *   `close` gets `ABORTED` with `EXHAUSTED` as its cause.
   *
   * @example One loop accepts, another one serves
   * ```ts
   * import { Loop } from "@twinpoll/twinpoll";
   *
   * const door = new Loop();
   * const room = new Loop(); // in a Worker, most likely
   * const listener = door.listen("tcp://127.0.0.1:0", {
   *   open(conn) {
   *     conn.handOff((message) => {
   *       room.receive(message, { data: (conn, lease) => void conn.send(lease) });
   *     });
   *   },
   * });
   * const client = door.connect(listener.address, {
   *   open: (conn) => void conn.send("hello"),
   *   data(conn, lease) {
   *     console.log(new TextDecoder().decode(lease.bytes)); // hello
   *     conn.close();
   *   },
   * });
   * for (let turn = 0; turn < 1000 && client.state !== "closed"; turn++) {
   *   door.turn(1000);
   *   room.turn(1000);
   * }
   * door.close();
   * room.close();
   * ```
   */
  handOff(handedOff: (message: ConnectionMessage) => void): void;
  /**
   * Changes options of the open connection; what is left out stays.
   *
   * @throws {IoError} `INVALID_OPTION`, `UNSUPPORTED` for what the system or such a socket does not
   *   have, `STALE_HANDLE` when closed, `ENOTCONN` while it connects to a name, or what the kernel
   *   says, such as `EPERM`. The message names the option; options named before it in
   *   {@linkcode StreamSocketOptions} are set.
   */
  setOptions(options: ConnectionSettings): void;
  /**
   * Reads an option from the kernel.
   *
   * @throws {IoError} `INVALID_OPTION` for what is no option, `UNSUPPORTED` for what such a socket
   *   does not have, `STALE_HANDLE` when closed, `ENOTCONN` while it connects to a name.
   */
  getOption<Name extends SocketOptionName>(name: Name): SocketOptionValues[Name];
  /** Lets the connection keep the loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop end although the connection is open. */
  unref(): void;
  /** Same as `close()`. */
  [Symbol.dispose](): void;
}
