/**
 * Durations on the command line: `30`, `1.5s`, `200ms`, `5m`, `1h`. A bare number is seconds.
 *
 * @module
 */

import { Misuse } from "./misuse.ts";

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const maxMs = 3_600_000;

/**
 * The whole milliseconds of a duration, 0 to an hour; a part of a millisecond counts as one.
 *
 * @param option The option that it is the value of, such as `--idle-timeout`.
 */
export function durationMs(option: string, text: string): number {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const ms = found === null ? NaN : Math.ceil(Number(found[1]) * msPerUnit[found[2] ?? "s"]);
  if (ms <= maxMs) return ms;
  throw new Misuse(
    `${option} ${JSON.stringify(text)}: use seconds or a unit up to an hour, ` +
      "such as 30, 1.5s, 200ms or 5m",
  );
}
