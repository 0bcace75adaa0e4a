// `npm run bench`: lists the benchmarks, or runs one.

import process from "node:process";
import { parseArgs } from "node:util";
import { type Runtime, runtimes } from "../scripts/lib/tools.mjs";
import { backends } from "./backends.ts";
import { echo } from "./echo.ts";
import { framing } from "./framing.ts";
import { inproc } from "./inproc.ts";
import { jsonLines, text } from "./lib/report.ts";
import { memory } from "./memory.ts";
import { relay } from "./relay.ts";
import { stream } from "./stream.ts";
import { type Offload, offloads, udp } from "./udp.ts";

interface Benchmark {
  readonly summary: string;
  readonly run: (args: readonly string[]) => Promise<void>;
}

const benchmarks: Readonly<Record<string, Benchmark>> = {
  echo: {
    summary: "TCP echo: twinpoll on every backend and runtime, the runtimes' own servers, C",
    run: runEcho,
  },
  backends: {
    summary: "select, epoll and io_uring from 10 to 10,000 connections, beside C",
    run: runBackends,
  },
  stream: {
    summary: "bytes in one direction, 64 KiB messages, to and from the server, beside C",
    run: runStream,
  },
  framing: {
    summary: "64-byte messages by a segmenter and by hand in a `data` handler",
    run: runFraming,
  },
  inproc: {
    summary: "messages between two Workers: in-process, TCP, postMessage, MessageChannel",
    run: runInproc,
  },
  udp: {
    summary: "UDP echo: twinpoll on every runtime, the runtimes' own sockets, C with sendmmsg",
    run: runUdp,
  },
  memory: {
    summary: "what a buffer costs, natively and from TypeScript; registered buffers and files",
    run: runMemory,
  },
  relay: {
    summary: "TCP relay: twinpoll, HAProxy on one thread, and pipes of the runtimes' own streams",
    run: runRelay,
  },
};

const options = `options of echo:
  --conns N          connections (64)
  --size N           bytes per message (64)
  --depth N          messages in flight per connection (1)
  --seconds N        measured window per visit (1)
  --rounds N         visits per contestant (5)
  --contestants A,B  only these: names (twinpoll/io_uring, Bun.listen, c/epoll),
                     labels (twinpoll/epoll@node) or runtimes (bun, native)
  --json             one line of JSON per contestant instead of a table

options of backends:
  --conns A,B        connections (10,64,100,960,1000,10000)
  --runtime NAME     deno, bun or node (bun)
  --seconds N        measured window per visit (0.5)
  --rounds N         visits per contestant (3)
  --json             one line of JSON per contestant instead of a table

options of stream:
  --conns N          connections (4)
  --seconds N        measured window per visit (0.5)
  --rounds N         visits per contestant and direction (5)
  --json             one line of JSON per contestant and direction instead of tables

options of framing:
  --seconds N        measured window per visit (0.3)
  --rounds N         visits per contestant (3)
  --json             one line of JSON per figure instead of a table

options of inproc:
  --runtimes A,B     only these: deno, bun, node
  --seconds N        measured window per visit (0.3)
  --rounds N         visits per contestant (3)
  --json             one line of JSON per figure instead of a table

options of udp:
  --sockets N        sockets of the load (16)
  --depth N          datagrams in flight per socket (16)
  --size N           bytes per datagram (64)
  --offload HOW      segmentation offload of the load's sockets (none): send (GSO: what a socket
                     sends at once is one message that the kernel cuts), receive (GRO: what came as
                     one is received as one), or both, as clients of QUIC do; with send and both
                     servers take part that receive so too
  --seconds N        measured window per visit (1)
  --rounds N         visits per contestant (5)
  --json             one line of JSON per contestant instead of a table

options of memory:
  --seconds N        processor time per visit (0.05)
  --json             one line of JSON per figure instead of tables

options of relay:
  --conns N          connections (64)
  --sizes A,B        bytes per message (64,16384)
  --seconds N        measured window per visit (0.5)
  --rounds N         visits per contestant (3)
  --contestants A,B  only these, as with echo (haproxy, haproxy/splice, "Bun.listen pipe", …)
  --json             one line of JSON per contestant instead of a table
`;

async function runEcho(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      conns: { type: "string", default: "64" },
      size: { type: "string", default: "64" },
      depth: { type: "string", default: "1" },
      seconds: { type: "string", default: "1" },
      rounds: { type: "string", default: "5" },
      contestants: { type: "string", default: "" },
      json: { type: "boolean", default: false },
    },
  });
  const { title, parameters, comparison, absent } = await echo({
    connections: positive("conns", values.conns, true),
    size: positive("size", values.size, true),
    depth: positive("depth", values.depth, true),
    rounds: positive("rounds", values.rounds, true),
    seconds: positive("seconds", values.seconds, false),
    contestants: values.contestants.split(",").filter(Boolean),
  });
  process.stdout.write(
    values.json
      ? jsonLines("echo", parameters, comparison, absent)
      : text(title, comparison, absent),
  );
}

