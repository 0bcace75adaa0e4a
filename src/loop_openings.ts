/**
 * What can be opened on a loop: listeners, connections, sockets, relays, watches, doorbells.
 *
 * @module
 */

import { adopt, receive } from "./adopt.ts";
import { bind } from "./bind.ts";
import { connect } from "./connect.ts";
import type {
  Connection,
  ConnectionHandlers,
  ConnectOptions,
  StreamOptions,
} from "./connection.ts";
import type { ConnectionMessage } from "./connection_message.ts";
import type { DatagramHandlers, DatagramOptions, DatagramSocket } from "./datagram_socket.ts";
import type { DescriptorEndpoint } from "./descriptor_endpoint.ts";
import { type Doorbell, type DoorbellHandler, makeDoorbell } from "./doorbell.ts";
import type { Endpoint } from "./endpoint.ts";
import { listen } from "./listen.ts";
import type { Listener, ListenerHandlers, ListenOptions } from "./listener.ts";
import { type Relay, relay, type RelayOptions } from "./relay.ts";
import {
  type Lookup,
  promiseLookup,
  type ResolvedAddress,
  type ResolveHandler,
  type ResolveOptions,
  startLookup,
} from "./resolve.ts";
import { stateOf } from "./state_of.ts";
import { type Watch, watch, type WatchHandler, type WatchOptions } from "./watch.ts";

/** The half of a `Loop` that opens things; the other half drives them. */
export abstract class LoopOpenings {
  /**
   * Listens.
   *
   * @param endpoint Where, such as `tcp://127.0.0.1:7000`, where port 0 takes a free one,
   *   `unix:/run/a.sock` or `inproc://name`. `fd:3` or `{ descriptor: 3 }` is a stream socket that
   *   listens already, the loop's from then on.
   * @param handlers What to call for the connections that are accepted.
   * @param options Of the listener and its connections.
   * @throws {IoError} `INVALID_ENDPOINT`, `UNKNOWN_SCHEME`, `INVALID_ARGUMENT`, `INVALID_OPTION`,
   *   `EXHAUSTED`, `LOOP_CLOSED`, or what the system says, such as `EADDRINUSE` or `EACCES`. For a
   *   descriptor:
   *   `EBADF`, `ENOTSOCK`, `EPROTOTYPE`, `EINVAL` when it does not listen, `EEXIST` when it is the
   *   loop's already.
   */
  listen(
    endpoint: string | Endpoint | DescriptorEndpoint,
    handlers: ListenerHandlers,
    options: ListenOptions = {},
  ): Listener {
    return listen(stateOf(this), endpoint, handlers, options);
  }

  /**
   * Starts to connect. Success is reported to `open`, failure to `close`.
   *
   * A name's addresses are tried one after the other, the next one when one has failed or has not
   * answered for `attemptDelayMs`; the first that answers has it. When none does the error is the
   * first one's, and its `cause` has them all.
   *
   * @param endpoint The peer, such as `tcp://[::1]:7000`, `tcp://example.com:80`,
   *   `unix:/run/a.sock` or `inproc://name`.
   * @param handlers What to call.
   * @param options Of the connection.
   * @throws {IoError} `INVALID_ENDPOINT`, `UNKNOWN_SCHEME`, `INVALID_ARGUMENT`, `INVALID_OPTION`,
   *   `EXHAUSTED`, `LOOP_CLOSED`, or what the system says at once.
   */
  connect(
    endpoint: string | Endpoint,
    handlers: ConnectionHandlers,
    options: ConnectOptions = {},
  ): Connection {
    return connect(stateOf(this), endpoint, handlers, options);
  }

