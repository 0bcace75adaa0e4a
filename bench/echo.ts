// The echo comparison: N connections, one message in flight on each, every byte checked. It is what
// `npm run bench -- echo` runs, and the main job with a time budget.

import { compare, stepCount } from "./lib/comparison.ts";
import type { Comparison } from "./lib/comparison.ts";
import { findContestants } from "./lib/contestant.ts";
import type { Absent } from "./lib/contestant.ts";
import { buildPrograms } from "./lib/load.ts";
import { place } from "./lib/machine.ts";
import { Progress } from "./lib/progress.ts";
import type { Parameters } from "./lib/report.ts";

export interface EchoOptions {
  readonly connections: number;
  readonly size: number;
  readonly depth: number;
  readonly rounds: number;
  /** Length of a visit's measured window; or all visits together are to end within a budget. */
  readonly seconds: number | { readonly budget: number };
  readonly contestants: readonly string[];
}

export interface EchoReport {
  readonly title: string;
  readonly parameters: Parameters;
  readonly comparison: Comparison;
  readonly absent: readonly Absent[];
}

/** Not measured per visit: connecting, starting the generator, letting it drain. */
const overheadSeconds = 0.12;
/** Runtimes compile while they run: so long a server is loaded before it is measured. */
const warmupSeconds = 0.25;
/** Starting a server and counting its system calls. */
const onceSeconds = 0.9;

/** @throws {Error} When a byte was wrong, a reply missing, or a server ended by itself. */
export async function echo(options: EchoOptions): Promise<EchoReport> {
  const { connections, size, depth, rounds } = options;
  await buildPrograms();
  const { present, absent } = await findContestants(connections, options.contestants);
  const seconds = windowSeconds(options, present.length);
  const placement = place();
  const progress = new Progress(stepCount(present.length, rounds));
  try {
    const comparison = await compare(present, {
      connections,
      size,
      depth,
      rounds,
      seconds,
      warmup: warmupSeconds,
      placement,
      onStep: (what) => progress.step(what),
    });
    const parameters = { connections, size, depth, seconds, rounds, cores: placement.description };
    const title = `echo: ${connections} connections, ${size}-byte messages, ${depth} in flight ` +
      `each; medians of ${rounds} rounds of ${seconds} s; ${placement.description}`;
    return { title, parameters, comparison, absent };
  } finally {
    progress.end();
  }
}

function windowSeconds({ seconds, rounds }: EchoOptions, contestants: number): number {
  if (typeof seconds === "number") return seconds;
  const visits = Math.max(1, contestants * rounds);
  const left = seconds.budget - contestants * onceSeconds;
  const window = left / visits - warmupSeconds - overheadSeconds;
  return Number(Math.min(1, Math.max(0.2, window)).toFixed(2));
}