async function runBackends(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      conns: { type: "string", default: "10,64,100,960,1000,10000" },
      runtime: { type: "string", default: "bun" },
      seconds: { type: "string", default: "0.5" },
      rounds: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
    },
  });
  const counts = values.conns.split(",").map((text) => positive("conns", text, true));
  process.stdout.write(
    await backends({
      counts,
      runtime: runtimeNamed(values.runtime),
      seconds: positive("seconds", values.seconds, false),
      rounds: positive("rounds", values.rounds, true),
      json: values.json,
    }),
  );
}

async function runStream(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      conns: { type: "string", default: "4" },
      seconds: { type: "string", default: "0.5" },
      rounds: { type: "string", default: "5" },
      json: { type: "boolean", default: false },
    },
  });
  const output = await stream({
    connections: positive("conns", values.conns, true),
    seconds: positive("seconds", values.seconds, false),
    rounds: positive("rounds", values.rounds, true),
    json: values.json,
  });
  process.stdout.write(output);
}

async function runFraming(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "0.3" },
      rounds: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
    },
  });
  const seconds = positive("seconds", values.seconds, false);
  const rounds = positive("rounds", values.rounds, true);
  process.stdout.write(await framing({ seconds, rounds, json: values.json }));
}

async function runInproc(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runtimes: { type: "string", default: "" },
      seconds: { type: "string", default: "0.3" },
      rounds: { type: "string", default: "3" },
      json: { type: "boolean", default: false },
    },
  });
  process.stdout.write(
    await inproc({
      seconds: positive("seconds", values.seconds, false),
      rounds: positive("rounds", values.rounds, true),
      runtimes: values.runtimes.split(",").filter(Boolean).map(runtimeNamed),
      json: values.json,
    }),
  );
}

async function runUdp(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      sockets: { type: "string", default: "16" },
      depth: { type: "string", default: "16" },
      size: { type: "string", default: "64" },
      offload: { type: "string", default: "none" },
      seconds: { type: "string", default: "1" },
      rounds: { type: "string", default: "5" },
      json: { type: "boolean", default: false },
    },
  });
  const output = await udp({
    sockets: positive("sockets", values.sockets, true),
    depth: positive("depth", values.depth, true),
    size: positive("size", values.size, true),
    offload: offloadNamed(values.offload),
    seconds: positive("seconds", values.seconds, false),
    rounds: positive("rounds", values.rounds, true),
    json: values.json,
  });
  process.stdout.write(output);
}

async function runMemory(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "0.05" },
      json: { type: "boolean", default: false },
    },
  });
  const seconds = positive("seconds", values.seconds, false);
  process.stdout.write(await memory({ seconds, json: values.json }));
}

async function runRelay(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      conns: { type: "string", default: "64" },
      sizes: { type: "string", default: "64,16384" },
      seconds: { type: "string", default: "0.5" },
      rounds: { type: "string", default: "3" },
      contestants: { type: "string", default: "" },
      json: { type: "boolean", default: false },
    },
  });
  process.stdout.write(
    await relay({
      connections: positive("conns", values.conns, true),
      sizes: values.sizes.split(",").map((text) => positive("sizes", text, true)),
      seconds: positive("seconds", values.seconds, false),
      rounds: positive("rounds", values.rounds, true),
      contestants: values.contestants.split(",").filter(Boolean),
      json: values.json,
    }),
  );
}

function runtimeNamed(text: string): Runtime {
  const found = runtimes.find((name) => name === text);
  if (found !== undefined) return found;
  throw new Error(`--runtime must be one of ${runtimes.join(", ")}, not ${text}`);
}

function offloadNamed(text: string): Offload {
  if (Object.hasOwn(offloads, text)) return text as Offload;
  throw new Error(`--offload must be one of ${Object.keys(offloads).join(", ")}, not ${text}`);
}

function positive(name: string, text: string, whole: boolean): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value) && (!whole || Number.isInteger(value))) return value;
  throw new Error(`--${name} must be a positive ${whole ? "integer" : "number"}, not ${text}`);
}

function usage(): string {
  const lines = Object.entries(benchmarks).map(([name, { summary }]) =>
    `  ${name.padEnd(8)} ${summary}`
  );
  return `npm run bench -- NAME [options]\n\n${lines.join("\n")}\n\n${options}`;
}

const [name, ...args] = process.argv.slice(2);
const benchmark = name !== undefined && Object.hasOwn(benchmarks, name)
  ? benchmarks[name]
  : undefined;
if (benchmark !== undefined) {
  try {
    await benchmark.run(args);
  } catch (error) {
    process.stderr.write(`FAILED: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
} else if (name === undefined || name === "--help") {
  process.stdout.write(usage());
} else {
  process.stderr.write(`There is no benchmark ${name}.\n\n${usage()}`);
  process.exitCode = 2;
}
