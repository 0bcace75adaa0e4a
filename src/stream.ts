/**
 * Streams: a connection with promises and web streams, on top of the handlers of layer 0.
 *
 * @module
 */

import type { Connection, ConnectOptions, StreamOptions } from "./connection.ts";
import type { Loop } from "./loop.ts";
import type { SocketAddress } from "./socket_address.ts";

/** What `listen` and `connect` take beside the options of the connections. */
export interface StreamLoopOptions extends StreamOptions {
  /**
   * The loop to live on, which the program drives. By default one that all streams of the thread
   * share, with the default options, in the host's event loop.
   */
  loop?: Loop;
  /**
   * Bytes that may arrive before anything is read: 1 to 1 GiB. Beyond them the connection is
   * paused, and the peer is held back. Default 65,536.
   */
  readAheadBytes?: number;
  /**
   * Called once when the server is shut down that has accepted the stream, or the loop: finish what
   * is under way and close. Also for a stream that opens meanwhile. Without it `server.shutdown()`
   * waits for the stream, and `loop.shutdown()` closes it in order at once: what had arrived can
   * still be read, and then reading fails with `SHUT_DOWN`, as writing does.
   */
  onDraining?: (stream: Stream) => void;
}

/** Options of `connect`. */
export interface StreamConnectOptions extends ConnectOptions, StreamLoopOptions {}

/**
 * A connection as a pair of web streams, with a direct way to read and write beside them.
 *
 * Each direction ends by itself: after the peer's end there is still writing, after
 * `writable.close()` still reading. When both have ended the connection closes.
 *
 * Memory: a chunk that is read belongs to the reader for ever; it is copied once out of the pool's
 * buffer. With a BYOB reader, or `read(into)`, the one copy goes into the reader's own memory, and
 * nothing is allocated.
 *
 * @example A request and its answer
 * ```ts
 * import { connect, listen } from "@twinpoll/twinpoll";
 *
 * await using server = await listen("tcp://127.0.0.1:0");
 * void (async () => {
 *   for await (const stream of server) {
 *     stream.readable.pipeTo(stream.writable).catch((error) => console.error(error.code));
 *   }
 * })();
 *
 * await using stream = await connect(server.endpoint);
 * await stream.write("hello");
 * stream.shutdown();
 * for await (const chunk of stream.readable) {
 *   console.log(new TextDecoder().decode(chunk)); // hello
 * }
 * ```
 */
export interface Stream extends AsyncDisposable, Disposable {
  /**
   * What arrives, as a byte stream: default and BYOB readers, async iteration, `pipeTo`. It reads
   * ahead only as far as `readAheadBytes` says. Cancelling it ends reading: what still arrives is
   * dropped. It closes and fails when `read()` answers null and fails.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * What is sent: bytes, which are read until their write has ended, or text as UTF-8. Chunks of
   * any length; a write ends when the connection has taken all of it, and `desiredSize` counts the
   * bytes that wait for that. `close()` ends this direction behind everything written, `abort()`
   * resets the connection.
   */
  readonly writable: WritableStream<Uint8Array | string>;
  /**
   * Resolves once the connection is gone, after an orderly end; rejects with the `IoError` that
   * ended it otherwise. Nobody has to look at it.
   */
  readonly closed: Promise<void>;
  /**
   * This side's address.
   *
   * @throws {IoError} `STALE_HANDLE` when it was not read before the connection closed.
   */
  readonly localAddress: SocketAddress;
  /**
   * The peer's address.
   *
   * @throws {IoError} `STALE_HANDLE` when it was not read before the connection closed.
   */
  readonly remoteAddress: SocketAddress;
  /**
   * The connection of layer 0, for what this layer does not wrap. What is sent, paused or closed
   * there is not seen here in order.
   */
  readonly connection: Connection;
  /**
   * Reads without a reader's cost: what is there, or what arrives next.
   *
   * @param into Where to put the bytes, at least one long; by default memory of their own.
   * @returns The bytes, a part of `into` if that was given; null at the peer's end, and once this
   *   side has ended reading itself, with `close()` or by cancelling `readable`.
   * @throws {IoError} `BUSY` while an earlier read waits or `readable` is locked,
   *   `INVALID_ARGUMENT`, `SHUT_DOWN` by the loop's shutdown, `STALE_HANDLE` once `connection` was
   *   closed or moved, or what ended the connection.
   */
  read(into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | null>;
  /**
   * Writes without a writer's cost. Await it before the next one.
   *
   * @param data Bytes, not to be changed before the end of the write, or text as UTF-8.
   * @returns Resolves when the connection has taken all of it, at once as long as there is room.
   * @throws {IoError} `BUSY` while an earlier write waits or `writable` is locked,
   *   `INVALID_ARGUMENT`, `EPIPE` after `shutdown()`, `SHUT_DOWN` by the loop's shutdown, or what
   *   ended the connection.
   */
  write(data: Uint8Array | string): Promise<void>;
  /**
   * Ends this side's direction behind everything written; data still arrives. Same as
   * `writable.close()`, also where nobody has a writer. Does nothing when it has ended.
   *
   * @throws {IoError} `BUSY` while a write waits.
   */
  shutdown(): void;
  /**
   * Closes in order: sends what was taken, ends this direction, waits for the peer's end as long
   * as `lingerTimeoutMs` says. What was not read is dropped, and a write that still waits fails.
   *
   * @returns `closed`.
   */
  close(): Promise<void>;
  /**
   * Drops what is queued and resets. What waits fails with `ABORTED`, whose cause is `reason`. Does
   * nothing when closed.
   */
  abort(reason?: unknown): void;
  /** Lets the stream keep its loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop, and the process, end although the stream is open. */
  unref(): void;
  /** Starts to close in order, and does not wait. */
  [Symbol.dispose](): void;
  /** Closes in order and waits for the end, however it comes; `closed` tells. */
  [Symbol.asyncDispose](): Promise<void>;
}
