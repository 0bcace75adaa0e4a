/**
 * `twinpoll echo ENDPOINT`: sends back what arrives, without a copy.
 *
 * @module
 */

import process from "node:process";
import { Loop } from "../loop.ts";
import type { LoopOptions } from "../loop_options.ts";

/** What the command line says. */
export interface EchoOptions {
  readonly endpoint: string;
  readonly loop: LoopOptions;
  readonly json: boolean;
}

/** Serves until SIGINT or SIGTERM. */
export async function echo(options: EchoOptions): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  const loop = new Loop(options.loop);
  try {
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
      options.json
        ? JSON.stringify({ event: "listening", endpoint, backend })
        : `listening on ${endpoint} (${backend})`,
    );
    await loop.run({ signal: stop.signal });
  } finally {
    process.removeListener("SIGINT", onSignal);
    process.removeListener("SIGTERM", onSignal);
    loop.close();
  }
}
