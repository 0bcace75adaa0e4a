/**
 * Leases that a program still held when their loop was closed.
 *
 * @module
 */

import process from "node:process";

/** Where a lease came from. */
export interface LeakedLease {
  /** Bytes of its buffer. */
  readonly bytes: number;
  /** The stack of the call that took it. */
  readonly place: string;
}

/** Leases that were held when their loop was closed. */
export interface LeakReport {
  /** How many buffers. */
  readonly leases: number;
  /** With `debug: true` where they were taken, one per lease; else empty. */
  readonly places: readonly LeakedLease[];
}

/** Most places in the text of a warning. */
const placesShown = 10;

/** Tells of leaks: the program if it asked to be told, else in debug the process's warnings. */
export function reportLeaks(
  report: LeakReport,
  onLeak: ((report: LeakReport) => void) | undefined,
  debug: boolean,
): void {
  if (report.leases === 0) return;
  if (onLeak !== undefined) return onLeak(report);
  if (!debug) return;
  const shown = report.places.slice(0, placesShown).map(({ bytes, place }) =>
    `${bytes} bytes, taken ${place}`
  );
  const text = `${report.leases} leases were held when their loop was closed`;
  process.emitWarning([text, ...shown].join("\n"), "TwinpollLeak");
}

/** Files through which leases are taken; in a bundle there are none of these names. */
const ownFiles = ["leaks", "lease", "pool", "loop"].map((name) =>
  new URL(`./${name}.ts`, import.meta.url).pathname
);

/** The stack of whoever called into the library, without its own first lines. */
export function placeOfCall(): string {
  const lines = new Error().stack?.split("\n") ?? [];
  const calls = lines.filter((line) => /^\s*at |@/.test(line));
  const first = calls.findIndex((line) => !ownFiles.some((file) => line.includes(`${file}:`)));
  return calls.slice(Math.max(0, first)).map((line) => line.trim()).join("\n");
}
