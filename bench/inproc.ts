// `npm run bench -- inproc`: messages between two Workers of one process, over an in-process
// connection, TCP on loopback, postMessage and MessageChannel, on each runtime.

import { spawnSync } from "node:child_process";
import { type Runtime, runtimes } from "../scripts/lib/tools.mjs";
import { command, environment } from "./lib/contestant.ts";
import { place } from "./lib/machine.ts";
import { Progress } from "./lib/progress.ts";
import { interleave } from "./lib/rounds.ts";
import { median, rounded } from "./lib/statistics.ts";
import { table } from "./lib/table.ts";

export interface InprocOptions {
  readonly seconds: number;
  readonly rounds: number;
  readonly runtimes: readonly string[];
  readonly json: boolean;
}

/** One visit, as the program prints it. */
interface Visit {
  readonly messages: number;
  readonly seconds: number;
  readonly systemCalls: number | null;
}

const transports = ["inproc", "tcp", "postMessage", "MessageChannel"] as const;
const jobs = ["trip", "rate", "leases"] as const;

interface Contestant {
  readonly runtime: Runtime;
  readonly transport: typeof transports[number];
  readonly job: typeof jobs[number];
  readonly argv: readonly string[];
}

/** Medians over the rounds. */
interface Figures {
  readonly runtime: Runtime;
  readonly transport: string;
  readonly job: string;
  readonly perSecond: number;
  readonly callsPerMessage: number | null;
}

const limitMs = 60_000;

/** @throws {Error} When a message was lost or wrong, or a program did not end. */
export async function inproc(options: InprocOptions): Promise<string> {
  const { description } = place();
  const contestants: Contestant[] = [];
  const absent: string[] = [];
  for (const runtime of runtimes) {
    if (options.runtimes.length > 0 && !options.runtimes.includes(runtime)) continue;
    const answer = await command(runtime, "bench/inproc/exchange.ts");
    if (typeof answer === "string") {
      absent.push(`absent: ${runtime}: ${answer}`);
      continue;
    }
    for (const job of jobs) {
      for (const transport of transports) {
        const argv = [...answer, transport, job, String(options.seconds)];
        contestants.push({ runtime, transport, job, argv });
      }
    }
  }
  const progress = new Progress(contestants.length * options.rounds);
  const visits = await interleave(contestants, options.rounds, (contestant) => {
    progress.step(`${contestant.transport} ${contestant.job}@${contestant.runtime}`);
    return Promise.resolve(visit(contestant));
  });
  progress.end();
  const figures = contestants.map((contestant) =>
    summary(contestant, visits.get(contestant) ?? [])
  );
  if (options.json) {
    return figures.map((one) => `${JSON.stringify({ bench: "inproc", ...one })}\n`).join("");
  }
  return [
    `Two Workers of one process; medians of ${options.rounds} rounds of ${options.seconds} s; ` +
    description.replace("server", "receiver").replace("load", "sender"),
    text(figures),
    ...absent,
    "",
  ].join("\n");
}

function visit({ argv }: Contestant): Visit {
  const [executable, ...args] = argv;
  const settings = { encoding: "utf8", env: environment(), timeout: limitMs } as const;
  const { status, stdout, stderr, error } = spawnSync(executable, args, settings);
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${error?.message ?? stderr}`);
  return JSON.parse(stdout);
}

function summary(contestant: Contestant, visits: readonly Visit[]): Figures {
  const { runtime, transport, job } = contestant;
  const calls = visits.flatMap(({ messages, systemCalls }) =>
    systemCalls === null ? [] : [systemCalls / messages]
  );
  return {
    runtime,
    transport,
    job,
    perSecond: rounded(median(visits.map(({ messages, seconds }) => messages / seconds))),
    callsPerMessage: calls.length === 0 ? null : rounded(median(calls), 2),
  };
}

function text(figures: readonly Figures[]): string {
  const find = (runtime: string, transport: string, job: string): Figures | undefined =>
    figures.find((one) =>
      one.runtime === runtime && one.transport === transport && one.job === job
    );
  const head = [
    "",
    "round trip µs",
    "of inproc",
    "calls/trip",
    "64 bytes, M/s",
    "inproc is",
    "calls/message",
    "16 KiB, M/s",
    "inproc is",
  ];
  const names = [...new Set(figures.map(({ runtime }) => runtime))];
  const rows = names.flatMap((runtime) =>
    transports.map((transport) => {
      const [trip, rate, leases] = jobs.map((job) => find(runtime, transport, job));
      const [bestTrip, bestRate, bestLeases] = jobs.map((job) => find(runtime, "inproc", job));
      return [
        `${transport}@${runtime}`,
        show(1e6 / (trip?.perSecond ?? NaN), 1),
        show((bestTrip?.perSecond ?? NaN) / (trip?.perSecond ?? NaN), 1),
        show(trip?.callsPerMessage ?? NaN, 3),
        show((rate?.perSecond ?? NaN) / 1e6, 2),
        show((bestRate?.perSecond ?? NaN) / (rate?.perSecond ?? NaN), 1),
        show(rate?.callsPerMessage ?? NaN, 4),
        show((leases?.perSecond ?? NaN) / 1e6, 2),
        show((bestLeases?.perSecond ?? NaN) / (leases?.perSecond ?? NaN), 1),
      ];
    })
  );
  return table(head, rows);
}

function show(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}
