/**
 * Options of a loop's memory.
 *
 * @module
 */

import { errnoName } from "./error_numbers.ts";
import { IoError, type IoErrorOptions } from "./io_error.ts";
import { LoopOptions as Layout, Pages, Wish } from "./native/abi.ts";
import {
  booleanOption,
  choiceOption,
  integerOption,
  invalidOption,
  powerOfTwoOption,
} from "./options.ts";

/** The size of the pages that are asked for; `"none"` for what the machine pages with. */
export type HugePages = "none" | "2MiB" | "1GiB";

/** When a released buffer may be given out again; with both, both must hold. */
export interface QuarantineOptions {
  /**
   * Buffers that must be released after it, 0 to 65,536. Where there is no other buffer the oldest
   * is given out early; `pool.stats().releasedEarly` counts that.
   */
  count?: number;
  /**
   * How long it rests, in milliseconds of the loop's clock, 0 to 3,600,000. Kept also where there
   * is no other.
   */
  timeMs?: number;
}

/**
 * Options of a loop's memory. Loops of one process that ask for the same kind of memory
 * (`slabBytes`, `hugePages`, `lock`, `prefault`, `numaNode`) share its slabs.
 */
export interface PoolOptions {
  /** Bytes of a receive buffer, a power of two from 512 to 1,048,576. Default 16,384. */
  bufferSize?: number;
  /**
   * Most buffers that the backend holds for receiving, a power of two from 8 to 32,768; together at
   * most half of `maxBytes`. Default 1,024, or fewer in a small pool.
   */
  receiveBuffers?: number;
  /**
   * Most memory for the loop's buffers, in bytes, from one slab to 1 TiB. Default 268,435,456. What
   * is kept for receiving leaves the program's own messages at least half of it.
   */
  maxBytes?: number;
  /**
   * Bytes that are mapped at a time, a power of two from 65,536 to 1,073,741,824, and the most that
   * one buffer can have. Default: a 32nd of `maxBytes`, and 8,388,608 at least where there is room.
   */
  slabBytes?: number;
  /** Pages that the administrator has reserved. Falls back to smaller ones. Default `"none"`. */
  hugePages?: HugePages;
  /**
   * Keeps slabs from being written to swap, page by page as they are touched, where the limit on
   * locked memory allows. Default true.
   */
  lock?: boolean;
  /** Touches every page when a slab is mapped instead of when it is used. Default false. */
  prefault?: boolean;
  /** The NUMA node whose memory it must be, 0 to 1,023. Default: any. */
  numaNode?: number;
  /**
   * Registers slabs with the backend, which pins them and counts them against the limit on locked
   * memory. Default false.
   */
  fixedBuffers?: boolean;
  /**
   * Makes it an error (`NOT_GRANTED`) when the first slab does not get what was asked for. Default
   * false: `pool.stats()` tells what was granted, and why not more.
   */
  strict?: boolean;
  /** Overwrites buffers as they are released, so that late use shows. Default false. */
  poison?: boolean;
  /** Keeps released buffers back for a while, so that late use harms nobody. Default: none. */
  quarantine?: QuarantineOptions;
}

const kib = 1024;

const pagesByName = { none: Pages.small, "2MiB": Pages.huge_2m, "1GiB": Pages.huge_1g } as const;

/** Options by the index of their field in the native struct. */
export const poolNamesByField: Readonly<Record<number, string>> = {
  [Layout.buffer_size]: "pool.bufferSize",
  [Layout.receive_buffers]: "pool.receiveBuffers",
  [Layout.max_kib]: "pool.maxBytes",
  [Layout.slab_kib]: "pool.slabBytes",
  [Layout.pages]: "pool.hugePages",
  [Layout.lock]: "pool.lock",
  [Layout.prefault]: "pool.prefault",
  [Layout.numa_node]: "pool.numaNode",
  [Layout.fixed_buffers]: "pool.fixedBuffers",
  [Layout.strict]: "pool.strict",
  [Layout.poison]: "pool.poison",
  [Layout.quarantine_count]: "pool.quarantine.count",
  [Layout.quarantine_ms]: "pool.quarantine.timeMs",
};

