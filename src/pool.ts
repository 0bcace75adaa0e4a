/**
 * A loop's buffers as the script sees them: one view per slab, one lease object per buffer.
 *
 * The object of a lease that was only ever borrowed is reused for the buffer's next delivery, so a
 * delivery allocates nothing; a retained one leaves the table, so that a kept reference can never
 * come alive again. With `debug` no object is reused, and it is remembered where owned ones were
 * taken.
 *
 * @module
 */

import { errorOfStatus, IoError, meaningOf } from "./io_error.ts";
import { type LeakReport, placeOfCall } from "./leaks.ts";
import { type Lease, LeaseHandle, staleLease } from "./lease.ts";
import type { LeaseMessage } from "./lease_message.ts";
import {
  AdoptOptions as Layout,
  buffer_slab_shift,
  buffer_unit,
  type Functions,
  Header,
  Operation,
  Status,
} from "./native/abi.ts";
import type { Adapter } from "./native/adapter.ts";
import { checkOptions } from "./options.ts";
import { type PoolStats, readPoolStats } from "./pool_stats.ts";
import { show } from "./show.ts";
import type { SubmissionQueue } from "./submission_queue.ts";

/** Memory that belongs to the application. */
export interface NativeMemory {
  /**
   * Where it begins: an address as a number or bigint, or what the runtime's FFI calls a pointer (a
   * `Deno.PointerObject`, a number of `bun:ffi`, a pointer of koffi).
   */
  readonly pointer: unknown;
  /** Its bytes, 1 to 1,073,741,824. */
  readonly byteLength: number;
}

/** Options of `pool.adopt`. */
export interface AdoptOptions {
  /** Called once nothing here uses the memory any more, or when the loop is closed. */
  released?: () => void;
}

/** The memory of a loop. */
export interface Pool {
  /**
   * What the memory is made of and how it is used. Of a closed loop: how it was at the end.
   *
   * @throws {IoError} `WRONG_THREAD`, `FORKED`.
   */
  stats(): PoolStats;
  /**
   * Makes memory of the application a lease, so that it is sent in place. The application keeps it
   * mapped until `released` is called. An ordinary `Uint8Array` cannot be adopted, because a
   * runtime may move it: `send` copies it once.
   *
   * @param memory Where it is.
   * @param options What to call at the end.
   * @returns An owned lease over all of it; `slice` it to send parts.
   * @throws {IoError} `INVALID_ARGUMENT`, `EFAULT` where nothing is mapped, `EXHAUSTED` above 256
   *   adoptions at a time in the process, `LOOP_CLOSED`.
   */
  adopt(memory: NativeMemory, options?: AdoptOptions): Lease;
}

/** What a pool is made of. */
export interface PoolParts {
  readonly functions: Functions;
  readonly adapter: Adapter;
  readonly loop: number;
  /** The loop's shared region. */
  readonly words: Uint32Array;
  readonly queue: SubmissionQueue;
  readonly bufferSize: number;
  readonly receiveBuffers: number;
  readonly maxBytes: number;
  readonly slabBytes: number;
  /** Which process's memory it is. */
  readonly key: number;
  readonly debug: boolean;
}

/** Bytes that are copied to one buffer, unless the pool is small. */
const usualPartBytes = 65_536;
/** Parts of a slab that one such buffer may be. */
const partsPerSlab = 8;
const largestClass = 4_194_304;
const pageBytes = 4_096;
const slabMask = 2 ** buffer_slab_shift - 1;

/** The class behind every {@linkcode Pool}. */
export class PoolHandle implements Pool {
  readonly queue: SubmissionQueue;
  readonly bufferSize: number;
  readonly slabBytes: number;
  /** Most bytes of a part of a message that is copied. */
  readonly partBytes: number;
  /** Most bytes of buffers that the script can have. */
  readonly scriptBytes: number;
  /** Most bytes of a message that becomes contiguous: it may move once while it grows. */
  readonly messageBytes: number;
  /** Most sends that can be queued in the loop. */
  readonly maxSends: number;
  readonly key: number;
  /** The loop was closed: every lease is stale. */
  isClosed = false;

