// `npm run bench -- memory`: what a buffer costs, natively and from TypeScript; whether two loops
// at once hinder each other; what registered buffers and files save the kernel.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { runtimes } from "../scripts/lib/tools.mjs";
import { command, environment } from "./lib/contestant.ts";
import { buildPrograms, nativeFolder } from "./lib/load.ts";
import { pinned, place } from "./lib/machine.ts";
import { table } from "./lib/table.ts";

export interface MemoryOptions {
  readonly seconds: number;
  readonly json: boolean;
}

/** One figure, as the programs print it. */
type Figure = Readonly<Record<string, string | number>>;

const limitMs = 300_000;

/** @throws {Error} When a program fails. */
export async function memory(options: MemoryOptions): Promise<string> {
  await buildPrograms();
  const { server, load } = place();
  const cores = server === undefined || load === undefined ? [] : [String(server), String(load)];
  const seconds = String(options.seconds);
  const native = figures([join(nativeFolder, "twinpoll-memory"), seconds, ...cores]);
  const scripts: Figure[] = [];
  const absent: string[] = [];
  for (const runtime of runtimes) {
    const answer = await command(runtime, "bench/memory/allocate.ts", [seconds]);
    if (typeof answer === "string") absent.push(`absent: ${runtime}: ${answer}`);
    else scripts.push(...figures(pinned(answer, server)).map((one) => ({ ...one, runtime })));
  }
  const fixed = join(nativeFolder, "fixed");
  const kernel = existsSync(fixed) ? figures([fixed, "--json"]) : [];
  if (kernel.length === 0) {
    absent.push("absent: registered buffers: liburing's header was not found");
  }
  if (options.json) return lines(native, scripts, kernel);
  return [
    "Taking a buffer and giving it back, in ns of processor time",
    allocation(native, scripts),
    together(native),
    "One echo of the kernel's, in ns of the server thread's processor time",
    registered(kernel),
    ...absent,
    "",
  ].join("\n");
}

function figures(argv: readonly string[]): Figure[] {
  const [executable, ...args] = argv;
  const options = { encoding: "utf8", env: environment(), timeout: limitMs } as const;
  const { status, stdout, stderr, error } = spawnSync(executable, args, options);
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${error?.message ?? stderr}`);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

function lines(...groups: readonly (readonly Figure[])[]): string {
  return groups.flat().map((one) => `${JSON.stringify({ bench: "memory", ...one })}\n`).join("");
}

function find(all: readonly Figure[], wanted: Figure): number | undefined {
  const found = all.find((one) => Object.keys(wanted).every((key) => one[key] === wanted[key]));
  return found === undefined ? undefined : Number(found.ns);
}

function allocation(native: readonly Figure[], scripts: readonly Figure[]): string {
  const names = [...new Set(scripts.map(({ runtime }) => String(runtime)))];
  const show = (value: number | undefined): string => value?.toFixed(1) ?? "–";
  const sizes = [...new Set(scripts.map(({ bytes }) => Number(bytes)))];
  const rows = sizes.map((bytes) => [
    bytes.toLocaleString("en"),
    ...["pool", "malloc"].flatMap((contestant) =>
      [1, 64].map((held) => show(find(native, { contestant, bytes, held })))
    ),
    ...names.flatMap((runtime) =>
      ["loop.allocate", "new Uint8Array"].map((contestant) =>
        show(find(scripts, { contestant, bytes, runtime }))
      )
    ),
  ]);
  const head = [
    "bytes",
    ...["pool", "malloc"].flatMap((name) => [`${name}, 1 held`, "64 held"]),
    ...names.flatMap((runtime) => [`allocate@${runtime}`, "Uint8Array"]),
  ];
  return table(head, rows);
}

function together(native: readonly Figure[]): string {
  const shares = native.filter((one) => "ofLoneRate" in one)
    .map((one) => Number(one.ofLoneRate).toFixed(2));
  if (shares.length === 0) return "Two loops at once: this machine has one core.";
  return `Two loops at once, each against its own lone rate: ${shares.join(" and ")}`;
}

function registered(kernel: readonly Figure[]): string {
  const sizes = [...new Set(kernel.map(({ size }) => Number(size)))];
  const variants = [...new Set(kernel.map(({ variant }) => String(variant)))];
  const rows = variants.map((variant) => [
    variant,
    ...sizes.flatMap((size) => {
      const one = kernel.find((figure) => figure.variant === variant && figure.size === size);
      if (one === undefined || one.cpuNsPerOperation === undefined) return ["–", "–"];
      return [
        Number(one.cpuNsPerOperation).toFixed(0),
        Number(one.ratioToPlain).toFixed(2),
      ];
    }),
  ]);
  return table(["variant", ...sizes.flatMap((size) => [`${size} bytes`, "of plain"])], rows);
}
