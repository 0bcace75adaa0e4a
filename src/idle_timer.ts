/**
 * A time limit from the last sign of life, for many signs: a `touch` reads the clock and nothing
 * more; the host's timer is set again only when it fires early.
 *
 * @module
 */

import { clearTimeout, setTimeout } from "node:timers";

/** The hosts' timers fire at once when they are to wait longer. */
const longestMs = 2 ** 31 - 1;

/** Counts from the last `touch`. It does not keep the process alive. */
export class IdleTimer implements Disposable {
  readonly #limitMs: number;
  readonly #reached: () => void;
  #touchedAt = performance.now();
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** Calls `reached` after so long, and again after further signs of life. */
  constructor(limitMs: number, reached: () => void) {
    this.#limitMs = limitMs;
    this.#reached = reached;
    this.#wait(limitMs);
  }

  /** A sign of life. */
  touch(): void {
    this.#touchedAt = performance.now();
    if (this.#timer === null) this.#wait(this.#limitMs);
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const leftMs = this.#touchedAt + this.#limitMs - performance.now();
      if (leftMs > 0) this.#wait(leftMs);
      else this.#reached();
    }, Math.min(ms, longestMs));
    this.#timer.unref();
  }
}
