// `npm run bench -- relay`: what a relay costs. The load generator talks to an echo server through
// each contestant: twinpoll on every runtime, HAProxy in TCP mode on one thread, and what each
// runtime's own streams make of it. The relay has a core to itself, load and echo server share the
// other one, so that they are the same for everybody.

import { join } from "node:path";
import { type Runtime, runtimes } from "../scripts/lib/tools.mjs";
import { compare, stepCount } from "./lib/comparison.ts";
import type { Figures } from "./lib/comparison.ts";
import { command, label } from "./lib/contestant.ts";
import type { Absent, Contestant } from "./lib/contestant.ts";
import { type Haproxy, haproxyVersion, makeHaproxy } from "./lib/haproxy.ts";
import { buildPrograms, nativeFolder } from "./lib/load.ts";
import { congestionControl, place } from "./lib/machine.ts";
import type { Placement } from "./lib/machine.ts";
import { Progress } from "./lib/progress.ts";
import { jsonLines } from "./lib/report.ts";
import { Server } from "./lib/server.ts";
import { table } from "./lib/table.ts";

export interface RelayOptions {
  readonly connections: number;
  /** Bytes per message, one table each. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  /** Length of a visit's measured window. */
  readonly seconds: number;
  /** Only these: labels, names or runtimes; all when empty. */
  readonly contestants: readonly string[];
  readonly json: boolean;
}

interface Group {
  readonly size: number;
  readonly figures: readonly Figures[];
  readonly absent: readonly Absent[];
}

/** HAProxy as it is, and with the kernel moving the bytes. */
const haproxies = ["haproxy", "haproxy/splice"];

const pipes: Readonly<Record<Runtime, { readonly name: string; readonly file: string }>> = {
  bun: { name: "Bun.listen pipe", file: "bench/relays/bun_pipe.ts" },
  deno: { name: "Deno pipeTo", file: "bench/relays/deno_pipe.ts" },
  node: { name: "node:net pipe", file: "bench/relays/node_pipe.ts" },
};

const backends = ["io_uring", "epoll"];
const warmupSeconds = 0.3;

/** @throws {Error} When a byte was wrong, a reply missing, or a relay ended by itself. */
export async function relay(options: RelayOptions): Promise<string> {
  await buildPrograms();
  const placement = place();
  const echo = await Server.start({
    name: "c/epoll",
    runtime: "native",
    command: [join(nativeFolder, "echo_epoll")],
  }, placement.load);
  const made: Haproxy[] = [];
  try {
    const { present, absent } = await find(echo.port, options, made);
    const groups: Group[] = [];
    for (const size of options.sizes) {
      groups.push(await group(size, present, absent, options, placement));
      echo.check();
    }
    return options.json ? lines(groups, options) : text(groups, options, placement);
  } finally {
    for (const haproxy of made) haproxy.remove();
    await echo.stop();
  }
}

async function group(
  size: number,
  present: readonly Contestant[],
  absent: readonly Absent[],
  { connections, rounds, seconds }: RelayOptions,
  placement: Placement,
): Promise<Group> {
  const progress = new Progress(stepCount(present.length, rounds));
  try {
    const comparison = await compare(present, {
      connections,
      size,
      depth: 1,
      rounds,
      seconds,
      warmup: warmupSeconds,
      shares: true,
      placement,
      isPeer: (one, other) =>
        haproxies.includes(other.name) || other.name === pipeOf(one.runtime)?.name,
      onStep: (what) => progress.step(`${size} bytes: ${what}`),
    });
    return { size, figures: comparison.figures, absent: [...absent, ...comparison.absent] };
  } finally {
    progress.end();
  }
}

function pipeOf(runtime: Runtime | "native"): { readonly name: string } | undefined {
  return runtime === "native" ? undefined : pipes[runtime];
}

async function find(
  target: number,
  { connections, contestants }: RelayOptions,
  made: Haproxy[],
): Promise<{ present: Contestant[]; absent: Absent[] }> {
  const present: Contestant[] = [];
  const absent: Absent[] = [];
  const wanted = (name: string, runtime: Runtime | "native"): boolean =>
    contestants.length === 0 ||
    [name, runtime, label({ name, runtime, reason: "" })].some((word) =>
      contestants.includes(word)
    );
  for (const name of haproxies) {
    if (!wanted(name, "native")) continue;
    if (haproxyVersion() === undefined) {
      absent.push({ name, runtime: "native", reason: "haproxy was not found" });
      continue;
    }
    const haproxy = await makeHaproxy({ target, connections, splice: name !== "haproxy" });
    made.push(haproxy);
    present.push({ name, runtime: "native", command: haproxy.command });
  }
  const add = async (
    name: string,
    runtime: Runtime,
    file: string,
    args: readonly string[],
  ): Promise<void> => {
    if (!wanted(name, runtime)) return;
    const answer = await command(runtime, file, ["--target", String(target), ...args]);
    if (typeof answer === "string") absent.push({ name, runtime, reason: answer });
    else present.push({ name, runtime, command: answer });
  };
  for (const runtime of runtimes) {
    for (const backend of backends) {
      const args = ["--backend", backend];
      await add(`twinpoll/${backend}`, runtime, "bench/relays/twinpoll.ts", args);
    }
    await add(pipes[runtime].name, runtime, pipes[runtime].file, []);
  }
  if (present.length === 0) throw new Error(`no such contestant: ${contestants.join(", ")}`);
  return { present, absent };
}

function text(groups: readonly Group[], options: RelayOptions, placement: Placement): string {
  const { connections, rounds, seconds } = options;
  const parts = groups.map(({ size, figures, absent }) => {
    const head = ["relay", "messages/s", "vs haproxy", "vs splice", "vs own", "p50 µs", "p99 µs"];
    const rows = [...figures].sort((left, right) => right.rate - left.rate).map(row);
    const lines = [
      `relay: ${connections} connections, ${size}-byte messages, 1 in flight each; medians of ` +
      `${rounds} rounds of ${seconds} s; relay: ${placement.description}, and the echo server; ` +
      congestionControl(),
      table([...head, "CPU µs/msg", "calls/msg"], rows),
    ];
    for (const { reason, ...one } of absent) {
      lines.push(`absent: ${label({ ...one, reason })}: ${reason}`);
    }
    if (figures.some((one) => one.disturbed)) {
      lines.push("other programs used the cores meanwhile: CPU µs/msg holds, rates do not");
    }
    return lines.join("\n");
  });
  return `${parts.join("\n\n")}\n`;
}

function row(figures: Figures): string[] {
  const { contestant, vs } = figures;
  const ratio = (name: string | undefined): string =>
    name !== undefined && name in vs ? vs[name].toFixed(2) : "–";
  return [
    label(contestant),
    Math.round(figures.rate).toLocaleString("en"),
    ...haproxies.map(ratio),
    ratio(pipeOf(contestant.runtime)?.name),
    figures.p50_us.toFixed(0),
    figures.p99_us.toFixed(0),
    figures.cpu_us_per_op.toFixed(2),
    figures.syscalls_per_op?.toFixed(2) ?? "?",
  ];
}

function lines(groups: readonly Group[], options: RelayOptions): string {
  const { connections, rounds, seconds } = options;
  return groups.map(({ size, figures, absent }) => {
    const parameters = { connections, size, depth: 1, rounds, seconds };
    return jsonLines("relay", parameters, { figures, absent }, []);
  }).join("");
}
