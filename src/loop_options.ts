/**
 * Options of a loop, and what a loop was granted for them.
 *
 * @module
 */

import { errorOfStatus, IoError, type IoErrorOptions, syscallName } from "./io_error.ts";
import type { LeakReport } from "./leaks.ts";
import {
  BackendKind,
  ClockKind,
  type Functions,
  LoopOptions as Layout,
  Mode,
  Reason,
  Status,
  Trigger,
} from "./native/abi.ts";
import {
  booleanOption,
  choiceOption,
  integerOption,
  invalidOption,
  powerOfTwoOption,
} from "./options.ts";
import { encodePool, notGranted, poolNamesByField, type PoolOptions } from "./pool_options.ts";
import {
  encodeRing,
  type IoUringFeature,
  type IoUringOptions,
  ringFeatures,
  ringNamesByField,
  ringNotGranted,
} from "./ring_options.ts";

/**
 * What waits for events.
 *
 * - `"io_uring"`: Linux 6.0 and newer.
 * - `"epoll"`: any Linux.
 * - `"kqueue"`: macOS and the BSDs; on Linux with a library that offers `kqueue` and `kevent`,
 *   named by the environment variable `TWINPOLL_KQUEUE`.
 * - `"select"`: everywhere, with descriptors below 1,024; the last resort.
 */
export type BackendName = "io_uring" | "epoll" | "kqueue" | "select";

/**
 * When `epoll` and `kqueue` tell of a descriptor that stays ready: once, until it was read or
 * written empty, or each time that the kernel is entered.
 */
export type TriggerName = "edge" | "level";

/**
 * When a loop sleeps and when it polls.
 *
 * - `"adaptive"`: polls while work keeps coming, sleeps once that takes longer than polling pays.
 * - `"event"`: always sleeps.
 * - `"poll"`: never sleeps; takes a whole CPU for the lowest latency.
 */
export type LoopMode = "adaptive" | "event" | "poll";

/** Where a loop takes its time from; `"virtual"` stands still until `advance`, for tests. */
export type ClockName = "monotonic" | "virtual";

/** Options of `new Loop`. */
export interface LoopOptions {
  /** Default `"auto"`: the first that works of `io_uring`, `epoll` or `kqueue`, and `select`. */
  backend?: "auto" | BackendName;
  /**
   * For `epoll` and `kqueue`. Default `"edge"`, which costs fewer system calls. `select` only has
   * `"level"`, `io_uring` neither: a trigger for it is an error, except that with `"auto"` it is
   * ignored where io_uring works.
   */
  trigger?: TriggerName;
  /** Default `"adaptive"`. */
  mode?: LoopMode;
  /** Default `"monotonic"`. */
  clock?: ClockName;
  /** 1 to 1,048,576. Default 65,536. */
  maxConnections?: number;
  /** 1 to 4,096. Default 64. */
  maxListeners?: number;
  /** Descriptors that `watch` watches: 1 to 65,536. Default 1,024. */
  maxWatches?: number;
  /** Datagram sockets: 1 to 65,536. Default 1,024. */
  maxSockets?: number;
  /** 1 to 1,048,576. Default 65,536. */
  maxTimers?: number;
  /** Submissions and completions per turn, a power of two from 64 to 65,536. Default 4,096. */
  entries?: number;
  /**
   * Longest time to poll before sleeping in adaptive mode, in microseconds: 1 to 1,000,000.
   * Default 50.
   */
  spinCeilingUs?: number;
  /** The memory for the loop's buffers. */
  pool?: PoolOptions;
  /**
   * What io_uring is to do beyond its default. With it `"auto"` takes no other backend, unless
   * `bestEffort` is set, and any other backend is an error.
   */
  ioUring?: IoUringOptions;
  /**
   * Gives every delivery a lease object of its own, so that use of a lease after its handler is
   * always found, and remembers where leases were taken. Default false: objects of leases that were
   * only borrowed are reused.
   */
  debug?: boolean;
  /**
   * Called by `close()` when the program still holds leases. Without it a loop with `debug` warns
   * with `process.emitWarning`; `stats().leases` tells their number in any case.
   */
  onLeak?: (report: LeakReport) => void;
}

