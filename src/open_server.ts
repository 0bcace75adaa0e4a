/**
 * Opening a server.
 *
 * @module
 */

import type { DescriptorEndpoint } from "./descriptor_endpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ListenerHandle } from "./listener.ts";
import { settingsOf } from "./open_stream.ts";
import { type Server, ServerHandle, type ServerOptions } from "./server.ts";
import { loopOf } from "./shared_loop.ts";

/**
 * Listens.
 *
 * @param endpoint Where, such as `tcp://127.0.0.1:7000`; port 0 takes a free one. As with
 *   `loop.listen` also a descriptor.
 * @param options Of the server and its connections.
 * @returns The server, to be iterated. Rejects with an `IoError`: `INVALID_ENDPOINT`,
 *   `UNKNOWN_SCHEME`, `INVALID_OPTION`, `INVALID_ARGUMENT` for a segmenter, which needs the
 *   handlers of a loop, `EXHAUSTED`, `LOOP_CLOSED`, `NO_THREADS`, or what the system says, such as
 *   `EADDRINUSE` or `EACCES`.
 *
 * @example An echo server
 * ```ts
 * import { listen } from "@twinpoll/twinpoll";
 *
 * const signal = AbortSignal.timeout(100); // without a signal: for ever
 * await using server = await listen("tcp://127.0.0.1:0", { signal });
 * for await (const stream of server) {
 *   stream.readable.pipeTo(stream.writable).catch((error) => console.error(error.code));
 * }
 * ```
 */
export async function listen(
  endpoint: string | Endpoint | DescriptorEndpoint,
  options: ServerOptions = {},
): Promise<Server> {
  const loop = loopOf(options.loop);
  const server = new ServerHandle(options, settingsOf(options));
  const { open, error } = server;
  const listener = loop.listen(endpoint, { open, error }, options) as ListenerHandle;
  listener.whenEnded = server.ended;
  server.start(listener, options.signal);
  return await Promise.resolve(server);
}
