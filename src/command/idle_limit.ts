/**
 * A limit of the time in which nothing moves on a connection of a command.
 *
 * @module
 */

import { IdleTimer } from "../idle_timer.ts";
import { IoError } from "../io_error.ts";

/** Counts from the last `touch`. */
export class IdleLimit implements Disposable {
  /** Why it ended, once the limit is reached. */
  error: IoError | null = null;
  readonly #timer: IdleTimer | null;

  /** Calls `reached` once; never with a limit of 0. */
  constructor(limitMs: number, reached: () => void) {
    this.#timer = limitMs === 0 ? null : new IdleTimer(limitMs, () => {
      this.error = new IoError("ETIMEDOUT", `nothing moved for ${limitMs} ms`, {
        advice: "Raise --idle-timeout, or look at the peer.",
      });
      reached();
    });
  }

  /** Something moves. */
  touch(): void {
    this.#timer?.touch();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}
