/**
 * The state of a stream: who waits for bytes, what has ended, and why.
 *
 * Invariants: one reader waits at most, and only while nothing has arrived that it could have; the
 * end of a direction is told once, after everything before it; the connection closes when both
 * directions have ended.
 *
 * @module
 */

import type { Connection, ConnectionHandlers } from "./connection.ts";
import type { ConnectionHandle } from "./connection_handle.ts";
import { Incoming } from "./incoming.ts";
import { IoError } from "./io_error.ts";
import type { Lease } from "./lease.ts";
import { Outgoing } from "./outgoing.ts";
import { ReadRequest } from "./read_request.ts";
import type { SocketAddress } from "./socket_address.ts";
import type { Stream } from "./stream.ts";
import { makeReadable, makeWritable, type ReadableEnd, type WritableEnd } from "./web_streams.ts";

/** Somebody who waits for bytes. */
export interface Reader {
  /** Takes as many of the bytes as it can, at least one, by copying; their number. */
  take(bytes: Uint8Array): number;
  /** Nothing more will come, because of `error` unless it is null. */
  end(error: IoError | null): void;
}

/** What concerns the stream and not its connection. */
export interface StreamSettings {
  /** Bytes that may wait to be read. */
  readonly readAheadBytes: number;
  readonly onDraining: ((stream: Stream) => void) | null;
}

/** The promise of every write that was taken at once. */
const taken: Promise<void> = Promise.resolve();

/** The class behind every {@linkcode Stream}. */
export class StreamHandle implements Stream {
  readonly connection: Connection;
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  /** Called when the connection is gone. */
  whenGone: ((stream: StreamHandle) => void) | null = null;
  /** Who waits for bytes. */
  reader: Reader | null = null;
  /** Nothing more will arrive, or nobody wants it. */
  isReadOver = false;
  /** Our direction was ended. */
  isWriteOver = false;
  /** What ended reading before the peer did. */
  readFailure: IoError | null = null;
  /** The connection is gone, with `failure` unless that is null. */
  isGone = false;
  failure: IoError | null = null;

  readonly #onDraining: ((stream: Stream) => void) | null;
  /** The program was asked to finish. */
  #isDraining = false;
  /** What ended writing without ending the connection. */
  #writeFailure: IoError | null = null;
  #closed: Promise<void> | null = null;
  #tellClosed: (() => void) | null = null;
  #readable: ReadableEnd | null = null;
  #writable: WritableEnd | null = null;

  constructor(conn: Connection, { readAheadBytes, onDraining }: StreamSettings) {
    this.connection = conn;
    this.#onDraining = onDraining;
    this.incoming = new Incoming(conn, readAheadBytes);
    this.outgoing = new Outgoing(conn);
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    this.#readable ??= makeReadable(this);
    return this.#readable.stream;
  }

  get writable(): WritableStream<Uint8Array | string> {
    this.#writable ??= makeWritable(this);
    return this.#writable.stream;
  }