  /**
   * Looks a name up, without holding the loop up: in `/etc/hosts`, then with the name servers of
   * `/etc/resolv.conf`. An address is its own answer, and `localhost` is both loopback addresses.
   * Nothing is remembered.
   *
   * @param name A host name, a short one is completed with the search list, or an address.
   * @param handler Called once with the addresses, in the order in which to try them, or an error:
   *   `NAME_NOT_FOUND`, `RESOLVE_FAILED`, `RESOLVE_TIMEOUT`, `ABORTED`, `LOOP_CLOSED`.
   * @param options How long to wait and for what.
   * @throws {IoError} `INVALID_NAME`, `INVALID_OPTION`, `INVALID_ARGUMENT`, `EXHAUSTED` (2,048
   *   lookups per process), `NO_THREADS`, `LOOP_CLOSED`.
   *
   * @example
   * ```ts
   * import { Loop } from "@twinpoll/twinpoll";
   *
   * const loop = new Loop();
   * loop.resolve("localhost", (error, addresses) => {
   *   console.log(error ?? addresses.map(({ host }) => host)); // [ "::1", "127.0.0.1" ]
   * });
   * await loop.run();
   * loop.close();
   * ```
   */
  resolve(name: string, handler: ResolveHandler, options?: ResolveOptions): Lookup;
  /**
   * The same as a promise, for loops that are driven by `run()` or `attach()`.
   *
   * @param name As above.
   * @param options As above.
   * @returns The addresses; rejects with the errors of both ways.
   */
  resolve(name: string, options?: ResolveOptions): Promise<readonly ResolvedAddress[]>;
  resolve(
    name: string,
    handler: ResolveHandler | ResolveOptions = {},
    options: ResolveOptions = {},
  ): Lookup | Promise<readonly ResolvedAddress[]> {
    if (typeof handler === "function") return startLookup(stateOf(this), name, handler, options);
    return promiseLookup(stateOf(this), name, handler);
  }

  /**
   * Joins two connections: what arrives on one is sent on the other, and the other way round, by
   * native code alone. What the script has queued before goes first; what was held back because of
   * a pause is carried, too. Each direction ends at the other side after its last byte. An error or
   * reset of one side resets the other, once its peer has taken what arrived before.
   *
   * A connection that has read messages is given `setSegmenter(null)` before; what came behind the
   * last message is carried. At `loop.shutdown` a relay goes on only while both connections have a
   * `draining` handler; without one of them both are closed in order.
   *
   * From then on the connections are the relay's: sending, pausing and `shutdown()` throw, their
   * `data`, `end` and `drain` handlers are not called any more, `close()` closes both, and so does
   * a failure to connect of one that was still connecting. Each still gets its `open` and `close`.
   *
   * @param first One that is open or connecting.
   * @param second Another one of the same loop.
   * @param options Time limits, how much may wait, and what to call at the end.
   * @throws {IoError} `BUSY` when one is relayed already, `STALE_HANDLE` when closing or closed,
   *   `EPIPE` after its `shutdown()`, `WRONG_LOOP`, `INVALID_ARGUMENT`, `INVALID_OPTION`,
   *   `LOOP_CLOSED`.
   */
  relay(first: Connection, second: Connection, options: RelayOptions = {}): Relay {
    return relay(stateOf(this), first, second, options);
  }

  /**
   * Takes over a connected stream socket, TCP or Unix, from elsewhere. `open` follows in the next
   * turn; what is sent before is taken. From then on the descriptor is the loop's, which closes it.
   *
   * @param descriptor Its number.
   * @param handlers What to call.
   * @param options Of the connection.
   * @throws {IoError} `EBADF` unless it is open, `ENOTSOCK`, `EPROTOTYPE` for a datagram socket,
   *   `ENOTCONN`, `EINVAL` for one that listens, `EAFNOSUPPORT`, `EEXIST` when it is this loop's
   *   already, `DESCRIPTOR_LIMIT` with `select`, `INVALID_OPTION`, `INVALID_ARGUMENT`, `EXHAUSTED`,
   *   `LOOP_CLOSED`. The descriptor is the caller's then.
   */
  adopt(
    descriptor: number,
    handlers: ConnectionHandlers,
    options: StreamOptions = {},
  ): Connection {
    return adopt(stateOf(this), descriptor, handlers, options);
  }

