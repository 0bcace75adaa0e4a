/**
 * Leases: the right of a script to use one buffer of the pool.
 *
 * A lease that a `data` handler gets is *borrowed*: it ends when the handler returns. References
 * that the script owns come from `retain()` and `allocate()`; each is given back once, by
 * `release()` or by a send. A lease without either is stale for good, unless the pool reuses the
 * object of a lease that never was more than borrowed for the buffer's next delivery. A slice is a
 * lease of its own over the same buffer.
 *
 * @module
 */

import { errorOfStatus, IoError, meaningOf } from "./io_error.ts";
import { checkLeaseMessage, type LeaseMessage } from "./lease_message.ts";
import type { Loop } from "./loop.ts";
import { Operation, Status } from "./native/abi.ts";
import type { PoolHandle } from "./pool.ts";
import { stateOf } from "./state_of.ts";

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
   * Bytes in use. Settable, from 0 to `capacity`, on a lease of `loop.allocate()`,
   * `Lease.receive()` or `loop.pool.adopt()` until it is sent.
   *
   * @throws {IoError} `INVALID_ARGUMENT` when out of range or not settable, `STALE_LEASE`.
   */
  length: number;
  /** The most that `length` can be, in bytes. */
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
   * Gives a reference back; with the last one the lease ends. While a handler runs, what was
   * delivered to it counts as the last one.
   *
   * @throws {IoError} `STALE_LEASE` once the lease has ended.
   */
  release(): void;
  /**
   * A part of the bytes as a lease of its own, owned by the caller, without a copy. The buffer is
   * free when the last of its leases has ended.
   *
   * @param start First byte, 0 by default; negative from the end, as in `Uint8Array.subarray`.
   * @param end Byte after the last, `length` by default; negative from the end.
   * @throws {IoError} `STALE_LEASE` once the lease has ended.
   */
  slice(start?: number, end?: number): Lease;
  /**
   * Ends the lease here, so that another loop of the process, on this thread or in a Worker, can go
   * on with it: post the message there and pass it to `Lease.receive`. No byte is copied.
   *
   * @throws {IoError} `STALE_LEASE`; `BUSY` when a send, a slice or another reference uses the
   *   buffer too; `INVALID_ARGUMENT` for adopted memory.
   */
  transfer(): LeaseMessage;
  /**
   * The leased bytes in memory of their own.
   *
   * @throws {IoError} `STALE_LEASE` once the lease has ended.
   */
  copy(): Uint8Array;
  /** Gives one reference back, or does nothing once the lease has ended. */
  [Symbol.dispose](): void;
}

/** What can be done about leases without having one. */
export const Lease: {
  /**
   * Takes over what another loop has transferred.
   *
   * @param loop The loop that the lease belongs to from now on.
   * @param message What `transfer()` gave.
   * @returns An owned lease, which must be sent or released.
   * @throws {IoError} `INVALID_ARGUMENT` for anything else than a message, `STALE_LEASE` for one
   *   that was received already or comes from another process, `LOOP_CLOSED`.
   *
   * @example From one loop to another
   * ```ts
   * import { Lease, Loop } from "@twinpoll/twinpoll";
   *
   * const here = new Loop();
   * const there = new Loop(); // in a Worker, most likely
   * const lease = here.allocate(5)!;
   * lease.bytes.set(new TextEncoder().encode("bytes"));
   * const message = structuredClone(lease.transfer()); // postMessage does this
   * const arrived = Lease.receive(there, message);
   * console.log(new TextDecoder().decode(arrived.bytes)); // bytes
   * arrived.release();
   * here.close();
   * there.close();
   * ```
   */
  receive(loop: Loop, message: LeaseMessage): Lease;
} = {
  receive(loop: Loop, message: LeaseMessage): Lease {
    checkLeaseMessage(message);
    return stateOf(loop).pool.receive(message);
  },
};

/** The class behind every {@linkcode Lease}. */
export class LeaseHandle implements Lease {
  readonly pool: PoolHandle;
  buffer: number;
  bufferGeneration: number;
  /** Bytes from the buffer's start. */
  offset: number;
  /** References that the script owns. */
  references: number;
  /** Its handler still runs. */
  isBorrowed: boolean;
  size: number;
  /** The most that the script may set as length; 0 where it may not. */
  readonly settable: number;
  /** Over this buffer from `offset`; its length may be that of an earlier delivery. */
  knownBytes: Uint8Array | null = null;

