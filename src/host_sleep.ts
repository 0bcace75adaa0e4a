/**
 * Sleeping in the host's event loop instead of in the kernel.
 *
 * Native code watches the loop while it is armed and writes a byte when there is work; the host
 * polls the other end. Invariant: the wake source keeps the process alive only while asleep.
 *
 * @module
 */

import { errorOfStatus } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import type { WakeSource } from "./native/adapter.ts";

/** How one loop sleeps in the host. */
export class HostSleep {
  readonly #loop: LoopState;
  #source: WakeSource | null = null;
  #isSourceRef = false;
  /** What to call at the next wake-up; null while awake. */
  #onWake: (() => void) | null = null;

  constructor(loop: LoopState) {
    this.#loop = loop;
  }

  /** Opens the wake source, which lasts until the loop closes. Throws `NO_THREADS`. */
  open(): void {
    if (this.#source !== null) return;
    const { functions, handle, library } = this.#loop;
    const descriptor = functions.tp_loop_wake_descriptor(handle);
    if (descriptor < 0) throw errorOfStatus(descriptor, "open a wake descriptor");
    this.#source = library.adapter.openWakeSource(descriptor, (): void => this.wake());
  }

  /** Falls asleep and calls `onWake` once, at the next event; false when there is work already. */
  start(onWake: () => void): boolean {
    this.open();
    const loop = this.#loop;
    if (loop.hasPending) return false;
    const armed = loop.functions.tp_loop_arm(loop.handle);
    if (armed < 0) throw errorOfStatus(armed, "fall asleep");
    if (armed === 0) return false;
    this.#onWake = onWake;
    loop.queue.isHostAsleep = true;
    this.refChanged();
    return true;
  }

  /** Wakes up now, if asleep. */
  wake(): void {
    const onWake = this.#onWake;
    if (onWake === null) return;
    this.#onWake = null;
    this.#loop.queue.isHostAsleep = false;
    this.refChanged();
    onWake();
  }

  /** Wakes up after the running job, so that all that it submits goes with one turn. */
  wakeSoon(): void {
    this.#loop.queue.isHostAsleep = false;
    queueMicrotask((): void => this.wake());
  }

  /** Follows what keeps the process alive. */
  refChanged(): void {
    const isRef = this.#onWake !== null && this.#loop.keepsAlive;
    if (this.#source === null || isRef === this.#isSourceRef) return;
    this.#isSourceRef = isRef;
    if (isRef) this.#source.ref();
    else this.#source.unref();
  }

  /** Wakes up for good. */
  close(): void {
    this.wake();
    this.#source?.close();
    this.#source = null;
  }
}
