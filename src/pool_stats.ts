/**
 * What a loop's memory is made of, and how it is used.
 *
 * @module
 */

import { errnoName } from "./error_numbers.ts";
import { errorOfStatus } from "./io_error.ts";
import { type Functions, LoopOptions, MemoryGrant, Pages, PoolReport } from "./native/abi.ts";
import { adviceByField } from "./pool_options.ts";

/** How much of a wish was granted. */
export interface MemoryGrantStats<Value> {
  /** What was asked for. */
  readonly asked: Value;
  /** What the slab that got least has. */
  readonly granted: Value;
  /** Slabs that have what was asked for. */
  readonly slabs: number;
  /** Why one has less, when one has: the system's code, and what it means here. */
  readonly reason?: string;
  /** What to do about it, beside a reason. */
  readonly advice?: string;
}

/** The size of the pages behind a slab; `"transparent"`: small ones that the kernel may join. */
export type PageSize = "4KiB" | "2MiB" | "1GiB" | "transparent";

/** A loop's memory, and the slabs behind it. */
export interface PoolStats {
  /** Slabs of this kind in the process, which its loops share. */
  readonly slabs: number;
  /** Bytes of a slab. */
  readonly slabBytes: number;
  /** Most that this loop's buffers may take, in bytes. */
  readonly maxBytes: number;
  /** What they take, in bytes: the sum of the following five. */
  readonly heldBytes: number;
  /** Leased, borrowed, held back, or waiting to be sent. */
  readonly inUseBytes: number;
  /** Given to the backend for receiving. */
  readonly receiveBytes: number;
  /** Free, in the loop's own cache. */
  readonly cachedBytes: number;
  /** Released, and not to be given out yet. */
  readonly quarantinedBytes: number;
  /** Transferred, and not received by another loop yet. */
  readonly inTransitBytes: number;
  /** Bytes of the slabs that no loop holds. */
  readonly freeBytes: number;
  /** Bytes of the slabs that the kernel did not let go of when their loop was closed. */
  readonly lostBytes: number;
  /** Memory of the application that is adopted, in bytes. Counts for nothing above. */
  readonly adoptedBytes: number;
  /** Times that no buffer was to be had. */
  readonly refused: number;
  /** Times that a buffer left its quarantine early because there was no other. */
  readonly releasedEarly: number;
  /** Buffers in use. */
  readonly buffersInUse: number;
  /** Buffers on which the program owns references. */
  readonly leases: number;
  /** The pages behind the slabs. */
  readonly pages: MemoryGrantStats<PageSize>;
  /** Whether they are locked in memory. */
  readonly lock: MemoryGrantStats<boolean>;
  /** Whether their pages were touched at once. */
  readonly prefault: MemoryGrantStats<boolean>;
  /** The NUMA node that they are bound to; null for any. */
  readonly numa: MemoryGrantStats<number | null>;
  /** Whether they are registered with this loop's backend. */
  readonly fixed: MemoryGrantStats<boolean>;
}

/** Asks native code for the state of a loop's memory. */
export function readPoolStats(functions: Functions, loop: number): PoolStats {
  const words = new Uint32Array(PoolReport.byte_length / 4);
  const doubles = new Float64Array(words.buffer);
  words[PoolReport.size] = PoolReport.byte_length;
  const bytes = new Uint8Array(words.buffer);
  const status = functions.tp_pool_report(loop, bytes, bytes.length);
  if (status < 0) throw errorOfStatus(status, "read the state of the pool");
  return {
    slabs: words[PoolReport.slabs],
    slabBytes: doubles[PoolReport.slab_bytes],
    maxBytes: doubles[PoolReport.max_bytes],
    heldBytes: doubles[PoolReport.held_bytes],
    inUseBytes: doubles[PoolReport.in_use_bytes],
    receiveBytes: doubles[PoolReport.receive_bytes],
    cachedBytes: doubles[PoolReport.cached_bytes],
    quarantinedBytes: doubles[PoolReport.quarantined_bytes],
    inTransitBytes: doubles[PoolReport.in_transit_bytes],
    freeBytes: doubles[PoolReport.free_bytes],
    lostBytes: doubles[PoolReport.lost_bytes],
    adoptedBytes: doubles[PoolReport.adopted_bytes],
    refused: doubles[PoolReport.refused],
    releasedEarly: doubles[PoolReport.released_early],
    buffersInUse: words[PoolReport.buffers_in_use],
    leases: words[PoolReport.leases],
    pages: readGrant(words, PoolReport.pages, pageSize, pagesRefusal),
    lock: readGrant(words, PoolReport.lock, Boolean, lockRefusal),
    prefault: readGrant(words, PoolReport.prefault, Boolean, prefaultRefusal),
    numa: readGrant(words, PoolReport.numa, nodeOf, numaRefusal),
    fixed: readGrant(words, PoolReport.fixed, Boolean, fixedRefusal),
  };
}

/** What the system's codes mean where a wish is refused, and what to do. */
interface Refusal {
  readonly meanings: Readonly<Record<string, string>>;
  readonly advice: string;
}

const lockMeanings = {
  ENOMEM: "RLIMIT_MEMLOCK is too low",
  EPERM: "RLIMIT_MEMLOCK is 0",
  EAGAIN: "a page was not to be had",
} as const;

const pagesRefusal: Refusal = {
  meanings: {
    ENOMEM: "not enough of them are reserved",
    EINVAL: "slabBytes is no multiple of them, or the kernel has none of that size",
    EFAULT: "the node or the control group has none",
  },
  advice: adviceByField[LoopOptions.pages],
};
const lockRefusal: Refusal = {
  meanings: lockMeanings,
  advice: adviceByField[LoopOptions.lock],
};
const prefaultRefusal: Refusal = {
  meanings: { ENOMEM: "out of memory" },
  advice: adviceByField[LoopOptions.prefault],
};
const numaRefusal: Refusal = {
  meanings: {
    EINVAL: "there is no such node, or none that this process may use",
    ENOSYS: "the kernel knows no nodes",
    EPERM: "the container's filter of system calls refuses it",
  },
  advice: adviceByField[LoopOptions.numa_node],
};
const fixedRefusal: Refusal = {
  meanings: {
    ...lockMeanings,
    EOPNOTSUPP: "this backend registers nothing",
    ENOTSUP: "this backend registers nothing",
  },
  advice: adviceByField[LoopOptions.fixed_buffers],
};

function nodeOf(value: number): number | null {
  return value === 0 ? null : value - 1;
}

function pageSize(value: number): PageSize {
  switch (value) {
    case Pages.huge_2m:
      return "2MiB";
    case Pages.huge_1g:
      return "1GiB";
    case Pages.transparent:
      return "transparent";
    default:
      return "4KiB";
  }
}

function readGrant<Value>(
  words: Uint32Array,
  at: number,
  meaning: (value: number) => Value,
  { meanings, advice }: Refusal,
): MemoryGrantStats<Value> {
  const grant = {
    asked: meaning(words[at + MemoryGrant.asked]),
    granted: meaning(words[at + MemoryGrant.granted]),
    slabs: words[at + MemoryGrant.slabs],
  };
  const errno = words[at + MemoryGrant.error_errno];
  if (grant.asked === grant.granted || errno === 0) return grant;
  const code = errnoName(errno);
  const reason = meanings[code] === undefined ? code : `${code}: ${meanings[code]}`;
  return { ...grant, reason, advice };
}
