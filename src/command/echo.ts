/**
 * `twinpoll echo ENDPOINT`: sends back what arrives, without a copy.
 *
 * @module
 */

import { Loop } from "../loop.ts";
import type { LoopOptions } from "../loop_options.ts";
import { Interrupt } from "./interrupt.ts";
import { Totals } from "./totals.ts";

/** What the command line says. */
export interface EchoOptions {
  readonly endpoint: string;
  readonly loop: LoopOptions;
  readonly json: boolean;
}

/** Serves until SIGINT or SIGTERM, then says what it has done. */
export async function echo(options: EchoOptions): Promise<void> {
  const { json } = options;
  using interrupt = new Interrupt();
  using loop = new Loop(options.loop);
  const { endpoint } = loop.listen(options.endpoint, {
    data(conn, lease): void {
      conn.send(lease);
    },
    error(_listener, error): void {
      console.error(`twinpoll: ${error.message}. ${error.advice}`);
    },
  });
  const { backend } = loop;
  console.log(
    json
      ? JSON.stringify({ event: "listening", endpoint, backend })
      : `listening on ${endpoint} (${backend})`,
  );
  using _totals = new Totals({ read: () => countsOf(loop), json, print: console.log });
  await loop.run({ signal: interrupt.signal });
}

function countsOf(loop: Loop): Record<string, number> {
  const { openConnections, accepted, receivedBytes, sentBytes } = loop.stats();
  return { open: openConnections, accepted, receivedBytes, sentBytes };
}
