/**
 * Servers: a listener whose connections are iterated as streams.
 *
 * Invariant: a stream waits from its accept until it is iterated or its connection ends; of those
 * that wait only so many read ahead, the others are paused.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { IoError } from "./io_error.ts";
import type { Listener, ListenOptions } from "./listener.ts";
import { integerOption } from "./options.ts";
import { streamOf } from "./open_stream.ts";
import type { SocketAddress } from "./socket_address.ts";
import type { Stream, StreamLoopOptions } from "./stream.ts";
import type { StreamHandle } from "./stream_handle.ts";

/** Options of `listen`. The stream options go to each accepted connection. */
export interface ServerOptions extends ListenOptions, StreamLoopOptions {
  /** Closes the server, as `close()` does. */
  signal?: AbortSignal;
  /**
   * Streams that may read ahead while they wait to be iterated: 1 to 65,536. Further ones are
   * accepted, and paused until others are taken. Default 64.
   */
  maxWaiting?: number;
  /** Called when accepting fails for now, such as with `EMFILE`; it is tried again by itself. */
  onAcceptError?: (error: IoError) => void;
}

/** Options of `server.shutdown`. */
export interface ShutdownOptions {
  /**
   * How long the streams that are open may take to end, in milliseconds: 0 to 3,600,000. Those
   * that are left are aborted then. Default 10,000.
   */
  timeoutMs?: number;
}

/**
 * What accepts connections, as an async iterable of streams.
 *
 * @example Echo
 * ```ts
 * import { connect, listen } from "@twinpoll/twinpoll";
 *
 * const server = await listen("tcp://127.0.0.1:0");
 * const client = await connect(server.endpoint);
 * for await (const stream of server) {
 *   stream.readable.pipeTo(stream.writable).catch((error) => console.error(error.code));
 *   break; // ends the server as well; `accept()` takes one stream and does not
 * }
 * await client.write("hello");
 * console.log(new TextDecoder().decode(await client.read() ?? undefined)); // hello
 * await client.close();
 * ```
 */
export interface Server extends AsyncIterable<Stream>, AsyncDisposable {
  /** The bound address, with the port that was chosen. */
  readonly address: SocketAddress;
  /** The bound address as an endpoint, such as `tcp://127.0.0.1:41231`. */
  readonly endpoint: string;
  /** True once it was closed, or its loop. */
  readonly closed: boolean;
  /** The next stream, without an iteration; null once the server is closed and none waits. */
  accept(): Promise<Stream | null>;
  /**
   * Stops accepting and frees the port. Streams that wait are still given out, then iterations
   * end; open streams stay. Does nothing when closed.
   */
  close(): void;
  /**
   * Closes, and waits until every stream of this server has ended, at most so long; then aborts
   * those that are left, also those that nobody has iterated.
   *
   * @returns The number of streams that had to be aborted.
   * @throws {IoError} `INVALID_OPTION`.
   */
  shutdown(options?: ShutdownOptions): Promise<number>;
  /** Lets the server keep its loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop, and the process, end although the server is open. */
  unref(): void;
  /** The streams, as they are accepted. Leaving the iteration early ends it as disposing does. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Stream>;
  /** Closes, and aborts the streams that nobody has taken. */
  [Symbol.asyncDispose](): Promise<void>;
}

const defaultMaxWaiting = 64;
const defaultShutdownMs = 10_000;
const maxShutdownMs = 3_600_000;

/** The class behind every {@linkcode Server}. */
export class ServerHandle implements Server {
  readonly #readAheadBytes: number;
  readonly #maxWaiting: number;
  readonly #onAcceptError: ((error: IoError) => void) | undefined;
  /** In the order in which they were accepted. */
  readonly #waiting = new Set<StreamHandle>();
  readonly #held = new Set<StreamHandle>();
  /** Every stream whose connection is not gone. */
  readonly #open = new Set<StreamHandle>();
  /** Whoever waits for a stream. */
  readonly #takers: ((stream: Stream | null) => void)[] = [];
  #listener!: Listener;
  #isClosed = false;
  #unwatchSignal: (() => void) | null = null;

