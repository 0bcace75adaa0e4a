/**
 * A loop's buffers as the script sees them: one view over the slab, one lease object per buffer.
 *
 * The object of a lease that was only ever borrowed is reused for the buffer's next delivery, so a
 * delivery allocates nothing; a retained one leaves the table, so that a kept reference can never
 * come alive again. With `debug` no object is reused.
 *
 * @module
 */

import { errorOfStatus } from "./io_error.ts";
import { LeaseHandle } from "./lease.ts";
import { type Functions, Header, Status } from "./native/abi.ts";
import type { SubmissionQueue } from "./submission_queue.ts";

/** What a pool is made of. */
export interface PoolOptions {
  readonly functions: Functions;
  readonly loop: number;
  /** The loop's shared region. */
  readonly words: Uint32Array;
  readonly queue: SubmissionQueue;
  readonly bufferSize: number;
  readonly receiveBuffers: number;
  readonly sendBuffers: number;
  /** A view over the whole slab; called again if a script detached the last one. */
  readonly mapSlab: () => Uint8Array;
  readonly debug: boolean;
}

/** The buffers of one loop. */
export class Pool {
  readonly queue: SubmissionQueue;
  readonly bufferSize: number;
  readonly sendBuffers: number;
  /** The loop was closed: every lease is stale. */
  isClosed = false;

  readonly #functions: Functions;
  readonly #loop: number;
  readonly #words: Uint32Array;
  readonly #leases: (LeaseHandle | null)[];
  readonly #mapSlab: () => Uint8Array;
  readonly #debug: boolean;
  #slab: Uint8Array;

  constructor(options: PoolOptions) {
    this.queue = options.queue;
    this.bufferSize = options.bufferSize;
    this.sendBuffers = options.sendBuffers;
    this.#functions = options.functions;
    this.#loop = options.loop;
    this.#words = options.words;
    this.#leases = new Array(options.receiveBuffers).fill(null);
    this.#mapSlab = options.mapSlab;
    this.#debug = options.debug;
    this.#slab = options.mapSlab();
  }

  /** Buffers that {@linkcode take} can still give out. */
  get free(): number {
    return this.#words[Header.free_buffers];
  }

  /** The lease of a delivery, borrowed until `expire`. */
  borrow(buffer: number, bufferGeneration: number, offset: number, length: number): LeaseHandle {
    let lease = this.#leases[buffer];
    if (lease === null || this.#debug) {
      lease = new LeaseHandle(this, buffer, bufferGeneration, false);
      this.#leases[buffer] = lease;
    }
    lease.borrow(bufferGeneration, offset, length);
    return lease;
  }

  /** Takes a lease's object out of reuse. */
  forget(lease: LeaseHandle): void {
    if (this.#leases[lease.buffer] === lease) this.#leases[lease.buffer] = null;
  }

  /** A buffer for the script's own message, or null when none is free. */
  allocate(): LeaseHandle | null {
    const buffer = this.take();
    return buffer < 0 ? null : new LeaseHandle(this, buffer, this.takenGeneration, true);
  }

  /** The index of a free buffer, or -1 when none is. */
  take(): number {
    const buffer = this.#functions.tp_buffer_take(this.#loop);
    if (buffer >= 0) return buffer;
    if (buffer === Status.exhausted) return -1;
    throw errorOfStatus(buffer, "take a buffer");
  }

  /** The generation of the buffer that was taken last. */
  get takenGeneration(): number {
    return this.#words[Header.result_generation];
  }

  /** Copies `data` to the start of a buffer. */
  fill(buffer: number, data: Uint8Array): void {
    this.#mapped().set(data, buffer * this.bufferSize);
  }

  /** A view over a part of a buffer. */
  view(buffer: number, offset: number, length: number): Uint8Array {
    const start = buffer * this.bufferSize + offset;
    return this.#mapped().subarray(start, start + length);
  }

  /** The slab; made again after a script transferred a view of it away, which detaches it. */
  #mapped(): Uint8Array {
    if (this.#slab.length === 0) this.#slab = this.#mapSlab();
    return this.#slab;
  }
}
