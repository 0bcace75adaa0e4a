// What the harness and every server agree on: `--port N` (0 picks one), then one line on standard
// output, `listening PORT`, or `unavailable REASON` where the server cannot run. SIGTERM ends it.

import process from "node:process";
import { parseArgs } from "node:util";

/** The port that `--port` asks for; 0 without it. */
export function portArgument(): number {
  const { values } = parseArgs({
    strict: false,
    options: { port: { type: "string", default: "0" } },
  });
  return Number(values.port);
}

/** Tells the harness where this server listens. */
export function announce(port: number): void {
  process.stdout.write(`listening ${port}\n`);
}

/** Tells the harness that this server cannot run here, which is not a failure. */
export function announceUnavailable(reason: string): void {
  process.stdout.write(`unavailable ${reason.replaceAll("\n", " ")}\n`);
}
