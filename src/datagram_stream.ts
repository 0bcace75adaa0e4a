/**
 * Datagram sockets with promises, on top of the handlers of layer 0.
 *
 * Invariants: a datagram that is given out is in memory of its own; only so many wait to be taken,
 * beyond them the socket is paused and the kernel drops what it has no room for; one `send` waits
 * for room at most.
 *
 * @module
 */

import type { Sendable } from "./connection.ts";
import type { DatagramSource } from "./datagram_source.ts";
import type { DatagramOptions, DatagramSendOptions, DatagramSocket } from "./datagram_socket.ts";
import type { Endpoint } from "./endpoint.ts";
import { IoError } from "./io_error.ts";
import type { Lease } from "./lease.ts";
import type { Loop } from "./loop.ts";
import type { NameOptions } from "./named_address.ts";
import { integerOption } from "./options.ts";
import type { SocketAddress } from "./socket_address.ts";

/** Options of `bind`. */
export interface DatagramStreamOptions extends DatagramOptions, NameOptions {
  /** The loop to live on, which the program drives. By default the one that the thread shares. */
  loop?: Loop;
  /** Closes the socket, as `close()` does, and ends the lookup of a name with `ABORTED`. */
  signal?: AbortSignal;
  /**
   * Datagrams that may wait to be taken: 1 to 65,536. Beyond them the socket is paused, and the
   * kernel drops what it has no room for. Default 256.
   */
  maxWaiting?: number;
  /**
   * Called when the kernel refuses a datagram, or tells that an earlier one was refused by its
   * receiver. The socket goes on.
   */
  onError?: (error: IoError) => void;
}

/** A datagram that was received. */
export interface Datagram {
  /** Its bytes, in memory of their own. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Who sent it. */
  readonly source: SocketAddress;
  /** Bytes of each but the last of the datagrams that `bytes` holds; 0 for one (see `gro`). */
  readonly segmentSize: number;
  /** It was longer than a buffer of the pool has room for: its end is lost. */
  readonly truncated: boolean;
}

/**
 * A datagram socket as an async iterable.
 *
 * @example A question and its answer
 * ```ts
 * import { bind } from "@twinpoll/twinpoll";
 *
 * await using server = await bind("udp://127.0.0.1:0");
 * await using client = await bind("udp://127.0.0.1:0", { remote: server.localAddress });
 * await client.send("question");
 * for await (const { bytes, source } of server) {
 *   await server.send(bytes, source);
 *   break; // closes the server; `receive()` takes one datagram and does not
 * }
 * const answer = await client.receive();
 * console.log(new TextDecoder().decode(answer?.bytes)); // question
 * ```
 */
export interface DatagramStream extends AsyncIterable<Datagram>, AsyncDisposable, Disposable {
  /** The bound address, with the port that was chosen. */
  readonly localAddress: SocketAddress;
  /** The only peer of a connected socket, else null. */
  readonly remoteAddress: SocketAddress | null;
  /**
   * Resolves once the socket is gone, after an orderly end; rejects with the `IoError` that ended
   * it otherwise. Nobody has to look at it.
   */
  readonly closed: Promise<void>;
  /** The socket of layer 0, for what this layer does not wrap, such as groups and options. */
  readonly socket: DatagramSocket;
  /**
   * The next datagram; null once the socket is closed and none waits.
   *
   * @throws {IoError} `BUSY` while an earlier call waits, or what ended the socket.
   */
  receive(): Promise<Datagram | null>;
  /**
   * Sends a datagram. Await it before the next one.
   *
   * @param data The datagram, not to be changed before the end of the call; it may be empty.
   * @param to The receiver, unless the socket is connected.
   * @param options How it is sent.
   * @returns Resolves when it was taken, at once as long as there is room.
   * @throws {IoError} `BUSY` while an earlier call waits; what `DatagramSocket.send` throws.
   */
  send(
    data: Uint8Array | string,
    to?: SocketAddress | Endpoint | string,
    options?: DatagramSendOptions,
  ): Promise<void>;
  /**
   * Closes once what was taken is sent; what was not received is dropped, and a `send` that still
   * waits fails.
   *
   * @returns `closed`.
   */
  close(): Promise<void>;
  /** Drops what is queued and closes; what waits fails with `ABORTED`. */
  abort(): void;
  /** Lets the socket keep its loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop, and the process, end although the socket is open. */
  unref(): void;
  /** The datagrams, as they come. Leaving the iteration early closes the socket. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Datagram>;
  /** Starts to close, and does not wait. */
  [Symbol.dispose](): void;
  /** Closes and waits for the end, however it comes; `closed` tells. */
  [Symbol.asyncDispose](): Promise<void>;
}

const defaultMaxWaiting = 256;

/** The promise of every send that was taken at once. */
const taken: Promise<void> = Promise.resolve();

/** Whoever waits for a datagram. */
interface Receiver {
  readonly resolve: (datagram: Datagram | null) => void;
  readonly reject: (error: IoError) => void;
}

/** A send that waits for room. */
interface Sender {
  readonly send: () => boolean;
  readonly end: (error: unknown) => void;
}

/** The class behind every {@linkcode DatagramStream}. */
export class DatagramStreamHandle implements DatagramStream {
  readonly #maxWaiting: number;
  readonly #onError: ((error: IoError) => void) | undefined;
  readonly #waiting: Datagram[] = [];
  #socket!: DatagramSocket;
  #receiver: Receiver | null = null;
  #sender: Sender | null = null;
  #isOver = false;
  #isGone = false;
  #failure: IoError | null = null;
  #closed: Promise<void> | null = null;
  #tellClosed: (() => void) | null = null;
  #unwatchSignal: (() => void) | null = null;

