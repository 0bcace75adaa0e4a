// `npm run bench -- backends`: the same echo server on every backend, from few connections to many,
// with C on epoll and io_uring beside it. What counts most is the column of system calls: one turn
// of io_uring serves whoever has something, where a readiness backend makes two calls for each.

import { compare, stepCount } from "./lib/comparison.ts";
import type { Figures } from "./lib/comparison.ts";
import { findContestants } from "./lib/contestant.ts";
import type { Absent, Contestant, Way } from "./lib/contestant.ts";
import { buildPrograms } from "./lib/load.ts";
import { place } from "./lib/machine.ts";
import { Progress } from "./lib/progress.ts";
import { jsonLines } from "./lib/report.ts";
import { table } from "./lib/table.ts";
import type { Runtime } from "../scripts/lib/tools.mjs";

export interface BackendsOptions {
  /** Connections, one group of rows each. */
  readonly counts: readonly number[];
  readonly runtime: Runtime;
  readonly rounds: number;
  /** Length of a visit's measured window. */
  readonly seconds: number;
  readonly json: boolean;
}

const epoll = "twinpoll/epoll";
const select = "twinpoll/select";

const ways: readonly Way[] = [
  { name: "twinpoll/io_uring", args: ["--backend", "io_uring"] },
  { name: epoll, args: ["--backend", "epoll"] },
  { name: "twinpoll/epoll-level", args: ["--backend", "epoll", "--trigger", "level"] },
  { name: select, args: ["--backend", "select"] },
];

/** Descriptors below 1,024, less what a runtime has open by itself. */
const selectConnections = 960;
const size = 64;
const warmupSeconds = 0.25;

interface Group {
  readonly connections: number;
  readonly figures: readonly Figures[];
  readonly absent: readonly Absent[];
}

/** @throws {Error} When a byte was wrong, a reply missing, or a server ended by itself. */
export async function backends(options: BackendsOptions): Promise<string> {
  await buildPrograms();
  const groups: Group[] = [];
  for (const connections of options.counts) groups.push(await group(connections, options));
  return options.json ? lines(groups, options) : text(groups, options);
}

async function group(connections: number, options: BackendsOptions): Promise<Group> {
  const wanted = [options.runtime, "native"];
  const found = await findContestants(connections, wanted, ways);
  const ours = (one: Contestant | Absent): boolean =>
    one.runtime === "native" || ways.some(({ name }) => name === one.name);
  const fits = ({ name }: Contestant): boolean =>
    name !== select || connections <= selectConnections;
  const present = found.present.filter(ours);
  const absent = [
    ...found.absent.filter(ours),
    ...present.filter((one) => !fits(one)).map(({ name, runtime }) => ({
      name,
      runtime,
      reason: "select watches descriptors below 1,024 only",
    })),
  ];
  const contestants = present.filter(fits);
  const progress = new Progress(stepCount(contestants.length, options.rounds));
  try {
    const comparison = await compare(contestants, {
      connections,
      size,
      depth: 1,
      rounds: options.rounds,
      seconds: options.seconds,
      warmup: warmupSeconds,
      placement: place(),
      onStep: (what) => progress.step(`${connections} connections: ${what}`),
    });
    return {
      connections,
      figures: comparison.figures,
      absent: [...absent, ...comparison.absent],
    };
  } finally {
    progress.end();
  }
}

/** System calls per request as a part of epoll's. */
function callsOfEpoll({ figures }: Group, one: Figures): number | undefined {
  const theirs = figures.find(({ contestant }) => contestant.name === epoll)?.syscalls_per_op;
  if (theirs === undefined || theirs === null || one.syscalls_per_op === null) return undefined;
  return one.syscalls_per_op / theirs;
}

function text(groups: readonly Group[], options: BackendsOptions): string {
  const head = [
    "connections",
    "server",
    "requests/s",
    "vs c/epoll",
    "CPU µs/req",
    "calls/req",
    "of epoll's",
  ];
  const rows = groups.flatMap((group) =>
    [...group.figures].sort((left, right) => right.rate - left.rate).map((one) => [
      group.connections.toLocaleString("en"),
      one.contestant.name,
      Math.round(one.rate).toLocaleString("en"),
      one.vs["c/epoll"]?.toFixed(2) ?? "–",
      one.cpu_us_per_op.toFixed(2),
      one.syscalls_per_op?.toFixed(2) ?? "?",
      callsOfEpoll(group, one)?.toFixed(2) ?? "–",
    ])
  );
  const { runtime, rounds, seconds } = options;
  const lines = [
    `echo of ${size} bytes, one in flight per connection, on ${runtime}; medians of ${rounds} ` +
    `rounds of ${seconds} s; ${place().description}`,
    table(head, rows),
  ];
  for (const { connections, absent } of groups) {
    for (const { name, reason } of absent) {
      lines.push(`absent with ${connections} connections: ${name}: ${reason}`);
    }
  }
  if (groups.some(({ figures }) => figures.some((one) => one.syscalls_per_op === null))) {
    lines.push("System calls were not counted: that takes root and a mounted /sys/kernel/tracing.");
  }
  if (groups.some(({ figures }) => figures.some((one) => one.disturbed))) {
    lines.push("Other programs used the cores meanwhile: CPU µs/req holds, rates do not.");
  }
  return `${lines.join("\n")}\n`;
}

function lines(groups: readonly Group[], { rounds, seconds }: BackendsOptions): string {
  return groups.map(({ connections, figures, absent }) => {
    const parameters = { connections, size, depth: 1, rounds, seconds };
    return jsonLines("backends", parameters, { figures, absent }, []);
  }).join("");
}
