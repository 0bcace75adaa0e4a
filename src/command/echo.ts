/**
 * `twinpoll echo ENDPOINT`: sends back what arrives, without a copy.
 *
 * @module
 */

import type { IoError } from "../io_error.ts";
import { Loop } from "../loop.ts";
import type { LoopOptions } from "../loop_options.ts";
import { formatAddress } from "../socket_address.ts";
import { Interrupt } from "./interrupt.ts";
import { type Counts, Totals } from "./totals.ts";

/** What the command line says. */
export interface EchoOptions {
  readonly endpoint: string;
  readonly loop: LoopOptions;
  readonly json: boolean;
}

/** What serves an endpoint. */
interface Service {
  /** The bound address. */
  readonly endpoint: string;
  counts(): Counts;
}

/** Serves until SIGINT or SIGTERM, then says what it has done. */
export async function echo(options: EchoOptions): Promise<void> {
  const { json } = options;
  using interrupt = new Interrupt();
  using loop = new Loop(options.loop);
  const isDatagrams = /^(udp|unix\+datagram):/i.test(options.endpoint);
  const service = isDatagrams
    ? echoDatagrams(loop, options.endpoint)
    : echoStreams(loop, options.endpoint);
  const { backend } = loop;
  const { endpoint } = service;
  console.log(
    json
      ? JSON.stringify({ event: "listening", endpoint, backend })
      : `listening on ${endpoint} (${backend})`,
  );
  using _totals = new Totals({ read: () => service.counts(), json, print: console.log });
  await loop.run({ signal: interrupt.signal });
}

function echoStreams(loop: Loop, endpoint: string): Service {
  const listener = loop.listen(endpoint, {
    data(conn, lease): void {
      conn.send(lease);
    },
    error: (_listener, error): void => tell(error),
  });
  return {
    endpoint: listener.endpoint,
    counts(): Counts {
      const { openConnections, accepted, receivedBytes, sentBytes } = loop.stats();
      return { open: openConnections, accepted, receivedBytes, sentBytes };
    },
  };
}

/** A datagram for which there is no room is lost, as on any other way. */
function echoDatagrams(loop: Loop, endpoint: string): Service {
  let datagrams = 0;
  let dropped = 0;
  const socket = loop.bind(endpoint, {
    message(socket, lease, source): void {
      datagrams += 1;
      try {
        if (socket.send(lease, source) === "full") dropped += 1;
      } catch {
        // A Unix socket without a name cannot be answered.
        dropped += 1;
      }
    },
    error: (_socket, error): void => tell(error),
  });
  return {
    endpoint: formatAddress(socket.localAddress),
    counts(): Counts {
      const { receivedBytes, sentBytes } = loop.stats();
      return { datagrams, dropped, receivedBytes, sentBytes };
    },
  };
}

function tell(error: IoError): void {
  console.error(`twinpoll: ${error.message}. ${error.advice}`);
}
