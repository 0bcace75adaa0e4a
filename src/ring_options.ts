/**
 * Options of the io_uring backend, and which of its features a loop works with.
 *
 * @module
 */

import { errnoName } from "./error_numbers.ts";
import { IoError, type IoErrorOptions } from "./io_error.ts";
import { LoopOptions as Layout, RingFeature, Wish } from "./native/abi.ts";
import { booleanOption, integerOption, invalidOption } from "./options.ts";

/** The kernel's thread that takes submissions. */
export interface SqpollOptions {
  /**
   * How long the thread looks for work before it sleeps, in milliseconds: 1 to 60,000. Default
   * 1,000.
   */
  idleMs?: number;
  /** The CPU that it runs on, 0 to 4,095. Default: any. */
  cpu?: number;
}

/**
 * Options of the io_uring backend. All of them are off by default. What the kernel refuses is an
 * error (`NOT_GRANTED`) that names the option, unless `bestEffort` is set.
 */
export interface IoUringOptions {
  /**
   * A thread of the kernel takes submissions, so that submitting costs no system call while it is
   * awake. It takes a CPU of its own while there is work and `idleMs` longer, and replaces
   * DEFER_TASKRUN, so it pays only for loops that are always busy. Default false.
   */
  sqpoll?: boolean | SqpollOptions;
  /**
   * Sends of at least so many bytes are not copied: 1 to 1,073,741,824, or 0 for none. Their
   * buffers stay in use until the peer has acknowledged them; at most 256 such sends are under way,
   * others are copied. On loopback, and with a device that cannot gather, the kernel copies in the
   * end (`stats().zeroCopiesCopied`), which costs more than a plain send. Pays from about 16,384
   * bytes on. Linux 6.1. Default 0.
   */
  zeroCopyBytes?: number;
  /**
   * How long a turn that sleeps waits for `minWaitCount` completions before fewer end it, in
   * microseconds: 1 to 1,000,000, or 0 for not at all. Fewer wake-ups under load for that much more
   * latency. Timers are not late by it. Linux 6.12. Default 0.
   */
  minWaitUs?: number;
  /** Completions that end a wait at once: 1 to 4,096. Default 32. */
  minWaitCount?: number;
  /**
   * How long a wait polls the network device before it sleeps, in microseconds: 1 to 1,000,000, or
   * 0 for not at all. Costs CPU time while it waits, and does nothing on loopback. Linux 6.9.
   * Default 0.
   */
  napiUs?: number;
  /**
   * One receive fills several buffers, which spares completions of the kernel where much arrives on
   * few connections; a connection may then be further ahead of its `receiveCredits`. From Linux
   * 6.17 on: before, bytes could come out of order. Default false.
   */
  bundles?: boolean;
  /**
   * A receive uses no more of a buffer than it needs, so that short messages, also of several
   * connections, share one. A buffer is free once all of its messages are released, so a program
   * that keeps some of them keeps the whole; `receiveCredits` do not count such messages, and up
   * to 65,536 of them can be held back, after which a connection ends with `ENOBUFS`. A lease
   * cannot be transferred while its buffer still fills. Not for datagrams. From Linux 6.17 on:
   * before, bytes could come out of order. Default false.
   */
  incrementalBuffers?: boolean;
  /** Do without what the kernel refuses of these options. Default false. */
  bestEffort?: boolean;
}

/** A feature of io_uring that a loop works with, or may be granted. */
export type IoUringFeature =
  | "registeredRing"
  | "registeredFiles"
  | "sqpoll"
  | "zeroCopy"
  | "bundles"
  | "incrementalBuffers"
  | "minWait"
  | "napi"
  | "cloneBuffers"
  | "sendMessage";

const featureNames: readonly (readonly [bit: number, name: IoUringFeature])[] = [
  [RingFeature.registered_ring, "registeredRing"],
  [RingFeature.registered_files, "registeredFiles"],
  [RingFeature.sqpoll, "sqpoll"],
  [RingFeature.zero_copy, "zeroCopy"],
  [RingFeature.bundles, "bundles"],
  [RingFeature.incremental, "incrementalBuffers"],
  [RingFeature.min_wait, "minWait"],
  [RingFeature.napi, "napi"],
  [RingFeature.clone_buffers, "cloneBuffers"],
  [RingFeature.send_message, "sendMessage"],
];

