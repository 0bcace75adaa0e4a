// The stream comparison: bytes in one direction, in messages of 64 KiB, first to the server and
// then from it. Uploads are counted at both ends, downloads compared. `npm run bench -- stream`.

import { join } from "node:path";
import type { Runtime } from "../scripts/lib/tools.mjs";
import { capture } from "./lib/capture.ts";
import { findServers, label, type ServerWay } from "./lib/contestant.ts";
import { buildPrograms, nativeFolder } from "./lib/load.ts";
import { congestionControl, pinned, place, type Placement } from "./lib/machine.ts";
import { Progress } from "./lib/progress.ts";
import { interleave } from "./lib/rounds.ts";
import { Server } from "./lib/server.ts";
import { median, pairedRatio } from "./lib/statistics.ts";
import { table } from "./lib/table.ts";

export interface StreamOptions {
  readonly connections: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly json: boolean;
}

/** What the generator tells of one visit. */
interface Visit {
  readonly messages: number;
  readonly mib_per_s: number;
  readonly server_cpu_us: number;
  readonly cpu_us: number;
  readonly busy: number;
  readonly seconds: number;
  readonly server_syscalls: number | null;
}

const modes = ["up", "down"] as const;
type Mode = typeof modes[number];

const generator = join(nativeFolder, "twinpoll-stream");
const peer = "c/epoll";
const own = { bun: "Bun.listen", deno: "Deno.listen", node: "node:net" } as const;
const warmupSeconds = 0.3;

/** @throws {Error} When a byte was lost or wrong, or a server ended by itself. */
export async function stream(options: StreamOptions): Promise<string> {
  await buildPrograms();
  const { present, absent } = await findServers({ name: peer, program: "stream_epoll" }, waysOf);
  const placement = place();
  const progress = new Progress(present.length * (1 + 2 * (options.rounds + 1)));
  const servers: Server[] = [];
  try {
    absent.push(
      ...await Server.startAll(present, placement.server, servers, (contestant) => {
        progress.step(`starting ${label(contestant)}`);
      }),
    );
    const sections: string[] = [];
    for (const mode of modes) {
      const visit = (server: Server, seconds: number, count: boolean): Promise<Visit> => {
        progress.step(`${mode}: ${label(server.contestant)}`);
        return load(server, mode, { ...options, seconds }, count, placement);
      };
      const results = await interleave(servers, options.rounds, (server) => {
        return visit(server, options.seconds, false);
      });
      const counts = await interleave(servers, 1, (server) => visit(server, 0.25, true));
      sections.push(describe(mode, servers, results, counts, options, placement));
    }
    const missing = absent.map((one) => `absent: ${label(one)}: ${one.reason}\n`);
    return sections.join("") + (options.json ? "" : missing.join(""));
  } finally {
    progress.end();
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function waysOf(runtime: Runtime): readonly ServerWay[] {
  return [
    ["twinpoll/io_uring", "stream_twinpoll", ["--backend", "io_uring"]],
    ["twinpoll/epoll", "stream_twinpoll", ["--backend", "epoll"]],
    [own[runtime], `stream_${runtime}`, []],
  ];
}

async function load(
  server: Server,
  mode: Mode,
  { connections, seconds }: StreamOptions,
  count: boolean,
  placement: Placement,
): Promise<Visit> {
  server.check();
  const args = [
    ...["--mode", mode, "--port", String(server.port), "--pid", String(server.pid)],
    ...["--conns", String(connections), "--seconds", String(seconds)],
    ...["--warmup", String(warmupSeconds)],
  ];
  if (count) args.push("--count");
  const limitMs = (seconds + warmupSeconds + 20) * 1000;
  const output = await capture(pinned([generator, ...args], placement.load), limitMs);
  server.check();
  if (output.code === 0) return JSON.parse(output.stdout);
  throw new Error(`${label(server.contestant)}, ${mode}: ${output.stderr.trim() || output.code}`);
}

type Results = ReadonlyMap<Server, readonly Visit[]>;

interface Row {
  readonly server: Server;
  readonly rate: number;
  readonly ratios: readonly (number | null)[];
  readonly cpu: number;
  readonly cpuRatio: number | null;
  readonly calls: number | null;
  readonly loadBound: boolean;
}

function describe(
  mode: Mode,
  servers: readonly Server[],
  results: Results,
  counts: Results,
  options: StreamOptions,
  placement: Placement,
): string {
  const rows = servers.map((server) => summarize(server, servers, results, counts));
  rows.sort((left, right) => right.rate - left.rate);
  const { connections, rounds, seconds } = options;
  if (options.json) {
    return rows.map(({ server, rate, ratios, cpu, calls }) => {
      const { name, runtime } = server.contestant;
      const params = { mode, connections, rounds, seconds };
      const vs = { [peer]: ratios[0], own: ratios[1] };
      const figures = { mib_per_s: rate, cpu_us_per_message: cpu, syscalls_per_message: calls, vs };
      return `${
        JSON.stringify({ bench: "stream", contestant: name, runtime, params, ...figures })
      }\n`;
    }).join("");
  }
  const way = mode === "up" ? "to the server" : "from the server";
  const title = `stream ${way}: ${connections} connections, 64 KiB messages; medians of ` +
    `${rounds} rounds of ${seconds} s; ${placement.description}; ${congestionControl()}`;
  const head = [
    "server",
    "MiB/s",
    `vs ${peer}`,
    "vs own",
    "CPU µs/msg",
    `CPU vs ${peer}`,
    "calls/msg",
  ];
  const show = (value: number | null): string => value?.toFixed(2) ?? "–";
  const lines = rows.map(({ server, rate, ratios, cpu, cpuRatio, calls }) => [
    label(server.contestant),
    Math.round(rate).toLocaleString("en"),
    ...ratios.map(show),
    cpu.toFixed(2),
    show(cpuRatio),
    show(calls),
  ]);
  const bound = rows.filter(({ loadBound }) => loadBound).map(({ server }) => {
    return label(server.contestant);
  });
  const note = bound.length === 0
    ? ""
    : `limited by the load, not the server: ${bound.join(", ")}\n`;
  return `${title}\n${table(head, lines)}\n${note}`;
}

function summarize(
  server: Server,
  servers: readonly Server[],
  results: Results,
  counts: Results,
): Row {
  const visits = results.get(server)!;
  const { name, runtime } = server.contestant;
  const ownName = runtime === "native" ? undefined : own[runtime];
  const ratio = (other: string | undefined, figure: (visit: Visit) => number): number | null => {
    const found = servers.find(({ contestant }) => contestant.name === other);
    if (found === undefined || name === other) return null;
    return pairedRatio(visits.map(figure), results.get(found)!.map(figure));
  };
  const rate = (visit: Visit): number => visit.mib_per_s;
  const cpu = (visit: Visit): number => visit.server_cpu_us / visit.messages;
  const [counted] = counts.get(server)!;
  const isBusy = median(visits.map((visit) => visit.busy)) > 0.97;
  const serverBusy = median(visits.map((visit) => visit.server_cpu_us / visit.seconds / 1e6));
  return {
    server,
    rate: median(visits.map(rate)),
    ratios: [ratio(peer, rate), ratio(ownName, rate)],
    cpu: median(visits.map(cpu)),
    cpuRatio: ratio(peer, cpu),
    calls: counted.server_syscalls === null ? null : counted.server_syscalls / counted.messages,
    loadBound: isBusy && serverBusy < 0.95,
  };
}
