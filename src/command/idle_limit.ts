/**
 * A limit of the time in which nothing moves.
 *
 * @module
 */

import { IoError } from "../io_error.ts";

/** Counts from the last `touch`. */
export class IdleLimit implements Disposable {
  /** Why it ended, once the limit is reached. */
  error: IoError | null = null;
  readonly #limitMs: number;
  readonly #reached: () => void;
  #touchedAt = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Calls `reached` once; never with a limit of 0. */
  constructor(limitMs: number, reached: () => void) {
    this.#limitMs = limitMs;
    this.#reached = reached;
    if (limitMs > 0) this.#wait(limitMs);
  }

  /** Something moves. */
  touch(): void {
    this.#touchedAt = performance.now();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => {
      const leftMs = this.#touchedAt + this.#limitMs - performance.now();
      if (leftMs > 0) return this.#wait(leftMs);
      this.error = new IoError("ETIMEDOUT", `nothing moved for ${this.#limitMs} ms`, {
        advice: "Raise --idle-timeout, or look at the peer.",
      });
      this.#reached();
    }, ms);
  }
}
