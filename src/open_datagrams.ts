/**
 * Opening a datagram socket with promises.
 *
 * @module
 */

import {
  type DatagramStream,
  DatagramStreamHandle,
  type DatagramStreamOptions,
} from "./datagram_stream.ts";
import { datagramTransports, isUnnamed } from "./bind.ts";
import type { DatagramSocket } from "./datagram_socket.ts";
import { type Endpoint, resolveEndpoint } from "./endpoint.ts";
import { IoError } from "./io_error.ts";
import { type Candidates, candidatesOf, openFirst } from "./named_address.ts";
import { AddressFamily } from "./native/abi.ts";
import { checkOptions, signalOption } from "./options.ts";
import { loopOf } from "./shared_loop.ts";

/**
 * Binds a datagram socket.
 *
 * @param endpoint Where, such as `udp://127.0.0.1:7000` or `unix+datagram:/run/a.sock`; port 0
 *   takes a free one. A name is looked up, and of its addresses the first one that is this
 *   machine's is taken; of the name of a `remote` the first one to which there is a way.
 * @param options Of the socket.
 * @returns The socket, to be iterated. Rejects with an `IoError`: `INVALID_ENDPOINT`,
 *   `UNKNOWN_SCHEME`, `INVALID_OPTION`, `EXHAUSTED`, `LOOP_CLOSED`, `NO_THREADS`, or what the
 *   system says, such as `EADDRINUSE`, or `EADDRNOTAVAIL` when no address is this machine's. For
 *   names also `NAME_NOT_FOUND`, `RESOLVE_FAILED`, `RESOLVE_TIMEOUT`, and `ABORTED` by the signal.
 *
 * @example Echo
 * ```ts
 * import { bind } from "@twinpoll/twinpoll";
 *
 * const signal = AbortSignal.timeout(100); // without a signal: for ever
 * await using socket = await bind("udp://127.0.0.1:0", { signal });
 * for await (const { bytes, source } of socket) await socket.send(bytes, source);
 * ```
 */
export async function bind(
  endpoint: string | Endpoint,
  options: DatagramStreamOptions = {},
): Promise<DatagramStream> {
  const loop = loopOf(checkOptions(options).loop);
  const stream = new DatagramStreamHandle(options);
  const { message, drain, error, gone } = stream;
  const handlers = { message, drain, error, close: gone };
  const { remote, family, resolveTimeoutMs } = options;
  const signal = signalOption(options.signal);
  const asking = { loop, family, resolveTimeoutMs, signal };
  const own = isUnnamed(endpoint)
    ? { text: "", endpoints: [endpoint] }
    : await candidatesOf(endpoint, datagramTransports, asking);
  const peers = remote === undefined
    ? null
    : await candidatesOf(remote, datagramTransports, asking);
  const socket = openFirst(own, (where) => {
    if (peers === null) return loop.bind(where, handlers, options);
    const bindTo = (remote: string | Endpoint): DatagramSocket =>
      loop.bind(where, handlers, { ...options, remote });
    return openFirst(reachable(peers, where), bindTo);
  });
  stream.start(socket, signal);
  return stream;
}

/** The addresses of a peer's name that a socket at `own` can send to. */
function reachable(
  peers: Candidates<string | Endpoint>,
  own: string | Endpoint,
): Candidates<string | Endpoint> {
  const { text } = peers;
  if (text === "" || !isIpv4(own)) return peers;
  const endpoints = peers.endpoints.filter(isIpv4);
  if (endpoints.length > 0) return { text, endpoints };
  throw new IoError("EAFNOSUPPORT", `${text}: the name has no IPv4 address`, {
    advice: "Bind an address of IPv6, such as udp://[::]:0.",
  });
}

function isIpv4(endpoint: string | Endpoint): boolean {
  return resolveEndpoint(endpoint, datagramTransports).family === AddressFamily.ipv4;
}
