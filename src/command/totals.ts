/**
 * What a command has done so far: rewritten once a second on a terminal, as JSON lines with
 * `--json`, and once more at the end.
 *
 * Invariant: the last line says the totals at the end, whatever was shown before.
 *
 * @module
 */

import process from "node:process";
import { clearInterval, setInterval } from "node:timers";

/** Counts by name. Those whose name ends with `Bytes` are shown as bytes, with their rate. */
export type Counts = Readonly<Record<string, number>>;

/** What is shown, and where. */
export interface TotalsOptions {
  /** The counts as of now. */
  readonly read: () => Counts;
  /** One JSON object per line instead of text. */
  readonly json: boolean;
  /** Takes each line; a terminal's own line goes to standard error. */
  readonly print: (line: string) => void;
}

const periodMs = 1_000;
const clearLine = "\r\x1b[K";

/** Shows the totals of a command until it is disposed. */
export class Totals implements Disposable {
  readonly #options: TotalsOptions;
  readonly #startedAt = performance.now();
  readonly #ticker: ReturnType<typeof setInterval>;
  #shown: Counts = {};
  #shownAt = this.#startedAt;
  #isLineUsed = false;

  constructor(options: TotalsOptions) {
    this.#options = options;
    this.#ticker = setInterval(() => this.#tick(), periodMs);
    this.#ticker.unref();
  }

  /** Shows the totals at the end. */
  [Symbol.dispose](): void {
    clearInterval(this.#ticker);
    this.#clear();
    const { read, json, print } = this.#options;
    const counts = read();
    const seconds = Math.round(performance.now() - this.#startedAt) / 1_000;
    if (json) print(JSON.stringify({ event: "end", seconds, ...counts }));
    else print(`ended after ${seconds} s: ${countsText(counts)}`);
  }

  #tick(): void {
    const { read, json, print } = this.#options;
    const counts = read();
    const seconds = (performance.now() - this.#shownAt) / 1_000;
    const isSame = Object.entries(counts).every(([name, count]) => this.#shown[name] === count);
    if (json && !isSame) {
      print(JSON.stringify({ event: "totals", ...counts }));
    } else if (!json && process.stderr.isTTY) {
      this.#isLineUsed = true;
      process.stderr.write(clearLine + countsText(counts, this.#shown, seconds));
    }
    this.#shown = counts;
    this.#shownAt = performance.now();
  }

  #clear(): void {
    if (this.#isLineUsed) process.stderr.write(clearLine);
    this.#isLineUsed = false;
  }
}

/**
 * Counts as people read them, with rates where it is known what they were some seconds ago.
 *
 * @param before The counts then.
 * @param seconds How long ago that was.
 */
export function countsText(counts: Counts, before: Counts = {}, seconds = 0): string {
  return Object.entries(counts).map(([name, count]) => {
    const isBytes = name.endsWith("Bytes");
    const words = name.replace(/Bytes$/, "").replace(/[A-Z]/g, (letter) => ` ${letter}`);
    const amount = isBytes ? bytesText(count) : count.toLocaleString("en");
    const grown = count - (before[name] ?? 0);
    const rate = isBytes && seconds > 0 ? ` (${bytesText(grown / seconds)}/s)` : "";
    return `${amount} ${words.toLowerCase()}${rate}`;
  }).join(", ");
}

function bytesText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1_024 && unit < units.length - 1; unit++) bytes /= 1_024;
  return `${unit === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}
