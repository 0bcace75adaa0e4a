// The machine's cores: which one the server gets and which one the load.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface Placement {
  /** Core of the server, undefined when nothing is pinned. */
  readonly server: number | undefined;
  readonly load: number | undefined;
  /** One sentence for people. */
  readonly description: string;
}

/** Decides where server and load run: on two cores of their own, if there are two. */
export function place(): Placement {
  const cores = allowedCores();
  if (cores.length < 2) {
    return { server: undefined, load: undefined, description: "one core for both: not pinned" };
  }
  if (spawnSync("taskset", ["--version"], { stdio: "ignore" }).status !== 0) {
    const description = `${cores.length} cores, but no taskset: not pinned`;
    return { server: undefined, load: undefined, description };
  }
  // The first core takes most interrupts and kernel threads, so the last two are quieter.
  const [server, load] = cores.slice(-2);
  return { server, load, description: `server on core ${server}, load on core ${load}` };
}

/** The congestion control of TCP here, which decides much also over loopback: some pace. */
export function congestionControl(): string {
  return readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
}

/** The command, pinned to a core if there is one. `taskset` replaces itself: the pid stays. */
export function pinned(command: readonly string[], core: number | undefined): readonly string[] {
  return core === undefined ? command : ["taskset", "-c", String(core), ...command];
}

/** Cores that this process may use, from a list such as "0-3,8". */
function allowedCores(): number[] {
  const status = readFileSync("/proc/self/status", "utf8");
  const list = status.match(/^Cpus_allowed_list:\s*(\S+)$/m)?.[1] ?? "0";
  return list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
