/**
 * Listeners: where connections are accepted.
 *
 * @module
 */

import type { ConnectionHandlers, StreamOptions } from "./connection.ts";
import { errorOfStatus, IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import { Header, listener_flag_drain, Operation, SocketKind, Status } from "./native/abi.ts";
import { booleanOption, checkOptions } from "./options.ts";
import type { CheckedSegmenter } from "./segmenter.ts";
import { formatAddress, type SocketAddress } from "./socket_address.ts";
import { type ConnectionSettings, getOption, setOptions } from "./socket_control.ts";
import type {
  ListenerSocketOptions,
  SocketOptionName,
  SocketOptionValues,
} from "./socket_options.ts";

/** What happens on a listener and on the connections that it accepts. */
export interface ListenerHandlers extends ConnectionHandlers {
  /**
   * Accepting fails for now, for instance with `EMFILE`. The listener tries again by itself, also
   * while it drains.
   */
  error?(listener: Listener, error: IoError): void;
}

/** Options of `loop.listen`. The stream options go to each accepted connection. */
export interface ListenOptions extends StreamOptions, ListenerSocketOptions {
  /**
   * Connections that may wait to be accepted: 1 to 65,535, capped by the kernel's
   * `net.core.somaxconn`. Default 4,096.
   */
  backlog?: number;
  /**
   * Unix paths: removes a socket that is at the path and on which nobody listens any more. One that
   * is alive, and anything that is no socket, is `EADDRINUSE`. Default true.
   */
  unlinkStale?: boolean;
  /**
   * Unix paths: the permissions of the file, such as `0o600`: 0 to `0o777`. Nobody can connect
   * before the file has them. Default: what the process's umask leaves.
   */
  mode?: number;
}

/** Options of `listener.close`. */
export interface ListenerCloseOptions {
  /**
   * Loses no connection: those that wait in the backlog are accepted and opened first, in the next
   * turns, as long as the loop has room for connections. When the process is out of descriptors it
   * waits for some, until `close()` ends that. Where others have descriptors of the same socket
   * that is theirs to do. `closed` is true at once. Default false.
   */
  drain?: boolean;
}

/**
 * An endpoint that accepts connections.
 *
 * @example A free port
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * const listener = loop.listen("tcp://127.0.0.1:0", {});
 * console.log(listener.endpoint); // tcp://127.0.0.1:41231
 * loop.close();
 * ```
 */
export interface Listener extends Disposable {
  /** The bound address, with the port that was chosen. */
  readonly address: SocketAddress;
  /** The bound address as an endpoint, such as `tcp://127.0.0.1:41231`. */
  readonly endpoint: string;
  /** True once `close()` was called or the loop closed. */
  readonly closed: boolean;
  /**
   * Changes options of the listener, and of the connections that it accepts from now on.
   *
   * @throws {IoError} As `setOptions` of a connection.
   */
  setOptions(options: ConnectionSettings): void;
  /**
   * Reads an option from the kernel.
   *
   * @throws {IoError} As `getOption` of a connection.
   */
  getOption<Name extends SocketOptionName>(name: Name): SocketOptionValues[Name];
  /**
   * Stops accepting; open connections stay. The port is free when this returns, unless the listener
   * drains, or others have descriptors of the same socket: then only this one is closed. What waits
   * to be accepted is reset, unless it drains. A name of Linux is free after the next turn. The
   * file of a Unix path is removed with the port, if it is still the one that was made. Once closed
   * it does nothing, but for ending a drain.
   *
   * @param options How.
   * @throws {IoError} `INVALID_OPTION`.
   */
  close(options?: ListenerCloseOptions): void;
  /**
   * Another descriptor of the same listening socket, for another process or another loop: it can be
   * sent over a Unix socket, or left to a process that is started. From then on closing this
   * listener does not end the others, and what waits to be accepted stays for them.
   *
   * @returns The caller's, to be closed with `closeDescriptor`.
   * @throws {IoError} `STALE_HANDLE` when closed, `EMFILE`, `UNSUPPORTED` within the process.
   */
  share(): number;
  /** Lets the listener keep the loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop end although the listener is open. */
  unref(): void;
  /** Same as `close()`. */
  [Symbol.dispose](): void;
}

const noOptions: ListenerCloseOptions = {};

/** The class behind every {@linkcode Listener}. */
export class ListenerHandle implements Listener {
  readonly loop: LoopState;
  readonly slot: number;
  readonly generation: number;
  readonly handlers: ListenerHandlers;
  readonly address: SocketAddress;
  /** What its connections get. */
  readonly highWaterMark: number;
  readonly segmenter: CheckedSegmenter | null;
  closed = false;
  /** Its connections take descriptors. */
  passesDescriptors = false;
  /** Closed, but for what waits to be accepted. */
  isDraining = false;
  /** Native code has let go of it. */
  isGone = false;
  /** Called when it is gone, also when its loop was closed. */
  whenEnded: (() => void) | null = null;
  isRef = true;

  constructor(
    loop: LoopState,
    slot: number,
    generation: number,
    handlers: ListenerHandlers,
    address: SocketAddress,
    highWaterMark: number,
    segmenter: CheckedSegmenter | null,
  ) {
    this.loop = loop;
    this.slot = slot;
    this.generation = generation;
    this.handlers = handlers;
    this.address = address;
    this.highWaterMark = highWaterMark;
    this.segmenter = segmenter;
  }

  get endpoint(): string {
    return formatAddress(this.address);
  }

  close(options: ListenerCloseOptions = noOptions): void {
    const { drain = false } = checkOptions(options);
    booleanOption("drain", drain);
    // A drain can be ended by closing for good.
    if (this.closed && !(this.isDraining && !drain)) return;
    if (this.isGone) return;
    this.closed = true;
    this.isDraining = drain;
    const flags = drain ? listener_flag_drain : 0;
    this.loop.queue.handle(Operation.listener_close, this.slot, this.generation, flags);
    // The next turn may be far away, and the port shall be free when this returns.
    this.loop.queue.flush();
  }

  share(): number {
    const { loop, slot, generation } = this;
    if (this.closed) throw new IoError("STALE_HANDLE", "the listener is closed");
    const descriptor = loop.functions.tp_listener_share(loop.handle, slot, generation);
    if (descriptor >= 0) return descriptor;
    if (descriptor === Status.unsupported) {
      throw new IoError("UNSUPPORTED", "an in-process name has no descriptor", {
        advice: "Connect to the name from the other loop, or listen on unix: or tcp:.",
      });
    }
    throw errorOfStatus(descriptor, "share a listener", loop.words[Header.error_syscall]);
  }

  setOptions(options: ConnectionSettings): void {
    this.#checkOpen();
    setOptions(this, SocketKind.listener, options);
  }

  getOption<Name extends SocketOptionName>(name: Name): SocketOptionValues[Name] {
    this.#checkOpen();
    return getOption(this, SocketKind.listener, name);
  }

  ref(): void {
    if (this.isRef || this.isGone) return;
    this.isRef = true;
    this.loop.addRef();
  }

  unref(): void {
    if (!this.isRef || this.isGone) return;
    this.isRef = false;
    this.loop.dropRef();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Accepting failed for now. */
  failed(error: IoError): void {
    if (!this.closed || this.isDraining) this.handlers.error?.(this, error);
  }

  /** The last thing that happens to a listener. */
  ended(): void {
    this.unref();
    this.isGone = true;
    this.closed = true;
    this.whenEnded?.();
  }

  #checkOpen(): void {
    if (this.closed) throw new IoError("STALE_HANDLE", "the listener is closed");
  }
}