  /** One that is borrowed, or with `settable` the script's own, of which it decides the length. */
  constructor(pool: PoolHandle, buffer: number, bufferGeneration: number, settable: number) {
    this.pool = pool;
    this.buffer = buffer;
    this.bufferGeneration = bufferGeneration;
    this.offset = 0;
    this.references = settable > 0 ? 1 : 0;
    this.isBorrowed = false;
    this.settable = settable;
    this.size = settable;
  }

  /** Starts a delivery. */
  borrow(buffer: number, bufferGeneration: number, offset: number, length: number): void {
    if (offset !== this.offset || buffer !== this.buffer) {
      this.buffer = buffer;
      this.offset = offset;
      this.knownBytes = null;
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
    return this.settable > 0 ? this.settable : this.size;
  }

  get length(): number {
    return this.size;
  }

  set length(length: number) {
    this.checkLive();
    if (this.settable === 0) {
      throw new IoError("INVALID_ARGUMENT", "the length of a received lease is fixed", {
        advice: "Send bytes.subarray() to send a part of it.",
      });
    }
    if (!Number.isInteger(length) || length < 0 || length > this.capacity) {
      throw new IoError("INVALID_ARGUMENT", `lease length ${length} is not 0 to ${this.capacity}`, {
        advice: "Allocate a larger buffer, or split the message.",
      });
    }
    this.size = length;
  }

  get bytes(): Uint8Array {
    this.checkLive();
    // Messages of one length find the view of the last delivery. A view of another length: a new
    // message, a changed `length`, or memory that the script has transferred away.
    if (this.knownBytes === null || this.knownBytes.length !== this.size) {
      this.knownBytes = this.pool.view(this.buffer, this.offset, this.size);
    }
    return this.knownBytes;
  }

  retain(): Lease {
    this.checkLive();
    this.pool.queue.reference(Operation.retain, this.buffer, this.bufferGeneration);
    if (this.references === 0) {
      this.pool.forget(this);
      this.pool.noteOwned(this);
    }
    this.references += 1;
    return this;
  }

  release(): void {
    if (this.references === 0) {
      if (!this.isBorrowed) throw staleLease();
      this.expire();
      return;
    }
    // The delivery itself ends last, so that a reference can be taken on trial while it goes on.
    this.references -= 1;
    if (this.references === 0) this.pool.noteEnded(this);
    if (!this.pool.isClosed) this.pool.giveBack(this.buffer, this.bufferGeneration);
  }

  slice(start = 0, end: number = this.size): Lease {
    this.checkLive();
    const from = relative(start, this.size);
    const to = Math.max(from, relative(end, this.size));
    const { pool, buffer, bufferGeneration } = this;
    const part = new LeaseHandle(pool, buffer, bufferGeneration, 0);
    part.offset = this.offset + from;
    part.size = to - from;
    part.references = 1;
    pool.queue.reference(Operation.retain, buffer, bufferGeneration);
    pool.noteOwned(part);
    return part;
  }

  transfer(): LeaseMessage {
    this.checkLive();
    const { pool, buffer, bufferGeneration, offset, size } = this;
    const status = pool.transfer(buffer, bufferGeneration, this.references);
    if (status < 0) throw transferError(status);
    if (this.references > 0) pool.noteEnded(this);
    else pool.forget(this);
    this.references = 0;
    this.expire();
    return {
      kind: "twinpoll-lease",
      pool: pool.key,
      buffer,
      generation: bufferGeneration,
      offset,
      length: size,
    };
  }

  copy(): Uint8Array {
    return this.bytes.slice();
  }

  /** How many sends the script may make of it. */
  get rights(): number {
    return this.references + (this.isBorrowed ? 1 : 0);
  }

  /** One right to the buffer went to the kernel. */
  move(): void {
    if (this.references === 0) {
      this.isBorrowed = false;
      return;
    }
    this.references -= 1;
    if (this.references === 0) this.pool.noteEnded(this);
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

/** An index as `subarray` takes it. */
function relative(index: number, length: number): number {
  const whole = Math.trunc(index) || 0;
  return whole < 0 ? Math.max(0, length + whole) : Math.min(whole, length);
}

function transferError(status: number): IoError {
  if (status === Status.busy) {
    return new IoError("BUSY", "transfer a lease: its buffer is in use by somebody else too", {
      advice: "Transfer before sending, slicing or retaining it elsewhere, or send copy().",
    });
  }
  if (status === Status.bad_argument) {
    return new IoError("INVALID_ARGUMENT", "transfer a lease: adopted memory stays with its loop");
  }
  return status === Status.stale_handle ? staleLease() : errorOfStatus(status, "transfer a lease");
}
