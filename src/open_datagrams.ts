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
import type { Endpoint } from "./endpoint.ts";
import { loopOf } from "./shared_loop.ts";

/**
 * Binds a datagram socket.
 *
 * @param endpoint Where, such as `udp://127.0.0.1:7000` or `unix+datagram:/run/a.sock`; port 0
 *   takes a free one.
 * @param options Of the socket.
 * @returns The socket, to be iterated. Rejects with an `IoError`: `INVALID_ENDPOINT`,
 *   `UNKNOWN_SCHEME`, `INVALID_OPTION`, `EXHAUSTED`, `LOOP_CLOSED`, `NO_THREADS`, or what the
 *   system says, such as `EADDRINUSE`.
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
  const loop = loopOf(options.loop);
  const stream = new DatagramStreamHandle(options);
  const { message, drain, error, gone } = stream;
  const socket = loop.bind(endpoint, { message, drain, error, close: gone }, options);
  stream.start(socket, options.signal);
  return await Promise.resolve(stream);
}
