/**
 * Timers: native deadlines, with slots and generations that the script chooses.
 *
 * Invariant: a running timer owns a slot; each start raises the slot's generation, so a completion
 * of an earlier start is recognised as stale and ignored.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import { checkOptions } from "./options.ts";
import { show } from "./show.ts";

/** When a timer fires, from its start. */
export interface TimerOptions {
  /** Time to the first firing, in microseconds: 0 to 2^53. */
  delayUs: number;
  /** Time between further firings, in microseconds: 1 to 2^53. Left out: it fires once. */
  periodUs?: number;
}

/**
 * A deadline of the loop.
 *
 * @example Three ticks
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * let ticks = 0;
 * loop.startTimer((timer) => {
 *   if (++ticks === 3) timer.cancel();
 * }, { delayUs: 1000, periodUs: 1000 });
 * await loop.run(); // ends with the last timer
 * loop.close();
 * ```
 */
export interface Timer extends Disposable {
  /** True until it fired for the last time, was cancelled, or the loop closed. */
  readonly active: boolean;
  /** Stops it. Does nothing when it is not active. */
  cancel(): void;
  /**
   * Starts it again from now, active or not, with the options of its last start or new ones.
   *
   * @throws {IoError} `INVALID_OPTION`, `EXHAUSTED`, `LOOP_CLOSED`.
   */
  restart(options?: TimerOptions): void;
  /** Lets the timer keep the loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop end although the timer is active. */
  unref(): void;
  /** Same as `cancel()`. */
  [Symbol.dispose](): void;
}

const maxUs = 2 ** 53;
const inactive = -1;

/** The running timers of one loop. */
export class TimerTable {
  readonly #loop: LoopState;
  readonly #capacity: number;
  readonly #running: (TimerHandle | null)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];

  constructor(loop: LoopState, capacity: number) {
    this.#loop = loop;
    this.#capacity = capacity;
  }

  /** Starts `timer`, which may be running. */
  start(timer: TimerHandle): void {
    this.#loop.checkOpen("start a timer");
    if (timer.slot === inactive) {
      timer.slot = this.#takeSlot();
      this.#running[timer.slot] = timer;
      if (timer.isRef) this.#loop.addRef();
    }
    const generation = (this.#generations[timer.slot] + 1) >>> 0;
    this.#generations[timer.slot] = generation;
    this.#loop.queue.startTimer(timer.slot, generation, timer.delayUs, timer.periodUs);
  }

  /** Stops `timer`, which must be running. */
  stop(timer: TimerHandle): void {
    this.#loop.queue.stopTimer(timer.slot, this.#generations[timer.slot]);
    this.#release(timer);
  }

  /** The timer that a completion belongs to, or null for a stale one. A one-shot is released. */
  take(slot: number, generation: number): TimerHandle | null {
    const timer = this.#running[slot] ?? null;
    if (timer === null || this.#generations[slot] !== generation) return null;
    if (timer.periodUs === 0) this.#release(timer);
    return timer;
  }

  /** The loop was closed. */
  clear(): void {
    for (const timer of this.#running) {
      if (timer !== null) this.#release(timer);
    }
  }

  #takeSlot(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const slot = this.#running.length;
    if (slot === this.#capacity) {
      throw new IoError("EXHAUSTED", `all ${this.#capacity} timers are running`, {
        advice: "Cancel timers that are no longer needed, or raise maxTimers.",
      });
    }
    this.#running.push(null);
    this.#generations.push(0);
    return slot;
  }

  #release(timer: TimerHandle): void {
    this.#running[timer.slot] = null;
    this.#free.push(timer.slot);
    timer.slot = inactive;
    if (timer.isRef) this.#loop.dropRef();
  }
}

/** The class behind every {@linkcode Timer}. */
export class TimerHandle implements Timer {
  readonly loop: LoopState;
  readonly callback: (timer: Timer) => void;
  delayUs = 0;
  /** 0: one shot. */
  periodUs = 0;
  /** Its slot while it runs. */
  slot: number = inactive;
  isRef = true;

  constructor(loop: LoopState, callback: (timer: Timer) => void, options: TimerOptions) {
    if (typeof callback !== "function") {
      throw new IoError("INVALID_ARGUMENT", "the callback of a timer must be a function");
    }
    // Restarting without options takes those of the last start, of which there is none.
    if (options === undefined) {
      throw new IoError("INVALID_ARGUMENT", "a timer without options", {
        advice: "Pass { delayUs }, and periodUs if it shall fire again.",
      });
    }
    this.loop = loop;
    this.callback = callback;
    this.restart(options);
  }

  get active(): boolean {
    return this.slot !== inactive;
  }

  cancel(): void {
    if (this.active) this.loop.timers.stop(this);
  }

  restart(options?: TimerOptions): void {
    if (options !== undefined) {
      const delayUs = duration("delayUs", checkOptions(options).delayUs, 0);
      const { periodUs } = options;
      this.periodUs = periodUs === undefined ? 0 : duration("periodUs", periodUs, 1);
      // Last, so that a bad period changes nothing.
      this.delayUs = delayUs;
    }
    this.loop.timers.start(this);
  }

  ref(): void {
    if (this.isRef) return;
    this.isRef = true;
    if (this.active) this.loop.addRef();
  }

  unref(): void {
    if (!this.isRef) return;
    this.isRef = false;
    if (this.active) this.loop.dropRef();
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}

function duration(name: string, value: unknown, minimum: number): number {
  if (typeof value === "number" && value >= minimum && value <= maxUs) return value;
  throw new IoError("INVALID_OPTION", `option ${name} is ${show(value)}`, {
    advice: `Set ${name} to a number of microseconds from ${minimum} to 2^53.`,
  });
}
