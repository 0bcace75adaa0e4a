// Progress on standard error: a live line on a terminal, a line per step elsewhere.

import process from "node:process";

export class Progress {
  readonly #live = process.stderr.isTTY === true;
  readonly #total: number;
  readonly #started = performance.now();
  #done = 0;

  /** @param total Number of steps that `step` will be called for. */
  constructor(total: number) {
    this.#total = total;
  }

  /** Tells what is being done now. */
  step(what: string): void {
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(0);
    const count = String(++this.#done).padStart(String(this.#total).length);
    const line = `[${count}/${this.#total}] ${seconds} s  ${what}`;
    const columns = (process.stderr.columns ?? 80) - 1;
    process.stderr.write(this.#live ? `\r\x1b[K${line.slice(0, columns)}` : `${line}\n`);
  }

  /** Clears the live line. */
  end(): void {
    if (this.#live) process.stderr.write("\r\x1b[K");
  }
}