/** What an open loop works with. */
export interface Capabilities {
  /** The backend that was chosen. */
  readonly backend: BackendName;
  /** When it tells of a descriptor that stays ready; null for `io_uring`. */
  readonly trigger: TriggerName | null;
  /** When the loop sleeps and when it polls. */
  readonly mode: LoopMode;
  /** Where its time comes from. */
  readonly clock: ClockName;
  /** Rung of the backend's set-up ladder; 0 has every feature of a current kernel. */
  readonly rung: number;
  /** Set-up flags that the kernel granted (io_uring), such as `DEFER_TASKRUN`. */
  readonly setupFlags: readonly string[];
  /** Features of io_uring that the loop works with, those asked for and those by default. */
  readonly features: readonly IoUringFeature[];
  /** Bytes of a buffer. */
  readonly bufferSize: number;
  /** Buffers for receiving. */
  readonly receiveBuffers: number;
  /** Most memory for the loop's buffers, in bytes. */
  readonly maxBytes: number;
  /** Bytes of a slab, and the most that one buffer can have. */
  readonly slabBytes: number;
  /** Most connections at a time. */
  readonly maxConnections: number;
  /** Most listeners at a time. */
  readonly maxListeners: number;
  /** Most watched descriptors at a time. */
  readonly maxWatches: number;
  /** Most datagram sockets at a time. */
  readonly maxSockets: number;
  /** Most running timers. */
  readonly maxTimers: number;
  /** Submissions and completions per turn. */
  readonly entries: number;
}

/** Options by the index of their field in the native struct. */
const namesByField: Readonly<Record<number, string>> = {
  [Layout.backend]: "backend",
  [Layout.mode]: "mode",
  [Layout.clock]: "clock",
  [Layout.max_connections]: "maxConnections",
  [Layout.max_listeners]: "maxListeners",
  [Layout.max_watches]: "maxWatches",
  [Layout.max_sockets]: "maxSockets",
  [Layout.trigger]: "trigger",
  [Layout.max_timers]: "maxTimers",
  [Layout.entries]: "entries",
  ...poolNamesByField,
  ...ringNamesByField,
  [Layout.spin_ceiling_us]: "spinCeilingUs",
};

/** Flags of `io_uring_setup`, by bit. */
const setupFlagNames: Readonly<Record<number, string>> = {
  0: "IOPOLL",
  1: "SQPOLL",
  2: "SQ_AFF",
  3: "CQSIZE",
  4: "CLAMP",
  5: "ATTACH_WQ",
  6: "R_DISABLED",
  7: "SUBMIT_ALL",
  8: "COOP_TASKRUN",
  9: "TASKRUN_FLAG",
  10: "SQE128",
  11: "CQE32",
  12: "SINGLE_ISSUER",
  13: "DEFER_TASKRUN",
  14: "NO_MMAP",
  15: "REGISTERED_FD_ONLY",
  16: "NO_SQARRAY",
  17: "HYBRID_IOPOLL",
  18: "CQE_MIXED",
  19: "SQE_MIXED",
};

const triggerNames: Readonly<Record<number, TriggerName>> = {
  [Trigger.edge]: "edge",
  [Trigger.level]: "level",
};

/** A loop that native code has opened: its handle, and the options as granted. */
export interface OpenedLoop {
  readonly handle: number;
  /** The native `LoopOptions`. */
  readonly granted: Uint32Array;
  readonly debug: boolean;
  readonly onLeak: ((report: LeakReport) => void) | undefined;
}

/** Checks the options and opens a loop. */
export function openLoop(functions: Functions, options: LoopOptions): OpenedLoop {
  if (typeof options !== "object" || options === null) {
    throw new IoError("INVALID_ARGUMENT", "the options of a loop must be an object");
  }
  const granted = encode(options);
  const debug = options.debug === undefined ? false : booleanOption("debug", options.debug);
  const { onLeak } = options;
  if (onLeak !== undefined && typeof onLeak !== "function") {
    throw invalidOption("onLeak", onLeak, "a function");
  }
  const handle = functions.tp_loop_open(new Uint8Array(granted.buffer), granted.byteLength);
  if (handle < 0) throw openError(handle, granted, options);
  return { handle, granted, debug, onLeak };
}

/** What `granted` says, for people. */
export function describeLoop(granted: Uint32Array): Capabilities {
  return {
    backend: nameOf(BackendKind, granted[Layout.backend]) as BackendName,
    trigger: triggerNames[granted[Layout.trigger]] ?? null,
    mode: nameOf(Mode, granted[Layout.mode]),
    clock: nameOf(ClockKind, granted[Layout.clock]),
    rung: granted[Layout.rung],
    setupFlags: flagNames(granted[Layout.granted_flags]),
    features: ringFeatures(granted[Layout.granted_features]),
    bufferSize: granted[Layout.buffer_size],
    receiveBuffers: granted[Layout.receive_buffers],
    maxBytes: granted[Layout.max_kib] * 1024,
    slabBytes: granted[Layout.slab_kib] * 1024,
    maxConnections: granted[Layout.max_connections],
    maxListeners: granted[Layout.max_listeners],
    maxWatches: granted[Layout.max_watches],
    maxSockets: granted[Layout.max_sockets],
    maxTimers: granted[Layout.max_timers],
    entries: granted[Layout.entries],
  };
}

