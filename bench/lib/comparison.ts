// A comparison of servers under the same load: every contestant's server is started once, visited
// in interleaved rounds, then once more to count system calls, and ended.
//
// Invariant: a wrong byte, a lost reply or a server that ends by itself is an error that ends the
// whole comparison; figures of a wrong run do not exist.

import { label, ownServer, peers } from "./contestant.ts";
import type { Absent, Contestant } from "./contestant.ts";
import { runLoad } from "./load.ts";
import type { LoadOptions, LoadResult } from "./load.ts";
import type { Placement } from "./machine.ts";
import { interleave } from "./rounds.ts";
import { Server } from "./server.ts";
import { median, pairedRatio, rounded } from "./statistics.ts";

export interface ComparisonOptions extends LoadOptions {
  readonly rounds: number;
  readonly placement: Placement;
  /** Whom one is compared with; by default the C peers and the runtime's own server. */
  readonly isPeer?: (one: Contestant, other: Contestant) => boolean;
  /** Told before each step. */
  readonly onStep?: (what: string) => void;
}

export interface Figures {
  readonly contestant: Contestant;
  readonly rate: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly cpu_us_per_op: number;
  readonly syscalls_per_op: number | null;
  /** Our rate over theirs, measured in the same rounds. */
  readonly vs: Readonly<Record<string, number>>;
  /** Our CPU time per operation over theirs. */
  readonly cpuVs: Readonly<Record<string, number>>;
  readonly verifiedBytes: number;
  readonly replies: number;
  /** The generator had work all the time while the server had not: the rate is the generator's. */
  readonly loadBound: boolean;
  /** Other programs took CPU time from the load: only the CPU time per operation can be trusted. */
  readonly disturbed: boolean;
  /** Connections that got no reply in a whole window: the percentiles are those of the others. */
  readonly starved: number;
}

export interface Comparison {
  readonly figures: readonly Figures[];
  /** Found out only when the server was started. */
  readonly absent: readonly Absent[];
}

/** How many steps `onStep` will be told of. */
export function stepCount(contestants: number, rounds: number): number {
  return contestants * (rounds + 2);
}

/** @throws {Error} When anything was wrong; the message names the contestant. */
export async function compare(
  contestants: readonly Contestant[],
  options: ComparisonOptions,
): Promise<Comparison> {
  const servers: Server[] = [];
  try {
    const absent = await Server.startAll(
      contestants,
      options.placement.server,
      servers,
      (contestant) => options.onStep?.(`starting ${label(contestant)}`),
    );
    const results = await interleave(servers, options.rounds, (server, round) => {
      options.onStep?.(`round ${round + 1} of ${options.rounds}: ${label(server.contestant)}`);
      return visit(server, options);
    });
    const counts = await interleave(servers, 1, (server) => {
      options.onStep?.(`counting system calls: ${label(server.contestant)}`);
      return visit(server, countingOptions(options));
    });
    await stopAll(servers);
    return { figures: summarize(servers, results, counts, options.isPeer), absent };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function countingOptions(options: ComparisonOptions): ComparisonOptions {
  return { ...options, count: true, seconds: Math.min(options.seconds, 0.25), warmup: 0.05 };
}

async function visit(server: Server, options: ComparisonOptions): Promise<LoadResult> {
  server.check();
  try {
    const result = await runLoad(server, options, options.placement);
    server.check();
    return result;
  } catch (error) {
    // Why the server ended says more than that its connections did.
    server.check();
    throw new Error(`${label(server.contestant)}: ${(error as Error).message}`);
  }
}

async function stopAll(servers: readonly Server[]): Promise<void> {
  const stopped = await Promise.all(servers.map((server) => server.stop()));
  const stuck = servers.filter((_, index) => !stopped[index]).map((each) => label(each.contestant));
  if (stuck.length > 0) throw new Error(`did not end on SIGTERM: ${stuck.join(", ")}`);
}

type Results = ReadonlyMap<Server, readonly LoadResult[]>;

function summarize(
  servers: readonly Server[],
  results: Results,
  counts: Results,
  isPeer: NonNullable<ComparisonOptions["isPeer"]> = isUsualPeer,
): Figures[] {
  return servers.map((server) => {
    const visits = results.get(server) ?? [];
    const counted = counts.get(server) ?? [];
    const pick = (figure: (result: LoadResult) => number): number => median(visits.map(figure));
    const others = servers.filter((other) =>
      other !== server && isPeer(server.contestant, other.contestant)
    );
    const ratios = (figure: (result: LoadResult) => number): Record<string, number> =>
      Object.fromEntries(others.map((other) => {
        const theirs = (results.get(other) ?? []).map(figure);
        return [other.contestant.name, rounded(pairedRatio(visits.map(figure), theirs))];
      }));
    const disturbed = pick(loadShare) < 0.9;
    const syscalls = counted[0]?.server_syscalls ?? null;
    return {
      contestant: server.contestant,
      rate: rounded(pick((result) => result.rate), 6),
      p50_us: rounded(pick((result) => result.p50_us)),
      p99_us: rounded(pick((result) => result.p99_us)),
      cpu_us_per_op: rounded(pick(cpuPerOp)),
      syscalls_per_op: syscalls === null ? null : rounded(syscalls / counted[0].ops),
      vs: ratios((result) => result.rate),
      cpuVs: ratios(cpuPerOp),
      verifiedBytes: sum([...visits, ...counted], (result) => result.verified_bytes),
      replies: sum([...visits, ...counted], (result) => result.ops),
      disturbed,
      starved: pick((result) => result.starved),
      // On a disturbed machine this cannot be told.
      loadBound: !disturbed && pick((result) => result.busy) > 0.97 && pick(serverBusy) < 0.95,
    };
  });
}

/** Compared with the C peers and with the runtime's own server. */
function isUsualPeer(one: Contestant, { name }: Contestant): boolean {
  return peers.includes(name) || name === ownServer(one.runtime);
}

function cpuPerOp(result: LoadResult): number {
  return result.server_cpu_us / result.ops;
}

function serverBusy(result: LoadResult): number {
  return result.server_cpu_us / (result.seconds * 1e6);
}

/** How much of the time in which the generator had work it really ran. */
function loadShare(result: LoadResult): number {
  return result.cpu_us / (result.busy * result.seconds * 1e6);
}

function sum(results: readonly LoadResult[], figure: (result: LoadResult) => number): number {
  return results.reduce((total, result) => total + figure(result), 0);
}
