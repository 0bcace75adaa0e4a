/**
 * Leases: the right of a script to use one buffer of the pool.
 *
 * A lease that a `data` handler gets is *borrowed*: it ends when the handler returns. References
 * that the script owns come from `retain()` and `allocate()`; each is given back once, by
 * `release()` or by a send. A lease without either is stale for good, unless the pool reuses the
 * object of a lease that never was more than borrowed for the buffer's next delivery.
 *
 * @module
 */

import { IoError, meaningOf } from "./io_error.ts";
import { Operation } from "./native/abi.ts";
import type { Pool } from "./pool.ts";

/**
 * The right to use one buffer of the loop's pool, without a copy.
 *
 * A lease given to a `data` handler is valid until the handler returns: `send` it, `copy` it, or
 * `retain` it. One from `loop.allocate()` or `retain()` is owned and must be sent or released; a
 * forgotten one keeps its buffer from the pool until the loop is closed.
 *
 * @example Keep what arrives and answer later
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * loop.listen("tcp://127.0.0.1:0", {
 *   data(conn, lease) {
 *     const kept = lease.retain();
 *     loop.startTimer(() => {
 *       if (conn.state === "open") conn.send(kept);
 *       kept[Symbol.dispose](); // no-op if it was sent
 *     }, { delayUs: 1000 });
 *   },
 * });
 * loop.close();
 * ```
 */
export interface Lease extends Disposable {
  /**
   * The leased bytes, a view over the pool made at the first read. Do not keep it longer than the
   * lease: the memory is reused.
   *
   * @throws {IoError} `STALE_LEASE` once the lease has ended.
   */
  readonly bytes: Uint8Array;
  /**
   * Bytes in use. Settable, from 0 to `capacity`, on a lease of `loop.allocate()` until it is sent.
   *
   * @throws {IoError} `INVALID_ARGUMENT` when out of range or not settable, `STALE_LEASE`.
   */
  length: number;
  /** The most that `length` can be. */
  readonly capacity: number;
  /** True once the lease was released, sent, or outlived its handler. */
  readonly released: boolean;
  /**
   * Adds a reference that outlives the handler and must be given back by one `release()` or one
   * send. Several are counted, so a message can be sent to many connections; while its handler
   * runs, the delivery itself is good for one send more.
   *
   * @returns This lease.
   * @throws {IoError} `STALE_LEASE` once the lease has ended.
   */
  retain(): Lease;
  /**
   * Gives a reference back; with the last one the lease ends.
   *
   * @throws {IoError} `STALE_LEASE` once the lease has ended.
   */
  release(): void;
  /**
   * The leased bytes in memory of their own.
   *
   * @throws {IoError} `STALE_LEASE` once the lease has ended.
   */
  copy(): Uint8Array;
  /** Gives one reference back, or does nothing once the lease has ended. */
  [Symbol.dispose](): void;
}

/** The class behind every {@linkcode Lease}. */
export class LeaseHandle implements Lease {
  readonly pool: Pool;
  readonly buffer: number;
  bufferGeneration: number;
  /** Bytes from the buffer's start. */
  offset: number;
  /** References that the script owns. */
  references: number;
  /** Its handler still runs. */
  isBorrowed: boolean;
  /** From `allocate`: the script decides about the length. */
  readonly isWritable: boolean;
  size: number;
  /** Over this buffer from `offset`; its length may be that of an earlier delivery. */
  #bytes: Uint8Array | null = null;

  constructor(pool: Pool, buffer: number, bufferGeneration: number, isWritable: boolean) {
    this.pool = pool;
    this.buffer = buffer;
    this.bufferGeneration = bufferGeneration;
    this.offset = 0;
    this.references = isWritable ? 1 : 0;
    this.isBorrowed = false;
    this.isWritable = isWritable;
    this.size = isWritable ? pool.bufferSize : 0;
  }

  /** Starts a delivery. */
  borrow(bufferGeneration: number, offset: number, length: number): void {
    if (offset !== this.offset) {
      this.offset = offset;
      this.#bytes = null;
    }
    this.bufferGeneration = bufferGeneration;
    this.size = length;
    this.isBorrowed = true;
  }

  /** Ends a delivery: its handler has returned. */
  expire(): void {
    this.isBorrowed = false;
  }

  get isLive(): boolean {
    return (this.references > 0 || this.isBorrowed) && !this.pool.isClosed;
  }

  get released(): boolean {
    return !this.isLive;
  }

  get capacity(): number {
    return this.isWritable ? this.pool.bufferSize : this.size;
  }

  get length(): number {
    return this.size;
  }

  set length(length: number) {
    this.checkLive();
    if (!this.isWritable) {
      throw new IoError("INVALID_ARGUMENT", "the length of a received lease is fixed", {
        advice: "Send bytes.subarray() to send a part of it.",
      });
    }
    if (!Number.isInteger(length) || length < 0 || length > this.capacity) {
      throw new IoError("INVALID_ARGUMENT", `lease length ${length} is not 0 to ${this.capacity}`, {
        advice: "Split the message, or raise pool.bufferSize.",
      });
    }
    this.size = length;
  }

  get bytes(): Uint8Array {
    this.checkLive();
    // Messages of one length find the view of the last delivery. A view of another length: a new
    // message, a changed `length`, or memory that the script has transferred away.
    if (this.#bytes === null || this.#bytes.length !== this.size) {
      this.#bytes = this.pool.view(this.buffer, this.offset, this.size);
    }
    return this.#bytes;
  }

  retain(): Lease {
    this.checkLive();
    this.pool.queue.reference(Operation.retain, this.buffer, this.bufferGeneration);
    if (this.references === 0) this.pool.forget(this);
    this.references += 1;
    return this;
  }

  release(): void {
    if (this.references === 0 && !this.isBorrowed) throw staleLease();
    if (this.references > 0) {
      this.references -= 1;
      if (!this.pool.isClosed) {
        this.pool.queue.reference(Operation.release, this.buffer, this.bufferGeneration);
      }
    }
    // A release by its last owner ends the lease even while its handler runs.
    if (this.references === 0) this.expire();
  }

  copy(): Uint8Array {
    return this.bytes.slice();
  }

  /** One right to the buffer went to the kernel. */
  move(): void {
    if (this.references > 0) this.references -= 1;
    else this.isBorrowed = false;
  }

  checkLive(): void {
    if (!this.isLive) throw staleLease();
  }

  [Symbol.dispose](): void {
    if (this.isLive) this.release();
  }
}

/** The error for a lease that has ended. */
export function staleLease(): IoError {
  return new IoError("STALE_LEASE", meaningOf("STALE_LEASE"));
}
