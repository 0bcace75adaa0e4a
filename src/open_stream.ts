/**
 * Opening a stream.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import type { ConnectionHandle } from "./connection_handle.ts";
import type { Endpoint } from "./endpoint.ts";
import { IoError } from "./io_error.ts";
import { checkOptions, integerOption, signalOption } from "./options.ts";
import { loopOf } from "./shared_loop.ts";
import type { Stream, StreamConnectOptions, StreamLoopOptions } from "./stream.ts";
import { StreamEvents, StreamHandle, type StreamSettings } from "./stream_handle.ts";

const defaultReadAheadBytes = 65_536;
const maxReadAheadBytes = 2 ** 30;

/**
 * Connects.
 *
 * @param endpoint The peer, such as `tcp://[::1]:7000` or `tcp://example.com:80`.
 * @param options Of the connection; `signal` and `timeoutMs` limit the wait for it.
 * @returns The open stream. Rejects with an `IoError`: `INVALID_ENDPOINT`, `UNKNOWN_SCHEME`,
 *   `INVALID_OPTION`, `INVALID_ARGUMENT` for a segmenter, which needs the handlers of a loop,
 *   `EXHAUSTED`, `LOOP_CLOSED`, `CONNECT_TIMEOUT`, `NAME_NOT_FOUND`, `RESOLVE_FAILED`,
 *   `RESOLVE_TIMEOUT`, `ABORTED` with the signal's reason as its cause, or what the system says,
 *   such as `ECONNREFUSED`.
 *
 * @example
 * ```ts
 * import { connect, listen } from "@twinpoll/twinpoll";
 *
 * await using server = await listen("tcp://127.0.0.1:0");
 * const signal = AbortSignal.timeout(5_000);
 * await using stream = await connect(server.endpoint, { signal, noDelay: true });
 * console.log(stream.remoteAddress.port === server.address.port); // true
 * ```
 */
export async function connect(
  endpoint: string | Endpoint,
  options: StreamConnectOptions = {},
): Promise<Stream> {
  const loop = loopOf(checkOptions(options).loop);
  const settings = settingsOf(options);
  const signal = signalOption(options.signal);
  if (signal?.aborted === true) throw abortedBefore(signal);
  return await new Promise((resolve, reject) => {
    loop.connect(endpoint, new Opening(settings, resolve, reject), options);
  });
}

/** What of the options concerns the stream itself. */
export function settingsOf(options: StreamLoopOptions): StreamSettings {
  const { readAheadBytes = defaultReadAheadBytes, onDraining = null } = options;
  integerOption("readAheadBytes", readAheadBytes, 1, maxReadAheadBytes);
  if (onDraining !== null && typeof onDraining !== "function") {
    throw new IoError("INVALID_OPTION", "option onDraining must be a function");
  }
  return { readAheadBytes, onDraining };
}

/** Nobody shall see a connection that was given up before. */
function abortedBefore({ reason }: AbortSignal): IoError {
  return new IoError("ABORTED", "connect: its signal was aborted before", { cause: reason });
}

/** The handlers of a connection until it is open. */
class Opening {
  readonly #settings: StreamSettings;
  readonly #resolve: (stream: Stream) => void;
  readonly #reject: (error: IoError | null) => void;

  constructor(
    settings: StreamSettings,
    resolve: (stream: Stream) => void,
    reject: (error: IoError | null) => void,
  ) {
    this.#settings = settings;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  open(conn: Connection): void {
    this.#resolve(streamOf(conn, this.#settings));
  }

  close(_conn: Connection, error: IoError | null): void {
    this.#reject(error);
  }
}

/** The stream of a connection that is open; what happens on it goes there from now on. */
export function streamOf(conn: Connection, settings: StreamSettings): StreamHandle {
  const stream = new StreamHandle(conn, settings);
  (conn as ConnectionHandle).handlers = new StreamEvents(stream);
  return stream;
}
