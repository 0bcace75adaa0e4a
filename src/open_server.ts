/**
 * Opening a server.
 *
 * @module
 */

import { type DescriptorEndpoint, resolveDescriptor } from "./descriptor_endpoint.ts";
import { type Endpoint, streamTransports } from "./endpoint.ts";
import type { ListenerHandle } from "./listener.ts";
import { candidatesOf, openFirst } from "./named_address.ts";
import { checkOptions, signalOption } from "./options.ts";
import { settingsOf } from "./open_stream.ts";
import { type Server, ServerHandle, type ServerOptions } from "./server.ts";
import { loopOf } from "./shared_loop.ts";

/**
 * Listens.
 *
 * @param endpoint Where, such as `tcp://127.0.0.1:7000`; port 0 takes a free one. As with
 *   `loop.listen` also a descriptor. A name is looked up, and of its addresses the first one that
 *   is this machine's is taken; `localhost` is 127.0.0.1.
 * @param options Of the server and its connections.
 * @returns The server, to be iterated. Rejects with an `IoError`: `INVALID_ENDPOINT`,
 *   `UNKNOWN_SCHEME`, `INVALID_OPTION`, `INVALID_ARGUMENT` for a segmenter, which needs the
 *   handlers of a loop, `EXHAUSTED`, `LOOP_CLOSED`, `NO_THREADS`, or what the system says, such as
 *   `EADDRINUSE`, `EACCES`, or `EADDRNOTAVAIL` when no address is this machine's. For a name also
 *   `NAME_NOT_FOUND`, `RESOLVE_FAILED`, `RESOLVE_TIMEOUT`, and `ABORTED` by the signal.
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
  const loop = loopOf(checkOptions(options).loop);
  const server = new ServerHandle(options, settingsOf(options));
  const { open, error } = server;
  const { family, resolveTimeoutMs } = options;
  const signal = signalOption(options.signal);
  const asking = { loop, family, resolveTimeoutMs, signal };
  const candidates = resolveDescriptor(endpoint) === null
    ? await candidatesOf(endpoint, streamTransports, asking)
    : { text: "", endpoints: [endpoint] };
  const listener = openFirst(
    candidates,
    (where) => loop.listen(where, { open, error }, options) as ListenerHandle,
  );
  listener.whenEnded = server.ended;
  server.start(listener, signal);
  return server;
}