/** The names of the features in a set of bits. */
export function ringFeatures(bits: number): readonly IoUringFeature[] {
  return featureNames.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
}

/** Options by the index of their field in the native struct. */
export const ringNamesByField: Readonly<Record<number, string>> = {
  [Layout.sqpoll]: "ioUring.sqpoll",
  [Layout.sqpoll_idle_ms]: "ioUring.sqpoll.idleMs",
  [Layout.sqpoll_cpu]: "ioUring.sqpoll.cpu",
  [Layout.zero_copy_bytes]: "ioUring.zeroCopyBytes",
  [Layout.min_wait_us]: "ioUring.minWaitUs",
  [Layout.min_wait_count]: "ioUring.minWaitCount",
  [Layout.napi_us]: "ioUring.napiUs",
  [Layout.bundles]: "ioUring.bundles",
  [Layout.incremental_buffers]: "ioUring.incrementalBuffers",
  [Layout.best_effort]: "ioUring.bestEffort",
};

/** Writes the options into a native `LoopOptions`. */
export function encodeRing(words: Uint32Array, options: IoUringOptions, backend: string): void {
  if (typeof options !== "object" || options === null) {
    throw invalidOption("ioUring", options, "an object");
  }
  const integers = [
    [Layout.zero_copy_bytes, options.zeroCopyBytes, 0, 2 ** 30],
    [Layout.min_wait_us, options.minWaitUs, 0, 1_000_000],
    [Layout.min_wait_count, options.minWaitCount, 1, 4_096],
    [Layout.napi_us, options.napiUs, 0, 1_000_000],
  ] as const;
  for (const [field, value, minimum, maximum] of integers) {
    if (value === undefined) continue;
    words[field] = integerOption(ringNamesByField[field], value, minimum, maximum);
  }
  const wishes = [
    [Layout.bundles, options.bundles],
    [Layout.incremental_buffers, options.incrementalBuffers],
    [Layout.best_effort, options.bestEffort],
  ] as const;
  for (const [field, value] of wishes) {
    if (value === undefined) continue;
    words[field] = booleanOption(ringNamesByField[field], value) ? Wish.yes : Wish.no;
  }
  encodeSqpoll(words, options.sqpoll);
  if (backend !== "auto" && backend !== "io_uring") {
    throw new IoError("INVALID_OPTION", `option ioUring is not for backend ${backend}`, {
      advice: 'Leave ioUring out, or set backend to "io_uring" or "auto".',
    });
  }
}

function encodeSqpoll(words: Uint32Array, sqpoll: boolean | SqpollOptions | undefined): void {
  if (sqpoll === undefined) return;
  if (typeof sqpoll === "boolean") {
    words[Layout.sqpoll] = sqpoll ? Wish.yes : Wish.no;
    return;
  }
  if (typeof sqpoll !== "object" || sqpoll === null) {
    throw invalidOption("ioUring.sqpoll", sqpoll, "true, false or an object");
  }
  words[Layout.sqpoll] = Wish.yes;
  if (sqpoll.idleMs !== undefined) {
    words[Layout.sqpoll_idle_ms] = integerOption("ioUring.sqpoll.idleMs", sqpoll.idleMs, 1, 60_000);
  }
  if (sqpoll.cpu !== undefined) {
    words[Layout.sqpoll_cpu] = 1 + integerOption("ioUring.sqpoll.cpu", sqpoll.cpu, 0, 4_095);
  }
}

/** The error for an option that the kernel refused; undefined when the field is none of them. */
export function ringNotGranted(field: number, errno: number): IoError | undefined {
  const name = ringNamesByField[field];
  if (name === undefined) return undefined;
  const why = errno === 0 ? "" : `: ${errnoName(errno)}`;
  const options: IoErrorOptions = {
    advice: `Leave ${name} out, set ioUring.bestEffort, or run a newer kernel.`,
  };
  if (errno !== 0) options.errno = errno;
  return new IoError("NOT_GRANTED", `option ${name} was not granted${why}`, options);
}
