// The datagram comparison: UDP echo, some client sockets with some datagrams in flight on each,
// every byte compared. `npm run bench -- udp`.
//
// Over loopback one side pays for what the other lacks: what leaves a server as one message is cut
// in the server's time unless the receiving socket takes it whole, and a server gets joined what
// was sent joined only. `--offload` makes the load such a client, for every contestant alike.

import { join } from "node:path";
import type { Runtime } from "../scripts/lib/tools.mjs";
import { capture } from "./lib/capture.ts";
import { type Contestant, findServers, label, type ServerWay } from "./lib/contestant.ts";
import { buildPrograms, nativeFolder } from "./lib/load.ts";
import { pinned, place, type Placement } from "./lib/machine.ts";
import { Progress } from "./lib/progress.ts";
import { interleave } from "./lib/rounds.ts";
import { Server } from "./lib/server.ts";
import { median, pairedRatio } from "./lib/statistics.ts";
import { table } from "./lib/table.ts";

/** Segmentation offload of the load's sockets: whether they send with GSO, receive with GRO. */
export const offloads = {
  none: [],
  send: ["--gso"],
  receive: ["--gro"],
  both: ["--gso", "--gro"],
} as const;

export type Offload = keyof typeof offloads;

export interface UdpOptions {
  readonly sockets: number;
  readonly depth: number;
  readonly size: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly offload: Offload;
  readonly json: boolean;
}

/** What the generator tells of one visit. */
interface Visit {
  readonly replies: number;
  readonly lost: number;
  readonly rate: number;
  readonly seconds: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly server_cpu_us: number;
  readonly cpu_us: number;
  readonly busy: number;
  readonly server_syscalls: number | null;
}

const generator = join(nativeFolder, "twinpoll-datagrams");
const peer = "c/epoll";
const program = "datagrams_epoll";
const own = { bun: "Bun.udpSocket", deno: "Deno.listenDatagram", node: "node:dgram" } as const;
const warmupSeconds = 0.3;