/** Writes the options into a native `LoopOptions`. */
export function encodePool(words: Uint32Array, pool: PoolOptions): void {
  if (typeof pool !== "object" || pool === null) throw invalidOption("pool", pool, "an object");
  encodeSizes(words, pool);
  if (pool.hugePages !== undefined) {
    words[Layout.pages] = choiceOption("pool.hugePages", pool.hugePages, pagesByName);
  }
  if (pool.numaNode !== undefined) {
    words[Layout.numa_node] = 1 + integerOption("pool.numaNode", pool.numaNode, 0, 1_023);
  }
  const wishes = [
    [Layout.lock, pool.lock],
    [Layout.prefault, pool.prefault],
    [Layout.fixed_buffers, pool.fixedBuffers],
    [Layout.strict, pool.strict],
    [Layout.poison, pool.poison],
  ] as const;
  for (const [field, value] of wishes) {
    if (value === undefined) continue;
    words[field] = booleanOption(poolNamesByField[field], value) ? Wish.yes : Wish.no;
  }
  encodeQuarantine(words, pool.quarantine);
}

function encodeSizes(words: Uint32Array, pool: PoolOptions): void {
  const powers = [
    [Layout.buffer_size, pool.bufferSize, 512, 1_048_576, 1],
    [Layout.receive_buffers, pool.receiveBuffers, 8, 32_768, 1],
    [Layout.slab_kib, pool.slabBytes, 65_536, 2 ** 30, kib],
  ] as const;
  for (const [field, value, minimum, maximum, unit] of powers) {
    if (value === undefined) continue;
    words[field] = powerOfTwoOption(poolNamesByField[field], value, minimum, maximum) / unit;
  }
  if (pool.maxBytes === undefined) return;
  const least = pool.slabBytes ?? 65_536;
  const bytes = integerOption("pool.maxBytes", pool.maxBytes, least, 2 ** 40);
  words[Layout.max_kib] = Math.floor(bytes / kib);
}

function encodeQuarantine(words: Uint32Array, quarantine: QuarantineOptions | undefined): void {
  if (quarantine === undefined) return;
  if (typeof quarantine !== "object" || quarantine === null) {
    throw invalidOption("pool.quarantine", quarantine, "an object");
  }
  const fields = [
    [Layout.quarantine_count, quarantine.count, 65_536],
    [Layout.quarantine_ms, quarantine.timeMs, 3_600_000],
  ] as const;
  for (const [field, value, maximum] of fields) {
    if (value === undefined) continue;
    words[field] = integerOption(poolNamesByField[field], value, 0, maximum);
  }
}

/** What to do for a wish that was not granted, by the index of its field in the native struct. */
export const adviceByField: Readonly<Record<number, string>> = {
  [Layout.pages]:
    "Reserve huge pages: vm.nr_hugepages, or hugepages= on the kernel's command line.",
  [Layout.lock]: "Raise `ulimit -l` (memlock), grant CAP_IPC_LOCK, or set pool.lock to false.",
  [Layout.prefault]: "Free memory, or lower pool.slabBytes.",
  [Layout.numa_node]: "See /sys/devices/system/node for the nodes of this machine.",
  [Layout.fixed_buffers]: "Raise `ulimit -l` (memlock), or use the io_uring backend.",
};

/** The error for strict memory that was not granted: the field says which wish. */
export function notGranted(field: number, errno: number): IoError {
  const name = poolNamesByField[field] ?? "pool";
  const why = errno === 0 ? "" : `: ${errnoName(errno)}`;
  const options: IoErrorOptions = { advice: adviceByField[field] ?? "Set pool.strict to false." };
  if (errno !== 0) options.errno = errno;
  return new IoError("NOT_GRANTED", `option ${name} was not granted${why}`, options);
}
