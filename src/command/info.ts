/**
 * `twinpoll info`: what this machine offers.
 *
 * @module
 */

import { IoError } from "../io_error.ts";
import { Loop } from "../loop.ts";
import type { MemoryGrantStats, PoolStats } from "../pool_stats.ts";
import { type BackendAvailability, type Machine, probe } from "../probe.ts";

/** Prints what this machine offers and what a loop is granted, as text or as one JSON object. */
export function info(json: boolean): void {
  const machine = probe();
  const pool = openedPool();
  console.log(json ? JSON.stringify(jsonOf(machine, pool)) : textOf(machine, pool));
}

/** The memory of a loop with the defaults, or why none can be opened. */
function openedPool(): PoolStats | IoError {
  try {
    using loop = new Loop();
    return loop.pool.stats();
  } catch (error) {
    if (error instanceof IoError) return error;
    throw error;
  }
}

/** JSON knows no infinity: an absent limit is null. */
function jsonOf(machine: Machine, pool: PoolStats | IoError): unknown {
  return {
    ...machine,
    ...(pool instanceof IoError ? { pool: null, loopError: describe(pool) } : { pool }),
    memoryLockLimit: finite(machine.memoryLockLimit),
    descriptorLimit: finite(machine.descriptorLimit),
  };
}

function describe({ code, message, advice }: IoError): unknown {
  return { code, message, advice };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function textOf(machine: Machine, pool: PoolStats | IoError): string {
  const disabled = machine.ioUringDisabled;
  const rows: [string, string][] = [
    ["runtime", machine.runtime],
    ["library", `${machine.library} (ABI ${machine.abiVersion})`],
    ["kernel", machine.kernel],
    ["page", `${machine.pageBytes} bytes`],
    ["CPUs", `${machine.cpusAllowed} of ${machine.cpusOnline}`],
    ["locked memory", limitText(machine.memoryLockLimit, "bytes")],
    ["huge pages", hugePagesText(machine)],
    ["NUMA nodes", String(machine.numaNodes)],
    ["descriptors", limitText(machine.descriptorLimit, "")],
    ["io_uring_disabled", disabled === null ? "not readable" : String(disabled)],
    ["waker thread", machine.threads ? "yes" : "no"],
    ["io_uring", backendText(machine.backends.io_uring)],
    ["io_uring features", featuresText(machine.backends.io_uring)],
    ["epoll", backendText(machine.backends.epoll)],
    ["kqueue", backendText(machine.backends.kqueue)],
    ["select", backendText(machine.backends.select)],
    ...poolRows(pool),
  ];
  return rows.map(([name, value]) => `${name.padEnd(18)} ${value}`).join("\n");
}

function poolRows(pool: PoolStats | IoError): [string, string][] {
  if (pool instanceof IoError) return [["pool", `none: ${pool.message}. ${pool.advice}`]];
  return [
    ["pool", `${pool.maxBytes} bytes at most, in slabs of ${pool.slabBytes}`],
    ["pool pages", grantText(pool.pages)],
    ["pool locked", grantText(pool.lock)],
    ["pool prefaulted", grantText(pool.prefault)],
    ["pool NUMA node", grantText(pool.numa)],
    ["pool registered", grantText(pool.fixed)],
  ];
}

function hugePagesText(machine: Machine): string {
  const sizes = Object.entries(machine.hugePages).map(([size, { total, free }]) =>
    `${size}: ${free} of ${total} free`
  );
  return `${sizes.join(", ")}; transparent: ${machine.transparentHugePages}`;
}

function grantText(grant: MemoryGrantStats<unknown>): string {
  const words = (value: unknown): string =>
    value === true ? "yes" : value === false ? "no" : value === null ? "any" : String(value);
  const why = grant.reason === undefined ? "" : ` (${grant.reason}). ${grant.advice}`;
  return `asked: ${words(grant.asked)}, granted: ${words(grant.granted)}${why}`;
}

function limitText(value: number, unit: string): string {
  return Number.isFinite(value) ? `${value} ${unit}`.trim() : "unlimited";
}

function featuresText({ features }: BackendAvailability): string {
  return features.length === 0 ? "none" : features.join(" ");
}

function backendText(backend: BackendAvailability): string {
  if (backend.available) {
    const flags = backend.setupFlags.length === 0 ? "" : `: ${backend.setupFlags.join(" ")}`;
    return `available (rung ${backend.rung})${flags}`;
  }
  const error = backend.error === undefined ? "" : ` (${backend.error})`;
  return `not available: ${backend.reason}${error}. ${backend.advice}`;
}
