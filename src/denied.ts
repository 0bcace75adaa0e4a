/**
 * What to do about EACCES, which says something else of each thing that is attempted.
 *
 * @module
 */

import type { IoErrorOptions } from "./io_error.ts";

/** Negated, as native code tells it. */
const denied = -13;

const advices = {
  bind: {
    path: "Choose a path in a folder that this user may write to.",
    port: undefined,
  },
  connect: {
    path: "Give this user the right to write to the socket at the path, and to search its folders.",
    port: "Check security modules, seccomp filters and the firewall.",
  },
  send: {
    path: "Give this user the right to write to the socket at the path, and to search its folders.",
    port: "Set broadcast for a broadcast address; else check security modules and the firewall.",
  },
} as const;

/**
 * Advice for an error, where the usual one of its code does not fit.
 *
 * @param status The native result.
 * @param attempt What was attempted.
 * @param family The family of the address that it was attempted with.
 */
export function deniedAdvice(
  status: number,
  attempt: keyof typeof advices,
  family: string,
): Pick<IoErrorOptions, "advice"> {
  if (status !== denied) return {};
  const advice = advices[attempt][family === "unix" ? "path" : "port"];
  return advice === undefined ? {} : { advice };
}
