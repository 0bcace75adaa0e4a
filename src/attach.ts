/**
 * `attach()`: the loop lives in the host's event loop.
 *
 * Turns that do not block follow each other with a macrotask between them while work keeps coming;
 * then the loop is armed and the host sleeps until native code wakes it.
 *
 * @module
 */

import { clearImmediate, setImmediate } from "node:timers";
import { IoError, meaningOf } from "./io_error.ts";
import type { Driver, LoopState } from "./loop_state.ts";
import { Mode } from "./native/abi.ts";

/** How long an adaptive loop goes on without work: about what a wake-up costs. */
const patienceMs = 0.05;

/** Starts to drive `loop` from the host's event loop. Throws `BUSY` or `NO_THREADS`. */
export function attach(loop: LoopState): void {
  loop.checkOpen("attach");
  if (loop.driver !== null) throw new IoError("BUSY", `attach: ${meaningOf("BUSY")}`);
  if (loop.mode !== Mode.poll) loop.sleep.open();
  loop.driver = new AttachedDriver(loop);
}

/** Stops what `attach` started. */
export function detach(loop: LoopState): void {
  if (loop.driver instanceof AttachedDriver) loop.driver.stop();
}

class AttachedDriver implements Driver {
  readonly isRun = false;
  readonly #loop: LoopState;
  #isStopped = false;
  #immediate: ReturnType<typeof setImmediate> | null = null;
  #workedAt = 0;
  readonly #wake = (): void => this.#step();

  constructor(loop: LoopState) {
    this.#loop = loop;
    this.#schedule();
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#immediate = null;
    this.#loop.driver = null;
    this.#loop.sleep.wake();
  }

  refChanged(): void {
    this.#loop.sleep.refChanged();
    if (this.#immediate === null) return;
    if (this.#loop.keepsAlive) this.#immediate.ref();
    else this.#immediate.unref();
  }

  #schedule(): void {
    this.#immediate = setImmediate(this.#wake);
    if (!this.#loop.keepsAlive && !this.#loop.hasPending) this.#immediate.unref();
  }

  #step(): void {
    this.#immediate = null;
    const loop = this.#loop;
    if (this.#isStopped) return;
    try {
      loop.turn(0, false);
      this.#reportFailure();
      if (!this.#isStopped && (this.#staysAwake() || !loop.sleep.start(this.#wake))) {
        this.#schedule();
      }
    } catch (error) {
      // The loop itself failed; it would fail again at each turn.
      this.stop();
      throw error;
    }
  }

  #staysAwake(): boolean {
    const loop = this.#loop;
    if (loop.mode === Mode.poll) return true;
    if (loop.mode === Mode.event) return loop.hadWork;
    const now = performance.now();
    if (loop.hadWork) this.#workedAt = now;
    return now - this.#workedAt < patienceMs;
  }

  /** What a handler throws has no caller: it becomes the host's uncaught error. */
  #reportFailure(): void {
    const { failure } = this.#loop;
    if (failure === null) return;
    this.#loop.failure = null;
    queueMicrotask(() => {
      throw failure.error;
    });
  }
}