/** The names of set-up flags of io_uring. */
export function flagNames(flags: number): readonly string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if ((flags >>> bit & 1) === 1) names.push(setupFlagNames[bit] ?? `BIT_${bit}`);
  }
  return names;
}

/** Why a backend cannot run, as the end of a sentence, and what to do. */
export function explainReason(reason: number): readonly [why: string, advice: string] {
  switch (reason) {
    case Reason.not_implemented:
      return ["the kernel does not have it", "Run a kernel with io_uring, or use epoll."];
    case Reason.disabled_by_sysctl:
      return [
        "kernel.io_uring_disabled forbids it",
        "Set the sysctl kernel.io_uring_disabled to 0, or use epoll.",
      ];
    case Reason.not_permitted:
      return [
        "a seccomp filter or security module refuses it",
        "Allow the io_uring system calls in the container's profile, or use epoll.",
      ];
    case Reason.kernel_too_old:
      return ["it needs Linux 6.0 or newer", "Run a newer kernel, or use epoll."];
    case Reason.other_system:
      return ["this operating system does not have it", 'Use backend: "auto".'];
    case Reason.no_library:
      return [
        "TWINPOLL_KQUEUE names no library that offers kqueue and kevent",
        "Set it to the path of one, or use epoll.",
      ];
    case Reason.no_edges:
      return ["it cannot tell of changes only", 'Leave trigger out, or set it to "level".'];
    case Reason.out_of_resources:
      return [
        "a limit on locked memory, descriptors or memory is reached",
        "Raise `ulimit -l` and `ulimit -n`, or ask for fewer entries and buffers.",
      ];
    default:
      return ["it failed to start", 'Use backend: "auto".'];
  }
}

function encode(options: LoopOptions): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  const { backend = "auto", mode = "adaptive", clock = "monotonic", pool = {} } = options;
  words[Layout.backend] = choiceOption("backend", backend, BackendKind);
  words[Layout.mode] = choiceOption("mode", mode, Mode);
  words[Layout.clock] = choiceOption("clock", clock, ClockKind);
  if (options.trigger !== undefined) words[Layout.trigger] = triggerOf(options);
  encodePool(words, pool);
  if (options.ioUring !== undefined) encodeRing(words, options.ioUring, backend);
  const integers = [
    [Layout.max_connections, options.maxConnections, 1, 1_048_576],
    [Layout.max_listeners, options.maxListeners, 1, 4_096],
    [Layout.max_watches, options.maxWatches, 1, 65_536],
    [Layout.max_sockets, options.maxSockets, 1, 65_536],
    [Layout.max_timers, options.maxTimers, 1, 1_048_576],
    [Layout.spin_ceiling_us, options.spinCeilingUs, 1, 1_000_000],
  ] as const;
  for (const [field, value, minimum, maximum] of integers) {
    if (value !== undefined) {
      words[field] = integerOption(namesByField[field], value, minimum, maximum);
    }
  }
  if (options.entries !== undefined) {
    words[Layout.entries] = powerOfTwoOption("entries", options.entries, 64, 65_536);
  }
  return words;
}

function triggerOf({ backend, trigger }: LoopOptions): number {
  if (backend === "io_uring") {
    throw new IoError("INVALID_OPTION", "option trigger is for epoll and kqueue", {
      advice: "Leave trigger out: io_uring tells of completions instead of readiness.",
    });
  }
  return choiceOption("trigger", trigger, { edge: Trigger.edge, level: Trigger.level });
}

function openError(status: number, granted: Uint32Array, options: LoopOptions): IoError {
  const errno = granted[Layout.error_errno];
  const syscall = granted[Layout.error_syscall];
  if (status === Status.backend_unavailable) {
    const [why, advice] = explainReason(granted[Layout.error_reason]);
    const details: IoErrorOptions = { advice, syscall: syscallName(syscall) };
    if (errno !== 0) details.errno = errno;
    const message = `backend ${options.backend ?? "auto"} is not available: ${why}`;
    return new IoError("BACKEND_UNAVAILABLE", message, details);
  }
  if (status === Status.bad_argument) {
    const name = namesByField[granted[Layout.error_detail]] ?? "of the loop";
    return new IoError("INVALID_OPTION", `option ${name} is out of its range`);
  }
  if (status === Status.not_granted) {
    const field = granted[Layout.error_detail];
    return ringNotGranted(field, errno) ?? notGranted(field, errno);
  }
  return errorOfStatus(status, "open a loop", syscall, errno === 0 ? {} : { errno });
}

function nameOf<Names extends Readonly<Record<string, number>>>(
  names: Names,
  value: number,
): keyof Names & string {
  for (const name of Object.keys(names)) {
    if (names[name] === value) return name;
  }
  return String(value);
}
