/**
 * Descriptors of the application that a loop watches for readiness.
 *
 * @module
 */

import { errorOfStatus, IoError, type IoErrorOptions } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import {
  Header,
  ready_error,
  ready_hangup,
  ready_readable,
  ready_writable,
  Syscall,
  watch_edge,
} from "./native/abi.ts";
import { booleanOption, checkOptions } from "./options.ts";

/** What a watched descriptor is ready for, as bits of a number. */
export const Ready: {
  /** A read returns at once. */
  readonly readable: 1;
  /** A write returns at once. */
  readonly writable: 2;
  /** An error is pending: the next read or write reports it. */
  readonly error: 4;
  /** The other side is gone. */
  readonly hangup: 8;
} = {
  readable: ready_readable,
  writable: ready_writable,
  error: ready_error,
  hangup: ready_hangup,
};

/** Error numbers that native code answers with, negated: EPERM and ENOENT. */
const alwaysReady = -1;
const noSuchWatch = -2;
const watchAgain = "Watch the descriptor again; this watch was removed.";

/** What to watch a descriptor for. Errors and hang-ups are told of in any case. */
export interface WatchOptions {
  /** Tell when it can be read. Default true unless `writable` is given. */
  readable?: boolean;
  /** Tell when it can be written. Default false. */
  writable?: boolean;
  /**
   * Tell of changes only, once each: read or write until EAGAIN then. Default false: tell in each
   * turn as long as it is ready. Not with `select`.
   */
  edge?: boolean;
}

/**
 * Called in each turn that finds the descriptor ready, with the bits of {@linkcode Ready}. If it
 * can be watched no longer, the last call has `Ready.error`, and `watch.error` tells why.
 */
export type WatchHandler = (watch: Watch, ready: number) => void;

/** A descriptor that is watched. It stays the application's: it is neither read nor closed here. */
export interface Watch extends Disposable {
  /** The descriptor. */
  readonly fd: number;
  /** False once it was removed. */
  readonly active: boolean;
  /** Why it is not watched any more although nobody removed it, or null. */
  readonly error: IoError | null;
  /**
   * Watches for something else from the next turn on.
   *
   * @throws {IoError} `ENOENT` once it is not active, `EBADF` when the descriptor was closed, which
   *   ends the watch, `INVALID_ARGUMENT`, `INVALID_OPTION`, `UNSUPPORTED` (edges) with `select`,
   *   `LOOP_CLOSED`.
   */
  modify(options: WatchOptions): void;
  /**
   * Ends the watch: its handler is not called any more, and the descriptor may be closed. Always
   * remove a watch before its descriptor is closed: `io_uring` and `select` end it with `EBADF`
   * otherwise, `epoll` and `kqueue` cannot notice. Does nothing when it has ended with an `error`.
   *
   * @throws {IoError} `ENOENT` when it was removed before, `LOOP_CLOSED`.
   */
  remove(): void;
  /** Keeps `run()` going and the process alive, which is how it starts. */
  ref(): void;
  /** Lets `run()` and the process end although the descriptor is watched. */
  unref(): void;
  /** Removes it, if that was not done. */
  [Symbol.dispose](): void;
}

/** Starts to watch a descriptor on a loop. */
export function watch(
  loop: LoopState,
  fd: number,
  options: WatchOptions,
  handler: WatchHandler,
): Watch {
  loop.checkOpen("watch");
  if (typeof handler !== "function") {
    throw new IoError("INVALID_ARGUMENT", "the handler of a watch must be a function");
  }
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fff_ffff) {
    throw new IoError("EBADF", `watch ${String(fd)}: no such descriptor (EBADF)`);
  }
  const slot = loop.functions.tp_watch(loop.handle, fd, interestOf(options));
  if (slot < 0) throw watchError(loop, slot, `watch descriptor ${fd}`);
  const made = new WatchHandle(loop, slot, loop.words[Header.result_generation], fd, handler);
  loop.addWatch(made);
  loop.wakeSoon();
  return made;
}

