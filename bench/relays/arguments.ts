// What every relay of the comparison is started with beside `--port`: `--target PORT` of the echo
// server behind it.

import { parseArgs } from "node:util";

/** The port that `--target` names. */
export function targetArgument(): number {
  const { values } = parseArgs({ strict: false, options: { target: { type: "string" } } });
  return Number(values.target);
}
