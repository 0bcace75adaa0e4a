// `npm run bench -- framing`: messages of 64 bytes found by a segmenter, declared or a function,
// against the same done by hand in a `data` handler.

import { spawnSync } from "node:child_process";
import { runtimes } from "../scripts/lib/tools.mjs";
import { command, environment } from "./lib/contestant.ts";
import { pinned, place } from "./lib/machine.ts";
import { table } from "./lib/table.ts";

export interface FramingOptions {
  readonly seconds: number;
  readonly rounds: number;
  readonly json: boolean;
}

interface Figure {
  readonly contestant: string;
  readonly perSecond: number;
}

const limitMs = 300_000;

/** @throws {Error} When a program fails. */
export async function framing({ seconds, rounds, json }: FramingOptions): Promise<string> {
  const { server } = place();
  const lines: string[] = [];
  const rows: string[][] = [];
  for (const runtime of runtimes) {
    const argv = await command(runtime, "bench/framing/receive.ts", [`${seconds}`, `${rounds}`]);
    if (typeof argv === "string") {
      lines.push(`absent: ${runtime}: ${argv}`);
      continue;
    }
    const figures = measure(pinned(argv, server));
    if (json) {
      const all = figures.map((one) => JSON.stringify({ bench: "framing", runtime, ...one }));
      lines.push(...all);
    }
    const base = figures[0].perSecond;
    rows.push([runtime, ...figures.map(({ perSecond }) => show(perSecond, base))]);
  }
  if (json) return `${lines.join("\n")}\n`;
  return [
    "Millions of 64-byte messages per second of processor time, with what sending them costs",
    table(["runtime", "by hand", "declared", "function"], rows),
    ...lines,
    "",
  ].join("\n");
}

function show(perSecond: number, base: number): string {
  return `${(perSecond / 1e6).toFixed(1)} (${(perSecond / base).toFixed(2)})`;
}

function measure(argv: readonly string[]): Figure[] {
  const [executable, ...args] = argv;
  const options = { encoding: "utf8", env: environment(), timeout: limitMs } as const;
  const { status, stdout, stderr, error } = spawnSync(executable, args, options);
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${error?.message ?? stderr}`);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}