/** @throws {Error} When a byte was wrong, or a server ended by itself. */
export async function udp(options: UdpOptions): Promise<string> {
  await buildPrograms();
  const sendsJoined = offloads[options.offload].some((flag) => flag === "--gso");
  const found = await findServers({ name: peer, program }, sendsJoined ? joinedWaysOf : waysOf);
  const present = found.present.map(withUnstable);
  if (sendsJoined) present.push(...present.filter(({ name }) => name === peer).map(withOffload));
  const { absent } = found;
  const placement = place();
  const progress = new Progress(present.length * (2 + options.rounds));
  const servers: Server[] = [];
  try {
    absent.push(
      ...await Server.startAll(present, placement.server, servers, (contestant) => {
        progress.step(`starting ${label(contestant)}`);
      }),
    );
    const visit = (server: Server, seconds: number, count: boolean): Promise<Visit> => {
      progress.step(label(server.contestant));
      return load(server, { ...options, seconds }, count, placement);
    };
    const results = await interleave(servers, options.rounds, (server) => {
      return visit(server, options.seconds, false);
    });
    const counts = await interleave(servers, 1, (server) => visit(server, 0.25, true));
    const missing = absent.map((one) => `absent: ${label(one)}: ${one.reason}\n`);
    const described = describe(servers, results, counts, options, placement);
    return described + (options.json ? "" : missing.join(""));
  } finally {
    progress.end();
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function waysOf(runtime: Runtime): readonly ServerWay[] {
  return [
    ["twinpoll/io_uring", "datagrams_twinpoll", ["--backend", "io_uring"]],
    ["twinpoll/epoll", "datagrams_twinpoll", ["--backend", "epoll"]],
    ["twinpoll/epoll, no GSO", "datagrams_twinpoll", ["--backend", "epoll", "--no-gso"]],
    [own[runtime], `datagrams_${runtime}`, []],
  ];
}

/** Where datagrams come joined, servers that take them so are tried as well. */
function joinedWaysOf(runtime: Runtime): readonly ServerWay[] {
  return [
    ["twinpoll/io_uring", "datagrams_twinpoll", ["--backend", "io_uring"]],
    ["twinpoll/io_uring, GRO", "datagrams_twinpoll", ["--backend", "io_uring", "--gro"]],
    ["twinpoll/epoll", "datagrams_twinpoll", ["--backend", "epoll"]],
    ["twinpoll/epoll, GRO", "datagrams_twinpoll", ["--backend", "epoll", "--gro"]],
    [own[runtime], `datagrams_${runtime}`, []],
  ];
}

/** The C peer, which also takes and gives several datagrams as one. */
function withOffload(contestant: Contestant): Contestant {
  const { name, command } = contestant;
  return { ...contestant, name: `${name}, GSO and GRO`, command: [...command, "--offload"] };
}

/** Deno's own datagrams are behind a flag. */
function withUnstable(contestant: Contestant): Contestant {
  if (contestant.runtime !== "deno") return contestant;
  const [executable, run, ...rest] = contestant.command;
  return { ...contestant, command: [executable, run, "--unstable-net", ...rest] };
}

async function load(
  server: Server,
  { sockets, depth, size, seconds, offload }: UdpOptions,
  count: boolean,
  placement: Placement,
): Promise<Visit> {
  server.check();
  const args = [
    ...["--port", String(server.port), "--pid", String(server.pid)],
    ...["--sockets", String(sockets), "--depth", String(depth), "--size", String(size)],
    ...["--seconds", String(seconds), "--warmup", String(warmupSeconds)],
    ...offloads[offload],
  ];
  if (count) args.push("--count");
  const limitMs = (seconds + warmupSeconds + 20) * 1000;
  const output = await capture(pinned([generator, ...args], placement.load), limitMs);
  server.check();
  if (output.code === 0) return JSON.parse(output.stdout);
  const words = output.stderr.trim() || output.stdout.trim();
  throw new Error(`${label(server.contestant)}: ${words || output.code}`);
}

type Results = ReadonlyMap<Server, readonly Visit[]>;

function describe(
  servers: readonly Server[],
  results: Results,
  counts: Results,
  options: UdpOptions,
  placement: Placement,
): string {
  const rows = servers.map((server) => summarize(server, servers, results, counts));
  rows.sort((left, right) => right.rate - left.rate);
  const { sockets, depth, size, rounds, seconds, offload } = options;
  if (options.json) {
    return rows.map(({ server, ...figures }) => {
      const { name, runtime } = server.contestant;
      const params = { sockets, depth, size, offload, rounds, seconds };
      return `${JSON.stringify({ bench: "udp", contestant: name, runtime, params, ...figures })}\n`;
    }).join("");
  }
  const title = `udp: ${sockets} sockets, ${size}-byte datagrams, ${depth} in flight each; ` +
    `the load ${descriptions[offload]}; ` +
    `medians of ${rounds} rounds of ${seconds} s; ${placement.description}`;
  const head = [
    "server",
    "replies/s",
    `vs ${peer}`,
    "vs own",
    "p50 µs",
    "p99 µs",
    "CPU µs/reply",
    `CPU vs ${peer}`,
    "CPU vs own",
    "calls/reply",
    "lost",
  ];
  const show = (value: number | null): string => value?.toFixed(2) ?? "–";
  const lines = rows.map((row) => [
    label(row.server.contestant),
    Math.round(row.rate).toLocaleString("en"),
    show(row.vsPeer),
    show(row.vsOwn),
    row.p50_us.toFixed(0),
    row.p99_us.toFixed(0),
    show(row.cpu),
    show(row.cpuVsPeer),
    show(row.cpuVsOwn),
    show(row.calls),
    String(row.lost),
  ]);
  const disturbed = rows.some((row) => row.disturbed)
    ? "other programs used the cores meanwhile: CPU µs/reply holds, rates and times do not\n"
    : "";
  return `${title}\n${table(head, lines)}\n${disturbed}`;
}

interface Row {
  readonly server: Server;
  readonly rate: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly vsPeer: number | null;
  readonly vsOwn: number | null;
  readonly cpu: number;
  readonly cpuVsPeer: number | null;
  readonly cpuVsOwn: number | null;
  readonly calls: number | null;
  readonly lost: number;
  readonly disturbed: boolean;
}

/** How the load sends and receives. */
const descriptions: Readonly<Record<Offload, string>> = {
  none: "sends and receives datagrams one by one (sendmmsg, recvmmsg)",
  send: "sends runs that the kernel cuts (GSO), receives datagrams one by one",
  receive: "sends datagrams one by one, receives them joined (GRO)",
  both: "sends runs that the kernel cuts (GSO), receives them joined (GRO)",
};

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
  const rate = (visit: Visit): number => visit.rate;
  const cpu = (visit: Visit): number => visit.server_cpu_us / visit.replies;
  const loadShare = (visit: Visit): number => visit.cpu_us / (visit.busy * visit.seconds * 1e6);
  const [counted] = counts.get(server)!;
  return {
    server,
    rate: median(visits.map(rate)),
    p50_us: median(visits.map((visit) => visit.p50_us)),
    p99_us: median(visits.map((visit) => visit.p99_us)),
    vsPeer: ratio(peer, rate),
    vsOwn: ratio(ownName, rate),
    cpu: median(visits.map(cpu)),
    cpuVsPeer: ratio(peer, cpu),
    cpuVsOwn: ratio(ownName, cpu),
    calls: counted.server_syscalls === null ? null : counted.server_syscalls / counted.replies,
    lost: visits.reduce((sum, visit) => sum + visit.lost, 0),
    disturbed: median(visits.map(loadShare)) < 0.9,
  };
}
