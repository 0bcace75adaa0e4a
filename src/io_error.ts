/**
 * The one error type of the library, and the way from a native status to it.
 *
 * Misuse throws an `IoError`, the end of a connection carries one, backpressure is never one. Each
 * has a `code` to test, and one sentence of `advice` that says what to do about it.
 *
 * @module
 */

import { errnoName } from "./error_numbers.ts";
import { Status, Syscall } from "./native/abi.ts";

/** Codes that are the library's own. */
export type LibraryErrorCode =
  | "ABI_MISMATCH"
  | "ABORTED"
  | "BACKEND_UNAVAILABLE"
  | "BUSY"
  | "CONNECT_TIMEOUT"
  | "DESCRIPTOR_LIMIT"
  | "EXHAUSTED"
  | "FORKED"
  | "IDLE_TIMEOUT"
  | "INVALID_ARGUMENT"
  | "INVALID_ENDPOINT"
  | "INVALID_MESSAGE"
  | "INVALID_NAME"
  | "INVALID_OPTION"
  | "LIBRARY_NOT_FOUND"
  | "LOOP_CLOSED"
  | "MESSAGE_TOO_LARGE"
  | "NAME_NOT_FOUND"
  | "NOT_GRANTED"
  | "NO_THREADS"
  | "PERMISSION_DENIED"
  | "RESOLVE_FAILED"
  | "RESOLVE_TIMEOUT"
  | "SHUT_DOWN"
  | "STALE_HANDLE"
  | "STALE_LEASE"
  | "TRUNCATED_MESSAGE"
  | "UNKNOWN_SCHEME"
  | "UNSUPPORTED"
  | "UNSUPPORTED_RUNTIME"
  | "WRONG_LOOP"
  | "WRONG_THREAD";

/** A code of the library, or the system's name of an error number, such as `ECONNREFUSED`. */
export type IoErrorCode = LibraryErrorCode | `E${string}`;

/** What an {@linkcode IoError} may carry beside its code and message. */
export interface IoErrorOptions {
  /** The system's error number, positive, as Linux numbers it. */
  errno?: number;
  /** The system call that failed. */
  syscall?: string;
  /** One sentence that says what to do; by default the one that belongs to the code. */
  advice?: string;
  /** What led to this error. */
  cause?: unknown;
}

/**
 * What went wrong, as a code to test and a sentence of advice.
 *
 * @example Test the code, not the message
 * ```ts
 * import { IoError, Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * try {
 *   loop.listen("tcp://localhost", {});
 * } catch (error) {
 *   if (!(error instanceof IoError)) throw error;
 *   console.log(error.code, error.advice); // INVALID_ENDPOINT …
 * }
 * loop.close();
 * ```
 */
export class IoError extends Error {
  /** Always `"IoError"`. */
  override readonly name: string = "IoError";
  /** What to test for. */
  readonly code: IoErrorCode;
  /** The system's error number, positive, as Linux numbers it, when a system call failed. */
  declare readonly errno?: number;
  /** The system call that failed, when one did. */
  declare readonly syscall?: string;
  /** One sentence that says what to do. */
  readonly advice: string;

  /**
   * An error of this library, or of a program that builds on it.
   *
   * @param code What to test for.
   * @param message What was attempted and what happened.
   * @param options Where it comes from and what to do.
   */
  constructor(code: IoErrorCode, message: string, options: IoErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options.errno !== undefined) this.errno = options.errno;
    if (options.syscall !== undefined) this.syscall = options.syscall;
    this.advice = options.advice ?? explanations[code]?.[1] ?? unknownAdvice;
  }
}

const unknownAdvice = "Look up the code in the manual page of the system call.";

