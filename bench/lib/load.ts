// The load generator, `twinpoll-load`: builds it, runs it, and reads what it measured.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildNative, library } from "../../scripts/lib/native.mjs";
import { root } from "../../scripts/lib/paths.mjs";
import { capture } from "./capture.ts";
import { pinned } from "./machine.ts";
import type { Placement } from "./machine.ts";
import type { Server } from "./server.ts";

/** Where `zig build bench` puts the load generator and the C peers. */
export const nativeFolder: string = join(root, "zig-out", "bench");

const generator = join(nativeFolder, "twinpoll-load");

export interface LoadOptions {
  readonly connections: number;
  readonly size: number;
  readonly depth: number;
  readonly seconds: number;
  readonly warmup: number;
  /** Also count the server's system calls, which slows it down. */
  readonly count?: boolean;
}

export interface LoadResult {
  readonly ops: number;
  readonly errors: number;
  readonly mismatches: number;
  readonly seconds: number;
  readonly rate: number;
  readonly p50_us: number;
  readonly p90_us: number;
  readonly p99_us: number;
  readonly p999_us: number;
  readonly max_us: number;
  readonly verified_bytes: number;
  readonly engine: "io_uring" | "epoll";
  /** How much of the window the generator had work; near 1 it may be what limits. */
  readonly busy: number;
  readonly cpu_us: number;
  /** CPU time of all the server's threads within the window. */
  readonly server_cpu_us: number;
  readonly server_syscalls: number | null;
  readonly server_instructions: number | null;
  /** Connections without a reply in the whole window; the percentiles know nothing of them. */
  readonly starved: number;
}

/**
 * Builds the load generator and the C peers, quick when they are up to date, and the library if
 * there is none.
 *
 * @throws {Error} When there is no generator and no compiler to make one.
 */
export async function buildPrograms(): Promise<void> {
  if (!existsSync(library)) await buildNative();
  try {
    await buildNative("bench");
  } catch (error) {
    if (!existsSync(generator)) throw error;
  }
  if (!existsSync(generator)) throw new Error(`zig build bench did not make ${generator}.`);
}

/**
 * Puts load on a server and measures.
 *
 * @throws {Error} When a reply was wrong or missing, or the generator did not end in time.
 */
export async function runLoad(
  server: Server,
  options: LoadOptions,
  placement: Placement,
): Promise<LoadResult> {
  const args = [
    ...["--port", String(server.port), "--pid", String(server.pid)],
    ...["--conns", String(options.connections), "--size", String(options.size)],
    ...["--depth", String(options.depth), "--seconds", String(options.seconds)],
    ...["--warmup", String(options.warmup), "--json"],
  ];
  if (options.count) args.push("--count");
  // Looking for replies instead of sleeping would take the only core from the server.
  if (placement.load === undefined) args.push("--spin-us", "0");
  // The generator's own deadlines: 30 s to connect, 3 s to drain.
  const limitMs = (options.seconds + options.warmup + 40) * 1000;
  const output = await capture(pinned([generator, ...args], placement.load), limitMs);
  const result = parse(output.stdout);
  if (result === undefined || output.code !== 0) {
    const { errors = 0, mismatches = 0 } = result ?? {};
    const counts = result === undefined ? "" : `${errors} errors, ${mismatches} mismatches. `;
    throw new Error(`the load generator failed (${output.code}). ${counts}${output.stderr}`.trim());
  }
  return result;
}

function parse(text: string): LoadResult | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