  constructor({ maxWaiting = defaultMaxWaiting, onError }: DatagramStreamOptions) {
    this.#maxWaiting = integerOption("maxWaiting", maxWaiting, 1, 65_536);
    this.#onError = onError;
    if (onError !== undefined && typeof onError !== "function") {
      throw new IoError("INVALID_OPTION", "option onError must be a function");
    }
  }

  /** It is bound from now on, until `signal`. */
  start(socket: DatagramSocket, signal: AbortSignal | undefined): void {
    this.#socket = socket;
    if (signal === undefined) return;
    const close = (): void => void this.close();
    if (signal.aborted) return close();
    signal.addEventListener("abort", close, { once: true });
    this.#unwatchSignal = (): void => signal.removeEventListener("abort", close);
  }

  get socket(): DatagramSocket {
    return this.#socket;
  }

  get localAddress(): SocketAddress {
    return this.#socket.localAddress;
  }

  get remoteAddress(): SocketAddress | null {
    return this.#socket.remoteAddress;
  }

  get closed(): Promise<void> {
    if (this.#closed !== null) return this.#closed;
    this.#closed = new Promise<void>((resolve, reject) => {
      this.#tellClosed = (): void => {
        if (this.#failure === null) resolve();
        else reject(this.#failure);
      };
      if (this.#isGone) this.#tellClosed();
    });
    // Whoever does not look at it must not hear of it.
    this.#closed.catch(ignore);
    return this.#closed;
  }

  receive(): Promise<Datagram | null> {
    if (this.#receiver !== null) {
      return Promise.reject(
        new IoError("BUSY", "receive: an earlier call waits", {
          advice: "Await each receive before the next one.",
        }),
      );
    }
    const datagram = this.#waiting.shift();
    if (datagram !== undefined) {
      if (this.#socket.paused && this.#waiting.length <= this.#maxWaiting / 2) this.#resume();
      return Promise.resolve(datagram);
    }
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#isOver) return Promise.resolve(null);
    return new Promise((resolve, reject) => this.#receiver = { resolve, reject });
  }

  send(
    data: Uint8Array | string,
    to?: SocketAddress | Endpoint | string,
    options?: DatagramSendOptions,
  ): Promise<void> {
    if (this.#sender !== null) {
      return Promise.reject(
        new IoError("BUSY", "send: an earlier call waits for room", {
          advice: "Await each send before the next one.",
        }),
      );
    }
    const send = (): boolean => this.#socket.send(data as Sendable, to, options) !== "full";
    try {
      if (send()) return taken;
    } catch (error) {
      return Promise.reject(this.#failure ?? error);
    }
    return new Promise((resolve, reject) => {
      const end = (error: unknown): void => error === null ? resolve() : reject(error);
      this.#sender = { send, end };
    });
  }

  close(): Promise<void> {
    const { closed } = this;
    if (!this.#isOver) {
      this.#over(new IoError("STALE_HANDLE", "the socket was closed"), null);
      this.#socket.close();
    }
    return closed;
  }

  abort(): void {
    if (this.#isGone) return;
    const error = new IoError("ABORTED", "the socket was aborted by this side");
    this.#failure = error;
    this.#over(error, error);
    this.#socket.abort();
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Datagram> {
    const result = (value: Datagram | null): IteratorResult<Datagram> =>
      value === null ? { done: true, value: undefined } : { done: false, value };
    const iterator: AsyncIterableIterator<Datagram> = {
      next: async () => result(await this.receive()),
      return: async () => {
        await this[Symbol.asyncDispose]();
        return result(null);
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(ignore);
  }

  /** A datagram arrived. */
  readonly message = (_socket: DatagramSocket, lease: Lease, source: DatagramSource): void => {
    if (this.#isOver) return;
    const datagram = {
      bytes: lease.copy() as Uint8Array<ArrayBuffer>,
      source: source.address,
      segmentSize: source.segmentSize,
      truncated: source.truncated,
    };
    const receiver = this.#receiver;
    if (receiver !== null) {
      this.#receiver = null;
      return receiver.resolve(datagram);
    }
    this.#waiting.push(datagram);
    if (this.#waiting.length >= this.#maxWaiting) this.#socket.pause();
  };

  /** There is room again. */
  readonly drain = (): void => {
    const sender = this.#sender;
    if (sender === null) return;
    let failure: unknown = null;
    try {
      if (!sender.send()) return;
    } catch (error) {
      failure = error;
    }
    this.#sender = null;
    sender.end(failure);
  };

  /** The kernel told of an error. */
  readonly error = (_socket: DatagramSocket, error: IoError): void => {
    this.#onError?.(error);
  };

  /** The socket is gone. */
  readonly gone = (_socket: DatagramSocket, error: IoError | null): void => {
    this.#isGone = true;
    this.#failure ??= error;
    this.#over(this.#failure ?? new IoError("STALE_HANDLE", "the socket is closed"), error);
    this.#tellClosed?.();
  };

  /** Nothing more will be sent, because of `error`, or received, because of `end` if not null. */
  #over(error: IoError, end: IoError | null): void {
    this.#isOver = true;
    this.#unwatchSignal?.();
    this.#waiting.length = 0;
    const receiver = this.#receiver;
    this.#receiver = null;
    if (end === null) receiver?.resolve(null);
    else receiver?.reject(end);
    const sender = this.#sender;
    this.#sender = null;
    sender?.end(error);
  }

  #resume(): void {
    if (this.#socket.state === "open") this.#socket.resume();
  }
}

function ignore(): void {}