/** The class behind every {@linkcode Watch}. */
export class WatchHandle implements Watch {
  readonly loop: LoopState;
  readonly slot: number;
  readonly generation: number;
  readonly fd: number;
  readonly handler: WatchHandler;
  active = true;
  error: IoError | null = null;
  isRef = true;

  constructor(
    loop: LoopState,
    slot: number,
    generation: number,
    fd: number,
    handler: WatchHandler,
  ) {
    this.loop = loop;
    this.slot = slot;
    this.generation = generation;
    this.fd = fd;
    this.handler = handler;
  }

  modify(options: WatchOptions): void {
    const { loop, slot, generation } = this;
    loop.checkOpen("modify a watch");
    this.#checkActive("modify");
    const interest = interestOf(options);
    const rc = loop.functions.tp_watch_modify(loop.handle, slot, generation, interest);
    loop.wakeSoon();
    if (rc >= 0) return;
    const error = watchError(loop, rc, `modify the watch of descriptor ${this.fd}`);
    if (error.code === "EBADF") this.ended(error);
    throw error;
  }

  remove(): void {
    const { loop, slot, generation } = this;
    loop.checkOpen("remove a watch");
    if (this.error !== null) return;
    this.#checkActive("remove");
    this.ended(null);
    const rc = loop.functions.tp_watch_remove(loop.handle, slot, generation);
    // Its end may be among the completions that are not dispatched yet.
    if (rc === noSuchWatch) return;
    if (rc < 0) throw watchError(loop, rc, `remove the watch of descriptor ${this.fd}`);
    loop.wakeSoon();
  }

  ref(): void {
    if (this.isRef || !this.active) return;
    this.isRef = true;
    this.loop.addRef();
  }

  unref(): void {
    if (!this.isRef || !this.active) return;
    this.isRef = false;
    this.loop.dropRef();
  }

  [Symbol.dispose](): void {
    if (this.active && !this.loop.isClosed) this.remove();
  }

  /** The last thing that happens to a watch. */
  ended(error: IoError | null): void {
    this.unref();
    this.active = false;
    this.error = error;
    if (this.loop.watches[this.slot] === this) this.loop.watches[this.slot] = null;
  }

  #checkActive(attempt: string): void {
    if (this.active) return;
    throw new IoError(
      "ENOENT",
      `${attempt} the watch of descriptor ${this.fd}: there is no such watch (ENOENT)`,
      this.error === null ? { advice: watchAgain } : { advice: watchAgain, cause: this.error },
    );
  }
}

/** The error with which a descriptor can be watched no longer. */
export function watchEnd(handle: WatchHandle, status: number): IoError {
  return errorOfStatus(status, `watch descriptor ${handle.fd}`);
}

function interestOf(options: WatchOptions): number {
  checkOptions(options);
  const writable = flag("writable", options.writable, false);
  const readable = flag("readable", options.readable, !writable);
  const edge = flag("edge", options.edge, false);
  if (!readable && !writable) {
    throw new IoError("INVALID_OPTION", "a watch needs readable, writable or both");
  }
  return (readable ? ready_readable : 0) | (writable ? ready_writable : 0) |
    (edge ? watch_edge : 0);
}

function flag(name: string, value: boolean | undefined, byDefault: boolean): boolean {
  return value === undefined ? byDefault : booleanOption(name, value);
}

function watchError(loop: LoopState, status: number, attempt: string): IoError {
  if (status === noSuchWatch) {
    return new IoError("ENOENT", `${attempt}: there is no such watch (ENOENT)`, {
      errno: -status,
      advice: watchAgain,
    });
  }
  const details: IoErrorOptions = {};
  if (status === alwaysReady) {
    details.advice = "A regular file is always ready: read and write it without waiting.";
  }
  return errorOfStatus(status, attempt, loop.words[Header.error_syscall] || Syscall.none, details);
}