  constructor(options: ServerOptions, readAheadBytes: number) {
    const { maxWaiting = defaultMaxWaiting, onAcceptError } = options;
    this.#maxWaiting = integerOption("maxWaiting", maxWaiting, 1, 65_536);
    this.#readAheadBytes = readAheadBytes;
    this.#onAcceptError = onAcceptError;
    if (onAcceptError !== undefined && typeof onAcceptError !== "function") {
      throw new IoError("INVALID_OPTION", "option onAcceptError must be a function");
    }
  }

  /** It listens from now on, until `signal`. */
  start(listener: Listener, signal: AbortSignal | undefined): void {
    this.#listener = listener;
    if (signal === undefined) return;
    const close = (): void => this.close();
    if (signal.aborted) return close();
    signal.addEventListener("abort", close, { once: true });
    this.#unwatchSignal = (): void => signal.removeEventListener("abort", close);
  }

  get address(): SocketAddress {
    return this.#listener.address;
  }

  get endpoint(): string {
    return this.#listener.endpoint;
  }

  get closed(): boolean {
    return this.#isClosed;
  }

  /** Those that nobody has taken yet. */
  get streamsWaiting(): Iterable<Stream> {
    return this.#waiting;
  }

  accept(): Promise<Stream | null> {
    const [stream] = this.#waiting;
    if (stream !== undefined) {
      this.#leave(stream);
      return Promise.resolve(stream);
    }
    if (this.#isClosed) return Promise.resolve(null);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatchSignal?.();
    this.#listener.close();
    for (const take of this.#takers.splice(0)) take(null);
  }

  async shutdown({ timeoutMs = defaultShutdownMs }: ShutdownOptions = {}): Promise<number> {
    integerOption("timeoutMs", timeoutMs, 0, maxShutdownMs);
    this.close();
    const ends = [...this.#open].map((stream) => stream.closed);
    if (timeoutMs > 0) await settledWithin(ends, timeoutMs);
    const left = [...this.#open];
    const error = new IoError("ABORTED", "the server was shut down");
    for (const stream of left) stream.abort(error);
    await Promise.allSettled(ends);
    return left.length;
  }

  ref(): void {
    this.#listener.ref();
  }

  unref(): void {
    this.#listener.unref();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Stream> {
    const result = (value: Stream | null): IteratorResult<Stream> =>
      value === null ? { done: true, value: undefined } : { done: false, value };
    const iterator: AsyncIterableIterator<Stream> = {
      next: async () => result(await this.accept()),
      return: async () => {
        await this[Symbol.asyncDispose]();
        return result(null);
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    for (const stream of this.#waiting) stream.abort();
    return Promise.resolve();
  }

  /** A connection was accepted. */
  readonly open = (conn: Connection): void => {
    const stream = streamOf(conn, this.#readAheadBytes);
    stream.whenGone = this.#gone;
    this.#open.add(stream);
    const take = this.#takers.shift();
    if (take !== undefined) return take(stream);
    this.#waiting.add(stream);
    if (this.#waiting.size <= this.#maxWaiting) return;
    this.#held.add(stream);
    stream.incoming.hold(true);
  };

  /** Accepting failed for now. */
  readonly error = (_listener: Listener, error: IoError): void => {
    this.#onAcceptError?.(error);
  };

  /** The listener is gone, perhaps because its loop was closed. */
  readonly ended = (): void => this.close();

  readonly #gone = (stream: StreamHandle): void => {
    this.#leave(stream);
    this.#open.delete(stream);
  };

  /** A stream waits no longer; the next one that was held may read. */
  #leave(stream: StreamHandle): void {
    if (!this.#waiting.delete(stream)) return;
    if (this.#held.delete(stream)) return stream.incoming.hold(false);
    const [next] = this.#held;
    if (next === undefined) return;
    this.#held.delete(next);
    next.incoming.hold(false);
  }
}

async function settledWithin(ends: Promise<void>[], timeoutMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs));
  await Promise.race([Promise.allSettled(ends), late]);
  clearTimeout(timer);
}
