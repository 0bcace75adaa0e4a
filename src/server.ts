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
import type { Listener, ListenerHandle, ListenOptions } from "./listener.ts";
import type { NameOptions } from "./named_address.ts";
import { checkOptions, integerOption } from "./options.ts";
import { streamOf } from "./open_stream.ts";
import type { SocketAddress } from "./socket_address.ts";
import type { Stream, StreamLoopOptions } from "./stream.ts";
import type { StreamHandle, StreamSettings } from "./stream_handle.ts";

/** Options of `listen`. The stream options go to each accepted connection. */
export interface ServerOptions extends ListenOptions, StreamLoopOptions, NameOptions {
  /** Closes the server, as `close()` does, and ends the lookup of a name with `ABORTED`. */
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
   * How long the streams may take to end, in milliseconds: 0 to 3,600,000. Those that are left are
   * aborted then, and connections that still wait to be accepted are reset; with 0 that is at once.
   * Default 10,000.
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
  /** True once it was closed or shut down, or its loop. */
  readonly closed: boolean;
  /** The next stream, without an iteration; null once none waits and none will come. */
  accept(): Promise<Stream | null>;
  /**
   * Stops accepting and frees the port. Streams that wait are still given out, then iterations
   * end; open streams stay. Connections that the kernel has taken and the loop has not accepted are
   * reset; `shutdown()` loses none. Ends a shutdown's accepting, and does nothing else when closed.
   */
  close(): void;
  /**
   * Accepts what waits in the backlog and nothing after it, then frees the port. Each stream hears
   * `onDraining`. Waits until every stream of this server has ended, at most so long; then aborts
   * those that are left, also those that nobody has iterated. Iterations go on until the last
   * stream is given out.
   *
   * @param options How long it may take.
   * @returns The number of streams that had to be aborted.
   * @throws {IoError} `INVALID_OPTION`, `INVALID_ARGUMENT`.
   *
   * @example Let requests finish for five seconds at the most
   * ```ts
   * import { connect, listen } from "@twinpoll/twinpoll";
   *
   * const server = await listen("tcp://127.0.0.1:0", {
   *   onDraining: (stream) => stream.shutdown(), // after the answer that is under way
   * });
   * const client = await connect(server.endpoint);
   * const ends = server.shutdown({ timeoutMs: 5_000 });
   * console.log(await client.read()); // null
   * client.shutdown();
   * console.log(await ends); // 0
   * ```
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
  readonly #settings: StreamSettings;
  readonly #maxWaiting: number;
  readonly #onAcceptError: ((error: IoError) => void) | undefined;
  /** In the order in which they were accepted. */
  readonly #waiting = new Set<StreamHandle>();
  readonly #held = new Set<StreamHandle>();
  /** Every stream whose connection is not gone. */
  readonly #open = new Set<StreamHandle>();
  /** Whoever waits for a stream. */
  readonly #takers: ((stream: Stream | null) => void)[] = [];
  #listener!: ListenerHandle;
  #isClosed = false;
  /** Streams are to finish. */
  #isDraining = false;
  /** No further stream will come. */
  #isOver = false;
  /** Called when it is over and no stream is left. */
  readonly #whenDone: (() => void)[] = [];
  #unwatchSignal: (() => void) | null = null;

  constructor(options: ServerOptions, settings: StreamSettings) {
    const { maxWaiting = defaultMaxWaiting, onAcceptError } = options;
    this.#maxWaiting = integerOption("maxWaiting", maxWaiting, 1, 65_536);
    this.#settings = settings;
    this.#onAcceptError = onAcceptError;
    if (onAcceptError !== undefined && typeof onAcceptError !== "function") {
      throw new IoError("INVALID_OPTION", "option onAcceptError must be a function");
    }
  }

  /** It listens from now on, until `signal`. */
  start(listener: ListenerHandle, signal: AbortSignal | undefined): void {
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
    // A shutdown of the loop closes the listener.
    return this.#isClosed || this.#listener.closed;
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
    if (this.#isOver) return Promise.resolve(null);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  close(): void {
    if (this.#isOver) return;
    this.#listener.close();
    this.ended();
  }

  async shutdown(options: ShutdownOptions = {}): Promise<number> {
    const { timeoutMs = defaultShutdownMs } = checkOptions(options);
    integerOption("timeoutMs", timeoutMs, 0, maxShutdownMs);
    if (timeoutMs > 0) {
      this.#drain();
      await this.#doneWithin(timeoutMs);
    }
    this.close();
    const left = [...this.#open];
    const error = new IoError("ABORTED", "the server was shut down");
    for (const stream of left) stream.abort(error);
    await Promise.allSettled(left.map((stream) => stream.closed));
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
    const stream = streamOf(conn, this.#settings);
    stream.whenGone = this.#gone;
    this.#open.add(stream);
    this.#give(stream);
    if (this.#isDraining) stream.drain();
  };

  /** Accepting failed for now. */
  readonly error = (_listener: Listener, error: IoError): void => {
    this.#onAcceptError?.(error);
  };

  /** The listener is gone, perhaps because its loop was closed. */
  readonly ended = (): void => {
    if (this.#isOver) return;
    this.#isClosed = true;
    this.#isOver = true;
    this.#unwatchSignal?.();
    for (const take of this.#takers.splice(0)) take(null);
    this.#check();
  };

  readonly #gone = (stream: StreamHandle): void => {
    this.#leave(stream);
    this.#open.delete(stream);
    this.#check();
  };

  /** A stream goes to whoever waits for one, or waits itself. */
  #give(stream: StreamHandle): void {
    const take = this.#takers.shift();
    if (take !== undefined) return take(stream);
    this.#waiting.add(stream);
    if (this.#waiting.size <= this.#maxWaiting) return;
    this.#held.add(stream);
    stream.incoming.hold(true);
  }

  /** Accepts nothing but what waits, and has the streams finish. */
  #drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#isClosed = true;
    if (!this.#listener.closed) this.#listener.close({ drain: true });
    // What the program is told it is told in a turn.
    const { loop } = this.#listener;
    for (const stream of this.#open) loop.deferrals.add(() => stream.drain());
    loop.wakeSoon();
  }

  /** Until no stream is left and none will come, or so long. */
  async #doneWithin(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#whenDone.push(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#check();
    });
  }

  #check(): void {
    if (!this.#isOver || this.#open.size > 0) return;
    for (const done of this.#whenDone.splice(0)) done();
  }

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