  get closed(): Promise<void> {
    if (this.#closed !== null) return this.#closed;
    this.#closed = new Promise<void>((resolve, reject) => {
      this.#tellClosed = (): void => {
        if (this.failure === null) resolve();
        else reject(this.failure);
      };
      if (this.isGone) this.#tellClosed();
    });
    // Whoever does not look at it must not hear of it.
    this.#closed.catch(ignore);
    return this.#closed;
  }

  get localAddress(): SocketAddress {
    return this.connection.localAddress;
  }

  get remoteAddress(): SocketAddress {
    return this.connection.remoteAddress;
  }

  read(into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.reader instanceof ReadRequest || this.#readable?.stream.locked === true) {
      return Promise.reject(
        new IoError("BUSY", "read: somebody reads the stream already", {
          advice: "Await each read before the next one, and release the lock of a reader.",
        }),
      );
    }
    if (into !== undefined && (!(into instanceof Uint8Array) || into.length === 0)) {
      const message = "read: there must be room for at least one byte";
      return Promise.reject(new IoError("INVALID_ARGUMENT", message));
    }
    const { incoming } = this;
    if (incoming.bytes > 0) {
      const chunk = into === undefined
        ? incoming.take()
        : into.subarray(0, incoming.readInto(into));
      return Promise.resolve(chunk);
    }
    if (this.readFailure !== null) return Promise.reject(this.readFailure);
    if (this.isReadOver) return Promise.resolve(null);
    const request = new ReadRequest(this, into);
    this.reader = request;
    return request.promise;
  }

  write(data: Uint8Array | string): Promise<void> {
    if (this.#writable?.stream.locked === true) {
      return Promise.reject(
        new IoError("BUSY", "write: the writable is locked", {
          advice: "Write with the writer that has the lock, or release it before.",
        }),
      );
    }
    return this.writeChunk(data) ?? taken;
  }

  /** Writes; undefined when all was taken at once. */
  writeChunk(data: Uint8Array | string): Promise<void> | undefined {
    const { outgoing } = this;
    try {
      if (outgoing.write(data)) return undefined;
    } catch (error) {
      return Promise.reject(this.failure ?? this.#writeFailure ?? error);
    }
    return new Promise((resolve, reject) => {
      outgoing.wait((error) => error === null ? resolve() : reject(error));
    });
  }

  shutdown(): void {
    if (this.isWriteOver || this.isGone) return;
    if (this.outgoing.isWaiting) {
      throw new IoError("BUSY", "shutdown: a write waits for room", {
        advice: "Await each write before shutdown().",
      });
    }
    this.endWriting();
    this.#writable?.end(new IoError("EPIPE", "this side's direction was ended by shutdown()"));
  }

  /** Ends our direction behind what was sent. */
  endWriting(): void {
    this.isWriteOver = true;
    if (this.connection.state !== "open") return;
    if (this.isReadOver) this.connection.close();
    else this.connection.shutdown();
  }

  close(): Promise<void> {
    const { closed } = this;
    if (!this.isGone) {
      this.isWriteOver = true;
      this.#dropUnread();
      this.#failWrites(new IoError("STALE_HANDLE", "the stream was closed"));
      this.connection.close();
    }
    return closed;
  }

  abort(reason?: unknown): void {
    const conn = this.connection as ConnectionHandle;
    if (this.isGone || conn.isAborted) return;
    const error = new IoError("ABORTED", "the stream was aborted by this side", { cause: reason });
    this.failure = error;
    if (!this.isReadOver) this.readFailure = error;
    this.#dropUnread();
    this.#failWrites(error);
    conn.abort();
  }

  ref(): void {
    this.connection.ref();
  }

  unref(): void {
    this.connection.unref();
  }

  [Symbol.dispose](): void {
    void this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(ignore);
  }

  /** Bytes arrived. */
  arrived(lease: Lease): void {
    if (this.isReadOver) return;
    let count = 0;
    // The reader may become another one with each part that it takes.
    if (this.reader !== null) {
      const bytes = lease.bytes;
      while (this.reader !== null && count < bytes.length) {
        count += this.reader.take(count === 0 ? bytes : bytes.subarray(count));
      }
      if (count === bytes.length) return;
    }
    this.incoming.keep(lease, count);
  }

  /** The peer has ended its direction. */
  peerEnded(): void {
    this.isReadOver = true;
    this.#tellReaders();
    if (this.isWriteOver) this.connection.close();
  }

  /** The program is to finish what is under way; false when it cannot be asked. */
  drain(): boolean {
    if (this.#onDraining === null) return false;
    if (this.#isDraining || this.isGone) return true;
    this.#isDraining = true;
    try {
      this.#onDraining(this);
    } catch (error) {
      this.abort(error);
      throw error;
    }
    return true;
  }

  /** The loop is being shut down. An end that is not the peer's must not look like it. */
  shutDown(): void {
    if (this.drain() || this.isGone) return;
    const error = new IoError("SHUT_DOWN", "the loop is being shut down");
    if (!this.isReadOver) this.readFailure = error;
    this.isReadOver = true;
    this.isWriteOver = true;
    this.#tellReaders();
    this.#failWrites(error);
    this.#writeFailure = error;
    this.connection.close();
  }

  /** Nobody wants to read any more. */
  cancelRead(): void {
    this.#dropUnread();
    if (this.isWriteOver && !this.isGone) this.connection.close();
  }

  /** The connection is gone. */
  ended(error: IoError | null): void {
    this.isGone = true;
    this.failure ??= error;
    // Without an error somebody has closed or moved the connection beside the stream.
    const stale = new IoError("STALE_HANDLE", "the connection is closed");
    if (!this.isReadOver) this.readFailure = error ?? stale;
    this.isReadOver = true;
    this.incoming.detach();
    this.#tellReaders();
    this.#failWrites(this.failure ?? stale);
    this.#tellClosed?.();
    this.whenGone?.(this);
  }

  #dropUnread(): void {
    this.isReadOver = true;
    this.incoming.drop();
    this.#tellReaders();
  }

  /** Whoever reads hears of the end once everything before it is read. */
  #tellReaders(): void {
    if (this.incoming.bytes > 0) return;
    const { reader, readFailure } = this;
    this.reader = null;
    reader?.end(readFailure);
    this.#readable?.end(readFailure);
  }

  #failWrites(error: IoError): void {
    this.outgoing.fail(error);
    this.#writable?.end(error);
  }
}

/** What a connection's handlers tell its stream. */
export class StreamEvents implements ConnectionHandlers {
  readonly #stream: StreamHandle;

  constructor(stream: StreamHandle) {
    this.#stream = stream;
  }

  data(_conn: Connection, lease: Lease): void {
    this.#stream.arrived(lease);
  }

  end(): void {
    this.#stream.peerEnded();
  }

  drain(): void {
    this.#stream.outgoing.drained();
  }

  draining(): void {
    this.#stream.shutDown();
  }

  close(_conn: Connection, error: IoError | null): void {
    this.#stream.ended(error);
  }
}

function ignore(): void {}
