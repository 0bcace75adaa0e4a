/**
 * `twinpoll pipe ENDPOINT`: standard input to a connection, and what it answers to standard output.
 *
 * Each direction ends by itself: the end of the input is passed on, and what still comes back is
 * written; the command ends when both have ended. Standard output carries the connection's bytes
 * and nothing else.
 *
 * @module
 */

import process from "node:process";
import { IoError } from "../io_error.ts";
import { Loop } from "../loop.ts";
import type { LoopOptions } from "../loop_options.ts";
import { listen } from "../open_server.ts";
import { connect } from "../open_stream.ts";
import type { Stream } from "../stream.ts";
import { Interrupt } from "./interrupt.ts";
import { Totals } from "./totals.ts";

/** What the command line says. */
export interface PipeOptions {
  readonly endpoint: string;
  /** Accepts one connection instead of making one. */
  readonly listen: boolean;
  /** The connection is reset when nothing moves for so long; 0 for no limit. */
  readonly idleTimeoutMs: number;
  readonly loop: LoopOptions;
  readonly json: boolean;
}

const bufferBytes = 65_536;

/** Pipes until both directions have ended, or a signal comes. The exit code. */
export async function pipe(options: PipeOptions): Promise<number> {
  const { json } = options;
  using interrupt = new Interrupt();
  using loop = new Loop(options.loop);
  loop.attach();
  using _totals = new Totals({
    read: () => countsOf(loop),
    json,
    print(line): void {
      // Standard error of a script is for what went wrong.
      if (json || process.stderr.isTTY || interrupt.signal.aborted) console.error(line);
    },
  });
  try {
    const stream = await open(options, loop, interrupt.signal);
    if (stream !== null) await carry(stream, interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
  }
  return interrupt.exitCode;
}

function countsOf(loop: Loop): Record<string, number> {
  const { receivedBytes, sentBytes } = loop.stats();
  return { receivedBytes, sentBytes };
}

/** The connection; null when a signal came first. */
async function open(options: PipeOptions, loop: Loop, signal: AbortSignal): Promise<Stream | null> {
  const { endpoint, idleTimeoutMs, json } = options;
  if (!options.listen) return await connect(endpoint, { loop, signal, idleTimeoutMs });
  await using server = await listen(endpoint, { loop, signal, idleTimeoutMs, backlog: 1 });
  const { backend } = loop;
  console.error(
    json
      ? JSON.stringify({ event: "listening", endpoint: server.endpoint, backend })
      : `listening on ${server.endpoint} (${backend})`,
  );
  return await server.accept();
}

async function carry(stream: Stream, signal: AbortSignal): Promise<void> {
  const stop = (): void => stream.abort(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  try {
    await Promise.all([sendInput(stream), writeOutput(stream)]);
    await stream.close();
  } catch (error) {
    stream.abort();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    process.stdin.destroy();
  }
}

async function sendInput(stream: Stream): Promise<void> {
  for await (const chunk of process.stdin) {
    await stream.write(chunk);
  }
  stream.shutdown();
}

async function writeOutput(stream: Stream): Promise<void> {
  // Its errors are those of the writes.
  process.stdout.on("error", () => {});
  const buffer = new Uint8Array(bufferBytes);
  for (;;) {
    const chunk = await stream.read(buffer);
    if (chunk === null) return;
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(chunk, (error) => {
        if (error) reject(outputError(error));
        else resolve();
      });
    });
  }
}

function outputError(cause: Error): IoError {
  const { code } = cause as { code?: string };
  return new IoError(code === undefined ? "EIO" : code as `E${string}`, "standard output", {
    advice: "Read all of it, or end the command first.",
    cause,
  });
}