/** Per code: what happened, and what to do. */
const explanations: Readonly<Record<string, readonly [meaning: string, advice: string]>> = {
  ABI_MISMATCH: [
    "library and bindings do not belong together",
    "Install library and package of the same version, or build the library again.",
  ],
  ABORTED: [
    "aborted by this side",
    "Nothing to do: this side asked for the end with abort(), or its handler threw.",
  ],
  BACKEND_UNAVAILABLE: [
    "the backend cannot run here",
    'Use backend: "auto", or see `twinpoll info` for what this machine offers.',
  ],
  BUSY: [
    "the loop is driven already",
    "Drive a loop from one place: run(), attach() or turn(), and never from inside a handler.",
  ],
  CONNECT_TIMEOUT: [
    "the peer did not answer in time",
    "Check address and firewall, or raise timeoutMs.",
  ],
  DESCRIPTOR_LIMIT: [
    "select works with descriptors below 1,024 only, and a watch with those below 1,048,576",
    "Close descriptors, or use another backend than select.",
  ],
  EXHAUSTED: [
    "all slots are in use",
    "Close what is no longer used, or raise the limit in the loop's options.",
  ],
  FORKED: [
    "the loop stayed with the process that was forked",
    "Open a loop of its own in the child; the parent's goes on there.",
  ],
  IDLE_TIMEOUT: [
    "no byte moved within the idle time limit",
    "Raise idleTimeoutMs, or have the peers send something from time to time.",
  ],
  INVALID_ARGUMENT: ["an argument is out of its range", "Check the argument's documentation."],
  INVALID_NAME: [
    "that is no host name",
    "Use labels of at most 63 letters, digits and hyphens, with dots, 253 in all; write names of " +
    "other letters as xn--… (URL does).",
  ],
  INVALID_OPTION: ["an option is out of its range", "Check the option's documentation."],
  LOOP_CLOSED: ["the loop was closed", "Open a new loop; handles of a closed one stay stale."],
  INVALID_MESSAGE: [
    "what arrived is no message",
    "Check that both ends agree on the segmenter, and when they change it.",
  ],
  MESSAGE_TOO_LARGE: [
    "the message is larger than its limit",
    "Send it in parts, or raise pool.maxBytes; for one that arrives the segmenter's maxLength.",
  ],
  NAME_NOT_FOUND: [
    "there is no such name, or it has no address",
    "Check the spelling and the family that was asked for, or add the name to the hosts file.",
  ],
  NOT_GRANTED: [
    "this machine does not grant what was asked for",
    "Set pool.strict to false, or see `twinpoll info` for what this machine grants.",
  ],
  NO_THREADS: [
    "no thread can be started here",
    "Use run(), which needs none, or raise the process's thread limit.",
  ],
  RESOLVE_FAILED: [
    "the name servers could not be asked, or would not tell",
    "Check the name servers in resolv.conf and the way to them, and try again later.",
  ],
  RESOLVE_TIMEOUT: [
    "the name servers did not answer in time",
    "Check the name servers in resolv.conf and the way to them, or raise the time limit.",
  ],
  SHUT_DOWN: [
    "this side is shutting down",
    "Nothing to do; pass onDraining to finish what is under way before the end.",
  ],
  STALE_HANDLE: [
    "the handle names nothing any more",
    "Check `state` before use, and drop the handle once its close handler ran.",
  ],
  STALE_LEASE: [
    "the lease was released, moved or outlived its handler",
    "Call retain() inside the handler to keep a lease, and release or send it once.",
  ],
  TRUNCATED_MESSAGE: [
    "the peer ended its direction inside of a message",
    "Nothing to do here: the peer must send whole messages before it ends.",
  ],
  UNSUPPORTED: [
    "the backend cannot do that",
    "Use another backend, or see its line in the table of platforms.",
  ],
  WRONG_LOOP: [
    "the lease belongs to another loop",
    "Transfer it to the connection's loop, send copy() of it, or allocate there.",
  ],
  WRONG_THREAD: [
    "the loop belongs to another thread",
    "Use a loop only on the thread that opened it.",
  ],
  EBADF: ["no such descriptor", "Watch a descriptor while it is open, and remove it before."],
  EDESTADDRREQ: ["no receiver was given", "Say where the datagram goes."],
  EEXIST: ["the loop watches the descriptor already", "Modify that watch, or remove it first."],
  ENOENT: ["there is no such file", "Check the path; its folder must be there."],
  ENOTDIR: ["a part of the path is no folder", "Check the path."],
  EACCES: ["permission denied", "Use a port above 1023, or grant CAP_NET_BIND_SERVICE."],
  EADDRINUSE: [
    "address already in use",
    "Choose another address (port 0 for a free one), or end what listens there.",
  ],
  EADDRNOTAVAIL: [
    "no interface has this address",
    "Use an address of this machine, or 0.0.0.0 for all of them.",
  ],
  EAFNOSUPPORT: [
    "the address family is not available",
    "Use an IPv4 address, or enable IPv6 on this machine.",
  ],
  ECONNABORTED: ["connection aborted", "Connect again."],
  ECONNREFUSED: ["connection refused", "Start the server, or check its address."],
  ECONNRESET: ["connection reset by the peer", "Connect again; the peer dropped this connection."],
  EFAULT: ["no memory is mapped there", "Check address and length of the memory."],
  EHOSTUNREACH: ["no route to the host", "Check the address and the routing table."],
  EINVAL: ["invalid argument", "Check the address and the options."],
  EMFILE: ["too many open descriptors", "Close connections, or raise `ulimit -n`."],
  ENETDOWN: ["the network is down", "Bring the interface up."],
  ENETUNREACH: ["the network is unreachable", "Check the address and the routing table."],
  ENFILE: ["too many open files in the system", "Raise fs.file-max, or close other programs."],
  ENOBUFS: ["no buffer space in the kernel", "Try again later, or raise net.core limits."],
  ENODEV: ["no such interface", "Check the scope after `%` in the address."],
  ENOMEM: ["out of memory", "Ask for fewer or smaller buffers, or raise the memory limit."],
  ENOTCONN: ["it is not connected", "Wait for its open handler, or connect it first."],
  ENOTSOCK: ["it is no socket", "Pass a socket; loop.watch tells when anything else is ready."],
  EPERM: ["operation not permitted", "Check security modules, seccomp filters and the firewall."],
  EMSGSIZE: [
    "the datagram is too long for its way",
    "Send shorter ones: what the path takes, or below sendBufferBytes on a Unix socket.",
  ],
  EPROTOTYPE: [
    "it is a socket of another type",
    "Use unix: for streams, unix+datagram: for datagrams.",
  ],
  EPIPE: ["our direction was ended", "Send before shutdown() or close()."],
  ETIMEDOUT: ["the connection timed out", "Connect again; the peer stopped answering."],
};

