/**
 * `run()`: the loop owns the thread.
 *
 * Turns follow each other while there is work, with a microtask after each and a macrotask every
 * millisecond to four, so that promises, timers and signals of the host get their turn. Without
 * work it blocks in the kernel for at most a millisecond at a time, and after a while sleeps in the
 * host.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { IoError, meaningOf } from "./io_error.ts";
import type { Driver, LoopState } from "./loop_state.ts";
import { Mode } from "./native/abi.ts";
import { checkOptions, signalOption } from "./options.ts";

/** Longest block in the kernel. */
const sliceMs = 1;
/** A busy loop gives the host a macrotask this often: so seldom that it costs half a percent. */
const leastGapMs = 1;
const mostGapMs = 4;
const gapPerCost = 200;
/** Time without work after which the host sleeps, which costs a wake-up through a descriptor. */
const patienceMs = 10;

/** Options of `loop.run`. */
export interface RunOptions {
  /** Ends the run, which then resolves. */
  signal?: AbortSignal;
}

/** Drives `loop` until it is stopped, closed, aborted, or has nothing left to do. */
export async function run(loop: LoopState, options: RunOptions): Promise<void> {
  loop.checkOpen("run");
  const signal = signalOption(checkOptions(options).signal);
  if (loop.driver !== null) throw new IoError("BUSY", `run: ${meaningOf("BUSY")}`);
  if (signal?.aborted) return;
  const driver = new RunDriver(loop);
  const stop = (): void => driver.stop();
  loop.driver = driver;
  signal?.addEventListener("abort", stop);
  try {
    await driver.drive();
  } finally {
    signal?.removeEventListener("abort", stop);
    loop.driver = null;
  }
}

class RunDriver implements Driver {
  readonly isRun = true;
  readonly #loop: LoopState;
  #isStopped = false;
  /** False where no thread can watch the loop: then it only ever blocks in slices. */
  #canSleep = true;

  constructor(loop: LoopState) {
    this.#loop = loop;
    this.#canSleep = loop.mode !== Mode.poll;
  }

  stop(): void {
    this.#isStopped = true;
    this.#loop.sleep.wake();
  }

  refChanged(): void {
    const { sleep, hasWork } = this.#loop;
    if (hasWork) sleep.refChanged();
    else sleep.wake();
  }

  async drive(): Promise<void> {
    const loop = this.#loop;
    // The caller may be a handler, and a turn cannot start inside another.
    await null;
    let waitUs = 0;
    let macrotaskAt = performance.now();
    let idleSince = macrotaskAt;
    let gapMs = leastGapMs;
    while (!this.#isStopped && loop.hasWork) {
      loop.turn(waitUs, true);
      loop.throwFailure();
      if (loop.hadWork) {
        // Does not block: what the handlers submitted leaves before anything else is done.
        waitUs = 0;
        await null;
        idleSince = performance.now();
        if (idleSince - macrotaskAt < gapMs) continue;
        await macrotask(loop);
        macrotaskAt = performance.now();
        const costMs = macrotaskAt - idleSince;
        gapMs = Math.min(Math.max(costMs * gapPerCost, leastGapMs), mostGapMs);
        continue;
      }
      // Chains of promises that handlers started settle before the loop blocks.
      await macrotask(loop);
      macrotaskAt = performance.now();
      waitUs = sliceMs * 1000;
      if (this.#canSleep && macrotaskAt - idleSince >= patienceMs) {
        await this.#sleepInHost();
        macrotaskAt = performance.now();
        idleSince = macrotaskAt;
        waitUs = 0;
      }
    }
    // Closing the loop calls handlers too, and then there is no further turn.
    loop.throwFailure();
  }

  async #sleepInHost(): Promise<void> {
    const loop = this.#loop;
    if (this.#isStopped || !loop.hasWork) return;
    try {
      loop.sleep.open();
    } catch (error) {
      if (!(error instanceof IoError)) throw error;
      this.#canSleep = false;
      return;
    }
    await new Promise<void>((resolve) => {
      if (!loop.sleep.start(resolve)) resolve();
    });
  }
}

function macrotask(loop: LoopState): Promise<void> {
  return new Promise((resolve) => {
    const immediate = setImmediate(resolve);
    if (!loop.isRef) immediate.unref();
  });
}