  /**
   * Takes over a connection that another loop of this process handed off. `open` follows in the
   * next turn, and then what was received before.
   *
   * @param message What `conn.handOff` gave.
   * @param handlers What to call.
   * @param options Of the connection; by default those that it had.
   * @throws {IoError} `INVALID_ARGUMENT` for anything else than a message, `STALE_HANDLE` when it
   *   was received already or its sender's loop is closed, `DESCRIPTOR_LIMIT` with `select`,
   *   `INVALID_OPTION`, `EXHAUSTED`, `LOOP_CLOSED`. After the last four it can still be received.
   */
  receive(
    message: ConnectionMessage,
    handlers: ConnectionHandlers,
    options?: StreamOptions,
  ): Connection {
    return receive(stateOf(this), message, handlers, options);
  }

  /**
   * Opens a datagram socket.
   *
   * @param endpoint Its own address, such as `udp://0.0.0.0:0` for any free port, `udp://[::]:7000`
   *   for IPv6 and IPv4, or `unix+datagram:/run/a.sock`, where a socket that nobody has any more is
   *   removed; `unix+datagram:` has none.
   * @param handlers What to call.
   * @param options Of the socket; `remote` connects it.
   * @throws {IoError} `INVALID_ENDPOINT`, `UNKNOWN_SCHEME`, `INVALID_ARGUMENT`, `INVALID_OPTION`,
   *   `EXHAUSTED`, `UNSUPPORTED` for an option that this system does not have, or with shared
   *   receive buffers, `LOOP_CLOSED`, or what the system says, such as `EADDRINUSE`.
   */
  bind(
    endpoint: string | Endpoint,
    handlers: DatagramHandlers,
    options: DatagramOptions = {},
  ): DatagramSocket {
    return bind(stateOf(this), endpoint, handlers, options);
  }

  /**
   * Watches a descriptor of the application for readiness, without reading, writing or closing it.
   *
   * @param fd An open descriptor of anything that can be waited for: a socket, a pipe, a terminal,
   *   an eventfd, a timerfd.
   * @param options What to watch for; by default that it can be read.
   * @param handler Called in each turn that finds it ready.
   * @throws {IoError} `EBADF`, `EEXIST` when this loop watches it already, `EPERM` for a regular
   *   file or a folder, `EXHAUSTED`, `DESCRIPTOR_LIMIT` from descriptor 1,048,576 on,
   *   with `select` from 1,024 on, `UNSUPPORTED` for edges with `select`, `INVALID_ARGUMENT`,
   *   `INVALID_OPTION`, `LOOP_CLOSED`.
   *
   * @example Standard input, without the runtime's streams
   * ```ts no-run
   * import { readSync } from "node:fs";
   * import { Loop, Ready } from "@twinpoll/twinpoll";
   *
   * const loop = new Loop();
   * const bytes = new Uint8Array(65_536);
   * loop.watch(0, { readable: true }, (watch, ready) => {
   *   const count = ready & Ready.readable ? readSync(0, bytes) : 0;
   *   console.log(`${count} bytes`);
   *   if (count === 0) watch.remove();
   * });
   * await loop.run();
   * loop.close();
   * ```
   */
  watch(fd: number, options: WatchOptions, handler: WatchHandler): Watch {
    return watch(stateOf(this), fd, options, handler);
  }

  /**
   * Makes a doorbell that any thread of the process can ring, with its message and `ring`.
   *
   * @param handler Called in the turn after it was rung, once for all rings that came together.
   * @throws {IoError} `INVALID_ARGUMENT`, `EXHAUSTED` (1,024 per loop, 4,096 per process),
   *   `DESCRIPTOR_LIMIT` with `select`, `LOOP_CLOSED`.
   */
  doorbell(handler: DoorbellHandler): Doorbell {
    return makeDoorbell(stateOf(this), handler);
  }
}
