/**
 * Submissions on their way to the next turn: eight words each, written in place.
 *
 * Entries are taken in order by `tp_loop_turn`, or earlier by `tp_loop_submit` when the array is
 * full. The first words of all entries agree: operation and flags, slot, generation. Nothing here
 * allocates.
 *
 * @module
 */

import { errorOfStatus } from "./io_error.ts";
import {
  BufferEntry,
  DatagramEntry,
  type Functions,
  HandleEntry,
  Operation,
  SendEntry,
  TimerEntry,
} from "./native/abi.ts";

const entryWords = SendEntry.byte_length / 4;
const entryDoubles = SendEntry.byte_length / 8;

/** Where flags stand in an entry's first word; every supported machine is little-endian. */
const flagsShift = 8;
const segmentShift = 16;

/** An operation of a `HandleEntry`. */
export type HandleOperation =
  | typeof Operation.pause
  | typeof Operation.unpause
  | typeof Operation.shutdown
  | typeof Operation.close
  | typeof Operation.abort
  | typeof Operation.listener_close
  | typeof Operation.socket_pause
  | typeof Operation.socket_unpause
  | typeof Operation.socket_close
  | typeof Operation.socket_abort;

/** Where a queue lies and who takes its entries. */
export interface SubmissionQueueOptions {
  readonly functions: Functions;
  readonly loop: number;
  /** The loop's shared region, as words and as doubles. */
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
  /** Bytes from the region's start to the first entry. */
  readonly offset: number;
  readonly capacity: number;
  /** Called at the first entry after `isHostAsleep` was set: nobody else would start a turn. */
  readonly wake: () => void;
}

/** The submissions of one loop. */
export class SubmissionQueue {
  /** Entries written and not taken yet. */
  count = 0;
  /** The driver sleeps in the host's event loop and has to be told of work. */
  isHostAsleep = false;

  readonly #functions: Functions;
  readonly #loop: number;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #base: number;
  readonly #capacity: number;
  /** Tells a sleeping driver of work. */
  readonly wake: () => void;

  constructor(options: SubmissionQueueOptions) {
    this.#functions = options.functions;
    this.#loop = options.loop;
    this.#words = options.words;
    this.#doubles = options.doubles;
    this.#base = options.offset / 4;
    this.#capacity = options.capacity;
    this.wake = options.wake;
  }

  /** `length` bytes at `offset` of a buffer, to a connection. */
  send(
    slot: number,
    generation: number,
    buffer: number,
    bufferGeneration: number,
    offset: number,
    length: number,
    flags: number,
  ): void {
    const at = this.#reserve();
    const words = this.#words;
    words[at] = Operation.send | flags << flagsShift;
    words[at + SendEntry.slot] = slot;
    words[at + SendEntry.generation] = generation;
    words[at + SendEntry.buffer] = buffer;
    words[at + SendEntry.buffer_generation] = bufferGeneration;
    words[at + SendEntry.offset] = offset;
    words[at + SendEntry.length] = length;
  }

  /** A datagram; the number of its entry, beside which its address is to be written. */
  datagram(
    flags: number,
    segment: number,
    slot: number,
    generation: number,
    buffer: number,
    bufferGeneration: number,
    offset: number,
    length: number,
  ): number {
    const at = this.#reserve();
    const words = this.#words;
    words[at] = Operation.datagram_send | flags << flagsShift | segment << segmentShift;
    words[at + DatagramEntry.slot] = slot;
    words[at + DatagramEntry.generation] = generation;
    words[at + DatagramEntry.buffer] = buffer;
    words[at + DatagramEntry.buffer_generation] = bufferGeneration;
    words[at + DatagramEntry.offset] = offset;
    words[at + DatagramEntry.length] = length;
    return this.count - 1;
  }

  /** A `socket_drain` once there is room for `length` bytes, and buffers to copy to. */
  wantSocketDrain(slot: number, generation: number, length: number, bufferBytes: number): void {
    const at = this.#reserve();
    this.#words[at] = Operation.socket_want_drain;
    this.#words[at + HandleEntry.slot] = slot;
    this.#words[at + HandleEntry.generation] = generation;
    this.#words[at + HandleEntry.parts] = 1;
    this.#words[at + HandleEntry.length] = length;
    this.#words[at + HandleEntry.buffer_bytes] = bufferBytes;
  }

  /** One reference more or less on a buffer. */
  reference(
    operation: typeof Operation.retain | typeof Operation.release,
    buffer: number,
    bufferGeneration: number,
  ): void {
    const at = this.#reserve();
    this.#words[at] = operation;
    this.#words[at + BufferEntry.buffer] = buffer;
    this.#words[at + BufferEntry.buffer_generation] = bufferGeneration;
  }

  /** Something to do with a connection or listener. */
  handle(operation: HandleOperation, slot: number, generation: number): void {
    const at = this.#reserve();
    this.#words[at] = operation;
    this.#words[at + HandleEntry.slot] = slot;
    this.#words[at + HandleEntry.generation] = generation;
  }

  /** A `drain` once there are so many places, room for `length` bytes, and buffers to copy to. */
  wantDrain(
    slot: number,
    generation: number,
    places: number,
    length: number,
    bufferBytes: number,
  ): void {
    const at = this.#reserve();
    this.#words[at] = Operation.want_drain;
    this.#words[at + HandleEntry.slot] = slot;
    this.#words[at + HandleEntry.generation] = generation;
    this.#words[at + HandleEntry.parts] = places;
    this.#words[at + HandleEntry.length] = length;
    this.#words[at + HandleEntry.buffer_bytes] = bufferBytes;
  }

  /** Starts a timer, or starts it again. */
  startTimer(slot: number, generation: number, delayUs: number, periodUs: number): void {
    const at = this.#reserve();
    this.#words[at] = Operation.timer_start;
    this.#words[at + TimerEntry.slot] = slot;
    this.#words[at + TimerEntry.generation] = generation;
    const doublesAt = at / entryWords * entryDoubles;
    this.#doubles[doublesAt + TimerEntry.delay_us] = delayUs;
    this.#doubles[doublesAt + TimerEntry.period_us] = periodUs;
  }

  /** Stops a timer. */
  stopTimer(slot: number, generation: number): void {
    const at = this.#reserve();
    this.#words[at] = Operation.timer_stop;
    this.#words[at + TimerEntry.slot] = slot;
    this.#words[at + TimerEntry.generation] = generation;
  }

  /** The number of entries, for the call that takes them. */
  take(): number {
    const count = this.count;
    this.count = 0;
    return count;
  }

  /** Has native code take what is written, without a turn. */
  flush(): void {
    const status = this.#functions.tp_loop_submit(this.#loop, this.count);
    if (status < 0) throw errorOfStatus(status, "submit");
    this.count = 0;
  }

  /** The word at which the next entry starts. */
  #reserve(): number {
    if (this.count === this.#capacity) this.flush();
    if (this.isHostAsleep) this.wake();
    const at = this.#base + this.count * entryWords;
    this.count += 1;
    return at;
  }
}
