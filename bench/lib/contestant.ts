// Who takes part in a comparison of servers: twinpoll on every backend and runtime, the runtimes'
// own servers, and the C peers. What is missing here is listed with the reason, never left out.

import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { bundle, bundled, filesIn } from "../../scripts/lib/bundle.mjs";
import { library } from "../../scripts/lib/native.mjs";
import { root } from "../../scripts/lib/paths.mjs";
import { findRuntime, runtimes } from "../../scripts/lib/tools.mjs";
import type { Runtime } from "../../scripts/lib/tools.mjs";
import { upToDate } from "./freshness.ts";
import { nativeFolder } from "./load.ts";

export interface Contestant {
  /** Same for all runtimes: "twinpoll/io_uring", "Bun.listen", "c/epoll". */
  readonly name: string;
  readonly runtime: Runtime | "native";
  readonly command: readonly string[];
}

export interface Absent {
  readonly name: string;
  readonly runtime: Runtime | "native";
  readonly reason: string;
}

/** Bundles lie deeper than the sources, and look for the library in vain unless they are told. */
export function environment(): NodeJS.ProcessEnv {
  return existsSync(library) ? { TWINPOLL_LIBRARY: library, ...process.env } : process.env;
}

/** The C peers that everybody is compared with, best known first. */
export const peers: readonly string[] = ["c/io_uring", "c/epoll"];

const own: Readonly<Record<Runtime, { readonly name: string; readonly file: string }>> = {
  bun: { name: "Bun.listen", file: "bench/servers/bun_listen.ts" },
  deno: { name: "Deno.listen", file: "bench/servers/deno_listen.ts" },
  node: { name: "node:net", file: "bench/servers/node_net.ts" },
};

/** One way of twinpoll to wait: its name in tables, and what its server is started with. */
export interface Way {
  readonly name: string;
  readonly args: readonly string[];
}

/** The backends that people choose between. */
export const usualWays: readonly Way[] = [
  { name: "twinpoll/io_uring", args: ["--backend", "io_uring"] },
  { name: "twinpoll/epoll", args: ["--backend", "epoll"] },
];

const twinpollFile = "bench/servers/twinpoll.ts";

/** The runtime's own server, which twinpoll on that runtime is compared with. */
export function ownServer(runtime: Runtime | "native"): string | undefined {
  return runtime === "native" ? undefined : own[runtime].name;
}

/** Unique among contestants: "twinpoll/io_uring@bun". */
export function label(contestant: Contestant | Absent): string {
  const shared = contestant.name.startsWith("twinpoll/");
  return shared ? `${contestant.name}@${contestant.runtime}` : contestant.name;
}

/**
 * Finds out who can take part.
 *
 * @param connections So many connections every server must be able to hold.
 * @param wanted Labels, names or runtimes; all when empty.
 * @param ways How twinpoll takes part, on each runtime.
 * @throws {Error} When a wanted contestant is not known.
 */
export async function findContestants(
  connections: number,
  wanted: readonly string[] = [],
  ways: readonly Way[] = usualWays,
): Promise<{ readonly present: readonly Contestant[]; readonly absent: readonly Absent[] }> {
  const present: Contestant[] = [];
  const absent: Absent[] = [];
  const add = (name: string, runtime: Runtime | "native", answer: readonly string[] | string) => {
    if (typeof answer === "string") absent.push({ name, runtime, reason: answer });
    else present.push({ name, runtime, command: answer });
  };
  for (const backend of ["io_uring", "epoll"]) {
    add(`c/${backend}`, "native", nativeCommand(`echo_${backend}`));
  }
  for (const runtime of runtimes) {
    for (const way of ways) {
      const args = [...way.args, "--connections", String(connections + 64)];
      add(way.name, runtime, await command(runtime, twinpollFile, args));
    }
    add(own[runtime].name, runtime, await command(runtime, own[runtime].file));
  }
  const all = [...present, ...absent];
  for (const word of wanted) {
    if (all.some((contestant) => matches(contestant, word))) continue;
    throw new Error(`No contestant ${word}. There are: ${all.map(label).join(", ")}.`);
  }
  const chosen = (contestant: Contestant | Absent): boolean =>
    wanted.length === 0 || wanted.some((word) => matches(contestant, word));
  return { present: present.filter(chosen), absent: absent.filter(chosen) };
}

function matches(contestant: Contestant | Absent, word: string): boolean {
  return [label(contestant), contestant.name, contestant.runtime].includes(word);
}

function nativeCommand(name: string): readonly string[] | string {
  const path = join(nativeFolder, name);
  if (existsSync(path)) return [path];
  return name === "echo_io_uring" ? "liburing's header was not found" : `${path} was not built`;
}

/** A server of ours on each runtime: its name in tables, its file in bench/servers, arguments. */
export type ServerWay = readonly [name: string, file: string, args: readonly string[]];

/**
 * The C peer and what each runtime is tried with.
 *
 * @param peer Its name in tables, and the program of bench/native.
 * @param waysOf The servers that take part on a runtime.
 */
export async function findServers(
  peer: { readonly name: string; readonly program: string },
  waysOf: (runtime: Runtime) => readonly ServerWay[],
): Promise<{ readonly present: Contestant[]; readonly absent: Absent[] }> {
  const present: Contestant[] = [];
  const absent: Absent[] = [];
  const add = (name: string, runtime: Runtime | "native", answer: readonly string[] | string) => {
    if (typeof answer === "string") absent.push({ name, runtime, reason: answer });
    else present.push({ name, runtime, command: answer });
  };
  add(peer.name, "native", nativeCommand(peer.program));
  for (const runtime of runtimes) {
    for (const [name, file, args] of waysOf(runtime)) {
      add(name, runtime, await command(runtime, `bench/servers/${file}.ts`, args));
    }
  }
  return { present, absent };
}

/** How to run a TypeScript file of this clone on a runtime, or why that is not possible. */
export async function command(
  runtime: Runtime,
  file: string,
  args: readonly string[] = [],
): Promise<readonly string[] | string> {
  const executable = await findRuntime(runtime);
  if (executable === undefined) return `${runtime} was not found`;
  switch (runtime) {
    case "bun":
      return [executable, join(root, file), ...args];
    case "deno":
      return [executable, "run", "--allow-all", "--no-prompt", join(root, file), ...args];
    case "node": {
      const problem = await freshBundle(file);
      return problem ?? [executable, bundled(file), ...args];
    }
  }
}

let bundling: Promise<void> | undefined;

/** Node 20 runs no TypeScript: makes a bundle when there is none or a source is newer. */
async function freshBundle(file: string): Promise<string | undefined> {
  const sources = ["mod.ts", "cli.ts", ...filesIn("src"), ...filesIn("bench")];
  if (upToDate(bundled(file), sources.map((source) => join(root, source)))) return undefined;
  if (await findRuntime("bun") === undefined) return "bun was not found, which makes Node's bundle";
  bundling ??= bundle("bench", "examples");
  await bundling;
  return undefined;
}
