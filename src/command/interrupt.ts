/**
 * SIGINT and SIGTERM as the orderly end of a command. The second one ends the process at once.
 *
 * @module
 */

import process from "node:process";

/** Waits for a signal until it is disposed. */
export class Interrupt implements Disposable {
  /** What a command that was to go on ends with: 128 and the signal's number; 0 without one. */
  exitCode = 0;
  readonly #controller = new AbortController();
  readonly #onSignal = (name: "SIGINT" | "SIGTERM"): void => {
    this[Symbol.dispose]();
    this.exitCode = name === "SIGINT" ? 130 : 143;
    this.#controller.abort();
  };

  constructor() {
    process.on("SIGINT", this.#onSignal);
    process.on("SIGTERM", this.#onSignal);
  }

  /** Aborted with the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    process.removeListener("SIGINT", this.#onSignal);
    process.removeListener("SIGTERM", this.#onSignal);
  }
}
