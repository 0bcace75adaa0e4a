/**
 * What this machine offers, without opening a loop.
 *
 * @module
 */

import { errnoName } from "./error_numbers.ts";
import { errorOfStatus, syscallName } from "./io_error.ts";
import { explainReason, flagNames } from "./loop_options.ts";
import { abi_version, BackendReport, MachineReport } from "./native/abi.ts";
import { loadLibrary } from "./native/library.ts";
import { type IoUringFeature, ringFeatures } from "./ring_options.ts";

/** What a backend offers on this machine. */
export interface BackendAvailability {
  /** Whether a loop can be opened with it. */
  readonly available: boolean;
  /** Why not, when it is not available. */
  readonly reason?: string;
  /** What to do about it, when it is not available. */
  readonly advice?: string;
  /** The system's name of the error behind the reason, if there was one. */
  readonly error?: string;
  /** The system call that failed, if one did. */
  readonly syscall?: string;
  /** Rung of the set-up ladder; 0 has every feature of a current kernel. */
  readonly rung: number;
  /** Set-up flags that the kernel granted (io_uring), such as `DEFER_TASKRUN`. */
  readonly setupFlags: readonly string[];
  /** The kernel's feature bits (io_uring). */
  readonly featureBits: number;
  /** Features that a loop may be granted (io_uring). */
  readonly features: readonly IoUringFeature[];
}

/** What this machine offers. */
export interface Machine {
  /** Which runtime loaded the library. */
  readonly runtime: string;
  /** Where the native library was found. */
  readonly library: string;
  /** Version of the interface between bindings and library. */
  readonly abiVersion: number;
  /** The kernel's version, such as `6.12.1`. */
  readonly kernel: string;
  /** Bytes of a memory page. */
  readonly pageBytes: number;
  /** CPUs of the machine. */
  readonly cpusOnline: number;
  /** CPUs that this thread may run on. */
  readonly cpusAllowed: number;
  /** Limit on locked memory in bytes; `Infinity` for none. */
  readonly memoryLockLimit: number;
  /** Huge pages that the administrator has reserved, and those of them that are free. */
  readonly hugePages: Readonly<Record<"2MiB" | "1GiB", { total: number; free: number }>>;
  /** Whether the kernel joins small pages to huge ones: everywhere, where asked, or never. */
  readonly transparentHugePages: "unknown" | "always" | "madvise" | "never";
  /** NUMA nodes online. */
  readonly numaNodes: number;
  /** Limit on open descriptors; `Infinity` for none. */
  readonly descriptorLimit: number;
  /** The sysctl `kernel.io_uring_disabled`: 0, 1 or 2, or null when it cannot be read. */
  readonly ioUringDisabled: number | null;
  /** Whether the library can start the thread that wakes a sleeping host. */
  readonly threads: boolean;
  /** Per backend. */
  readonly backends: {
    /** Completion-based, Linux 6.0 or newer. */
    readonly io_uring: BackendAvailability;
    /** Readiness-based, any Linux. */
    readonly epoll: BackendAvailability;
    /** Readiness-based, macOS and the BSDs. */
    readonly kqueue: BackendAvailability;
    /** Readiness-based, everywhere, with descriptors below 1,024. */
    readonly select: BackendAvailability;
  };
}

const sysctlUnreadable = 3;

/**
 * Looks at what this machine offers.
 *
 * @example
 * ```ts
 * import { probe } from "@twinpoll/twinpoll";
 *
 * const machine = probe();
 * const { io_uring } = machine.backends;
 * console.log(io_uring.available ? "io_uring works" : io_uring.reason);
 * ```
 *
 * @throws {IoError} `LIBRARY_NOT_FOUND`, `ABI_MISMATCH`, `PERMISSION_DENIED`,
 *   `UNSUPPORTED_RUNTIME`.
 */
export function probe(): Machine {
  const { functions, adapter, path } = loadLibrary();
  const words = new Uint32Array(MachineReport.byte_length / 4);
  const doubles = new Float64Array(words.buffer);
  words[MachineReport.size] = MachineReport.byte_length;
  const status = functions.tp_probe(new Uint8Array(words.buffer), words.byteLength);
  if (status < 0) throw errorOfStatus(status, "probe");
  const kernel = [
    words[MachineReport.kernel_major],
    words[MachineReport.kernel_minor],
    words[MachineReport.kernel_patch],
  ];
  const disabled = words[MachineReport.io_uring_disabled];
  return {
    runtime: adapter.runtime,
    library: path,
    abiVersion: abi_version,
    kernel: kernel.join("."),
    pageBytes: words[MachineReport.page_bytes],
    cpusOnline: words[MachineReport.cpus_online],
    cpusAllowed: words[MachineReport.cpus_allowed],
    memoryLockLimit: limit(doubles[MachineReport.memory_lock_limit]),
    hugePages: {
      "2MiB": {
        total: words[MachineReport.huge_2m_total],
        free: words[MachineReport.huge_2m_free],
      },
      "1GiB": {
        total: words[MachineReport.huge_1g_total],
        free: words[MachineReport.huge_1g_free],
      },
    },
    transparentHugePages: transparentNames[words[MachineReport.transparent]] ?? "unknown",
    numaNodes: words[MachineReport.numa_nodes],
    descriptorLimit: limit(doubles[MachineReport.descriptor_limit]),
    ioUringDisabled: disabled === sysctlUnreadable ? null : disabled,
    threads: words[MachineReport.threads] !== 0,
    backends: {
      io_uring: readBackend(words, MachineReport.io_uring),
      epoll: readBackend(words, MachineReport.epoll),
      kqueue: readBackend(words, MachineReport.kqueue),
      select: readBackend(words, MachineReport.select),
    },
  };
}

function readBackend(words: Uint32Array, at: number): BackendAvailability {
  const common = {
    rung: words[at + BackendReport.rung],
    setupFlags: flagNames(words[at + BackendReport.flags]),
    featureBits: words[at + BackendReport.features],
    features: ringFeatures(words[at + BackendReport.granted]),
  };
  if (words[at + BackendReport.available] !== 0) return { available: true, ...common };
  const [reason, advice] = explainReason(words[at + BackendReport.reason]);
  const errno = words[at + BackendReport.error_errno];
  const syscall = syscallName(words[at + BackendReport.syscall]);
  return {
    available: false,
    reason,
    advice,
    ...(errno === 0 ? {} : { error: errnoName(errno) }),
    ...(syscall === undefined ? {} : { syscall }),
    ...common,
  };
}

const transparentNames = ["unknown", "always", "madvise", "never"] as const;

function limit(value: number): number {
  return value < 0 ? Infinity : value;
}