const codesOfStatus = new Map<number, LibraryErrorCode>([
  [Status.stale_handle, "STALE_HANDLE"],
  [Status.wrong_thread, "WRONG_THREAD"],
  [Status.bad_argument, "INVALID_ARGUMENT"],
  [Status.exhausted, "EXHAUSTED"],
  [Status.backend_unavailable, "BACKEND_UNAVAILABLE"],
  [Status.bad_layout, "ABI_MISMATCH"],
  [Status.no_threads, "NO_THREADS"],
  [Status.aborted, "ABORTED"],
  [Status.loop_closed, "LOOP_CLOSED"],
  [Status.connect_timeout, "CONNECT_TIMEOUT"],
  [Status.forked, "FORKED"],
  [Status.busy, "BUSY"],
  [Status.not_granted, "NOT_GRANTED"],
  [Status.descriptor_limit, "DESCRIPTOR_LIMIT"],
  [Status.unsupported, "UNSUPPORTED"],
  [Status.name_not_found, "NAME_NOT_FOUND"],
  [Status.resolve_failed, "RESOLVE_FAILED"],
  [Status.resolve_timeout, "RESOLVE_TIMEOUT"],
  [Status.idle_timeout, "IDLE_TIMEOUT"],
  [Status.message_too_large, "MESSAGE_TOO_LARGE"],
  [Status.invalid_message, "INVALID_MESSAGE"],
  [Status.truncated_message, "TRUNCATED_MESSAGE"],
]);

/** Errno values above this are statuses of the library. */
const errnoLimit = 4096;

/**
 * The error of a negative native result.
 *
 * @param status Negative: a `Status`, or a negated errno.
 * @param attempt What was attempted, such as `listen tcp://127.0.0.1:7000`.
 * @param syscall `Syscall` behind it, 0 for none.
 */
export function errorOfStatus(
  status: number,
  attempt: string,
  syscall = 0,
  options: IoErrorOptions = {},
): IoError {
  const own = codesOfStatus.get(status);
  if (own !== undefined) return new IoError(own, `${attempt}: ${meaningOf(own)}`, options);
  if (status >= 0 || status <= -errnoLimit) {
    return new IoError("INVALID_ARGUMENT", `${attempt}: unknown status ${status}`, options);
  }
  const code = errnoName(-status);
  const meaning = explanations[code]?.[0];
  const text = meaning === undefined ? code : `${meaning} (${code})`;
  return new IoError(code, `${attempt}: ${text}`, {
    errno: -status,
    syscall: syscallName(syscall),
    ...options,
  });
}

/** What a code of the library means, as the end of a sentence. */
export function meaningOf(code: LibraryErrorCode): string {
  return explanations[code]?.[0] ?? code;
}

/** The system call's name, if `syscall` names one. */
export function syscallName(syscall: number): string | undefined {
  if (syscall === Syscall.none) return undefined;
  for (const [name, value] of Object.entries(Syscall)) {
    if (value === syscall) return name;
  }
  return undefined;
}
