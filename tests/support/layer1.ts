// Streams for tests: a loop in the host's event loop per backend row, and both ends of a
// connection.

import type {
  Loop,
  LoopOptions,
  Server,
  ServerOptions,
  Stream,
  StreamConnectOptions,
} from "../../mod.ts";
import { connect, listen } from "../../mod.ts";
import { type RowOptions, testLoop } from "./backends.ts";
import { within } from "./drive.ts";
import { anyPort } from "./streams.ts";
import { type Place, testTransports } from "./transports.ts";

/** Makes a test per row, on a loop that is attached while the test runs. */
export function testStreams(
  name: string,
  body: (loop: Loop) => Promise<void>,
  options: LoopOptions = {},
  asked: RowOptions = {},
): void {
  testLoop(name, (loop) => attached(loop, name, body(loop)), options, asked);
}

/** The same over every transport. */
export function testStreamTransports(
  name: string,
  body: (loop: Loop, place: Place) => Promise<void>,
  options: LoopOptions = {},
): void {
  testTransports(name, (loop, place) => attached(loop, name, body(loop, place)), options);
}

async function attached(loop: Loop, name: string, done: Promise<void>): Promise<void> {
  loop.attach();
  try {
    await within(done, name);
  } finally {
    loop.detach();
  }
}

/** Both ends of a connection. */
export interface StreamPair {
  readonly near: Stream;
  readonly far: Stream;
}

/** How a pair is made. */
export interface StreamPairOptions {
  readonly near?: StreamConnectOptions;
  readonly far?: ServerOptions;
  readonly endpoint?: string;
}

/** Connects two streams on `loop`; the server is closed again. */
export async function openStreams(
  loop: Loop,
  { near: nearOptions, far: farOptions, endpoint = anyPort }: StreamPairOptions = {},
): Promise<StreamPair> {
  await using server: Server = await listen(endpoint, { ...farOptions, loop });
  const [near, far] = await Promise.all([
    connect(server.endpoint, { ...nearOptions, loop }),
    server.accept(),
  ]);
  return { near, far: far! };
}

/** Aborts both ends and waits until they are gone. */
export async function discard(...streams: Stream[]): Promise<void> {
  for (const stream of streams) stream.abort();
  await Promise.allSettled(streams.map((stream) => stream.closed));
}

/** Everything that `stream` still gives, as text. */
export async function textOf(stream: Stream): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream.readable) text += decoder.decode(chunk, { stream: true });
  return text;
}