  readonly #functions: Functions;
  readonly #adapter: Adapter;
  readonly #loop: number;
  readonly #words: Uint32Array;
  /** By slab, then by receive buffer in it. */
  readonly #leases: (LeaseHandle | null)[][] = [];
  /** By slab; an empty one is made at its next use. */
  readonly #slabs: Uint8Array[] = [];
  /** Units of a receive buffer, as a shift. */
  readonly #receiveShift: number;
  readonly #debug: boolean;
  readonly #callsAreCheap: boolean;
  readonly #owned = new Map<LeaseHandle, string>();
  /** By name and generation: a name may be used again before the script hears of its release. */
  readonly #adopted = new Map<string, () => void>();
  #lastStats: PoolStats | null = null;

  constructor(parts: PoolParts) {
    this.queue = parts.queue;
    this.bufferSize = parts.bufferSize;
    this.slabBytes = parts.slabBytes;
    const most = Math.max(buffer_unit, parts.slabBytes / partsPerSlab);
    this.partBytes = Math.min(Math.max(parts.bufferSize, usualPartBytes), most);
    this.scriptBytes = parts.maxBytes - parts.receiveBuffers * parts.bufferSize;
    this.messageBytes = roundDown(Math.min(this.scriptBytes / 2, parts.slabBytes));
    // Nothing is queued yet.
    this.maxSends = parts.words[Header.free_sends];
    this.key = parts.key;
    this.#functions = parts.functions;
    this.#adapter = parts.adapter;
    this.#loop = parts.loop;
    this.#words = parts.words;
    this.#receiveShift = Math.log2(parts.bufferSize / buffer_unit);
    this.#debug = parts.debug;
    this.#callsAreCheap = parts.adapter.callsAreCheap;
  }

  stats(): PoolStats {
    return this.#lastStats ?? readPoolStats(this.#functions, this.#loop);
  }

  /** The lease of a delivery, borrowed until `expire`. */
  borrow(buffer: number, bufferGeneration: number, offset: number, length: number): LeaseHandle {
    const slab = buffer >>> buffer_slab_shift;
    while (this.#leases.length <= slab) this.#leases.push([]);
    const leases = this.#leases[slab];
    const place = (buffer & slabMask) >>> this.#receiveShift;
    // Without holes the array stays a plain list.
    while (leases.length <= place) leases.push(null);
    let lease = leases[place];
    // Smaller buffers, of joined messages or of other loops, share a place: it is the last one's.
    if (lease === null || lease.isBorrowed || this.#debug) {
      lease = new LeaseHandle(this, buffer, bufferGeneration, 0);
      leases[place] = lease;
    }
    lease.borrow(buffer, bufferGeneration, offset, length);
    return lease;
  }

  /** A lease over a part of a buffer on which the script has just been given a reference. */
  own(buffer: number, bufferGeneration: number, offset: number, length: number): LeaseHandle {
    const lease = new LeaseHandle(this, buffer, bufferGeneration, 0);
    lease.references = 1;
    lease.offset = offset;
    lease.size = length;
    this.noteOwned(lease);
    return lease;
  }

  /** The lease of one of several deliveries that go on at the same time. */
  borrowApart(
    buffer: number,
    bufferGeneration: number,
    offset: number,
    length: number,
  ): LeaseHandle {
    const lease = new LeaseHandle(this, buffer, bufferGeneration, 0);
    lease.borrow(buffer, bufferGeneration, offset, length);
    return lease;
  }

  /** Takes a lease's object out of reuse. */
  forget(lease: LeaseHandle): void {
    const leases = this.#leases[lease.buffer >>> buffer_slab_shift];
    const place = (lease.buffer & slabMask) >>> this.#receiveShift;
    if (leases !== undefined && leases[place] === lease) leases[place] = null;
  }

  /** The script owns a lease from now on. */
  noteOwned(lease: LeaseHandle): void {
    if (this.#debug) this.#owned.set(lease, placeOfCall());
  }

  /** The script does not own a lease any more. */
  noteEnded(lease: LeaseHandle): void {
    if (this.#debug) this.#owned.delete(lease);
  }

  /** A buffer for the script's own message, or null when none is free. */
  allocate(length: number, alignment: number): LeaseHandle | null {
    if (!Number.isInteger(length) || length < 1 || length > this.slabBytes) {
      throw new IoError("INVALID_ARGUMENT", `a buffer of ${show(length)} bytes`, {
        advice: `Allocate 1 to ${this.slabBytes} bytes, or raise pool.slabBytes.`,
      });
    }
    if (alignment !== 1) checkAlignment(alignment);
    // Buffers of a size class are aligned to their size, up to a page.
    const buffer = this.take(Math.max(length, alignment));
    if (buffer < 0) return null;
    const lease = new LeaseHandle(this, buffer, this.takenGeneration, this.takenBytes);
    lease.size = length;
    this.noteOwned(lease);
    return lease;
  }

  /** The name of a free buffer of at least so many bytes, or -1 when there is none. */
  take(bytes: number): number {
    const buffer = this.#functions.tp_buffer_take(this.#loop, bytes);
    if (buffer >= 0) return buffer;
    if (buffer === Status.exhausted) return -1;
    throw errorOfStatus(buffer, "take a buffer");
  }

  /** The generation of the buffer that was taken last. */
  get takenGeneration(): number {
    return this.#words[Header.result_generation];
  }

  /** The bytes of the buffer that was taken last. */
  get takenBytes(): number {
    return this.#words[Header.result_bytes];
  }

  /** Gives back one of the script's references: at once where nothing was submitted before it. */
  giveBack(buffer: number, bufferGeneration: number): void {
    if (this.queue.count > 0 || !this.#callsAreCheap) {
      this.queue.reference(Operation.release, buffer, bufferGeneration);
      return;
    }
    const status = this.#functions.tp_buffer_release(this.#loop, buffer, bufferGeneration);
    if (status < 0) throw errorOfStatus(status, "release a lease");
    this.#wakeWaiting();
  }

  /** Copies `data` to a buffer. */
  fill(buffer: number, offset: number, data: Uint8Array): void {
    this.#slab(buffer).set(data, (buffer & slabMask) * buffer_unit + offset);
  }

  /** A view over a part of a buffer. */
  view(buffer: number, offset: number, length: number): Uint8Array {
    const start = (buffer & slabMask) * buffer_unit + offset;
    return this.#slab(buffer).subarray(start, start + length);
  }

  /** Puts a buffer in transit. A negative status when that cannot be. */
  transfer(buffer: number, bufferGeneration: number, references: number): number {
    // What was submitted about it counts.
    if (this.queue.count > 0) this.queue.flush();
    const functions = this.#functions;
    const status = functions.tp_buffer_transfer(this.#loop, buffer, bufferGeneration, references);
    this.#wakeWaiting();
    return status;
  }

  /** Whoever waited for a buffer goes on in a turn. */
  #wakeWaiting(): void {
    if (this.queue.isHostAsleep) this.queue.wake();
  }

  /** Takes over a buffer in transit. */
  receive(message: LeaseMessage): LeaseHandle {
    this.#checkOpen("receive a lease");
    const { pool, buffer, generation, offset, length } = message;
    const status = this.#functions.tp_buffer_receive(this.#loop, buffer, generation, pool);
    if (status === Status.stale_handle) throw staleLease();
    if (status < 0) throw errorOfStatus(status, "receive a lease");
    const bytes = this.takenBytes;
    if (offset + length > bytes) {
      this.giveBack(buffer, generation);
      throw new IoError("INVALID_ARGUMENT", `${length} bytes at ${offset} of ${bytes}`, {
        advice: "Pass the message as it came.",
      });
    }
    const lease = new LeaseHandle(this, buffer, generation, bytes - offset);
    lease.references = 1;
    lease.offset = offset;
    lease.size = length;
    this.noteOwned(lease);
    return lease;
  }

  adopt(memory: NativeMemory, options: AdoptOptions = {}): Lease {
    this.#checkOpen("adopt memory");
    const { address, byteLength } = this.#locate(memory);
    const { released = ignore } = checkOptions(options);
    if (typeof released !== "function") {
      throw new IoError("INVALID_ARGUMENT", "released must be a function");
    }
    const words = new Uint32Array(Layout.byte_length / 4);
    words[Layout.size] = Layout.byte_length;
    words[Layout.address_low] = Number(address & 0xffff_ffffn);
    words[Layout.address_high] = Number(address >> 32n);
    words[Layout.bytes] = byteLength;
    const bytes = new Uint8Array(words.buffer);
    const buffer = this.#functions.tp_memory_adopt(this.#loop, bytes, bytes.length);
    if (buffer < 0) throw errorOfStatus(buffer, "adopt memory");
    // The number may have been that of other memory before.
    const slab = buffer >>> buffer_slab_shift;
    if (slab < this.#slabs.length) this.#slabs[slab] = noBytes;
    const generation = this.takenGeneration;
    this.#adopted.set(`${buffer}:${generation}`, released);
    const lease = new LeaseHandle(this, buffer, generation, byteLength);
    this.noteOwned(lease);
    return lease;
  }

  /** Nothing uses adopted memory any more. */
  memoryReleased(buffer: number, generation: number): void {
    const key = `${buffer}:${generation}`;
    const released = this.#adopted.get(key);
    this.#adopted.delete(key);
    released?.();
  }

  /** The loop is about to be closed: every lease is stale. What the script still held. */
  expire(leases: number): LeakReport {
    this.isClosed = true;
    try {
      this.#lastStats = readPoolStats(this.#functions, this.#loop);
    } catch {
      // The loop is another process's by now; closing it says so.
    }
    const places = [...this.#owned].map(([lease, place]) => ({ bytes: lease.capacity, place }));
    this.#owned.clear();
    return { leases, places };
  }

  /** The loop was closed. Calls `released` of all memory that is still adopted. */
  releaseAdopted(fail: (error: unknown) => void): void {
    const all = [...this.#adopted.values()];
    this.#adopted.clear();
    for (const released of all) {
      try {
        released();
      } catch (error) {
        fail(error);
      }
    }
  }

  #checkOpen(attempt: string): void {
    if (!this.isClosed) return;
    throw new IoError("LOOP_CLOSED", `${attempt}: ${meaningOf("LOOP_CLOSED")}`);
  }

  #locate(memory: NativeMemory): { address: bigint; byteLength: number } {
    if (typeof memory !== "object" || memory === null) {
      throw new IoError("INVALID_ARGUMENT", "memory must be an object with pointer and byteLength");
    }
    const { pointer, byteLength } = memory;
    if (!Number.isInteger(byteLength) || byteLength < 1 || byteLength > 2 ** 30) {
      throw new IoError("INVALID_ARGUMENT", `memory of ${show(byteLength)} bytes`, {
        advice: "Adopt 1 to 1,073,741,824 bytes at a time.",
      });
    }
    const address = this.#addressOf(pointer);
    if (address > 0n && address < 2n ** 64n) return { address, byteLength };
    throw new IoError("INVALID_ARGUMENT", `${show(pointer)} is no address`, {
      advice: "Pass a pointer of the runtime's FFI, or an address as a number or bigint.",
    });
  }

  #addressOf(pointer: unknown): bigint {
    if (typeof pointer === "bigint") return pointer;
    if (typeof pointer === "number") return Number.isSafeInteger(pointer) ? BigInt(pointer) : 0n;
    try {
      return this.#adapter.address(pointer);
    } catch {
      return 0n;
    }
  }

  /** The slab of a buffer; made again after a script transferred a view of it away. */
  #slab(buffer: number): Uint8Array {
    const number = buffer >>> buffer_slab_shift;
    const slab = number < this.#slabs.length ? this.#slabs[number] : noBytes;
    return slab.length === 0 ? this.#map(number) : slab;
  }

  #map(number: number): Uint8Array {
    const byteLength = this.#functions.tp_slab_bytes(this.#loop, number);
    if (byteLength < 0) throw errorOfStatus(byteLength, "map a slab");
    const pointer = this.#functions.tp_slab(this.#loop, number);
    const slab = new Uint8Array(this.#adapter.view(pointer, byteLength));
    while (this.#slabs.length <= number) this.#slabs.push(noBytes);
    this.#slabs[number] = slab;
    return slab;
  }

  /** Bytes of the buffers that a copy of so many bytes takes. */
  copyBytes(length: number): number {
    const whole = Math.floor(length / this.partBytes);
    const rest = length - whole * this.partBytes;
    return whole * classBytes(this.partBytes) + (rest === 0 ? 0 : classBytes(rest));
  }
}

const noBytes = new Uint8Array(0);

function ignore(): void {}

function checkAlignment(alignment: number): void {
  const isPower = Number.isInteger(alignment) && Number.isInteger(Math.log2(alignment));
  if (isPower && alignment >= 1 && alignment <= pageBytes) return;
  throw new IoError("INVALID_ARGUMENT", `an alignment of ${show(alignment)} bytes`, {
    advice: "Use a power of two from 1 to 4,096.",
  });
}

/** The largest block that is not larger. */
function roundDown(bytes: number): number {
  if (bytes > largestClass) return bytes - bytes % pageBytes;
  return 2 ** Math.floor(Math.log2(bytes));
}

/** Bytes of the buffer that so many bytes take. */
function classBytes(bytes: number): number {
  if (bytes > largestClass) return Math.ceil(bytes / pageBytes) * pageBytes;
  return Math.max(buffer_unit, 2 ** Math.ceil(Math.log2(bytes)));
}
