/**
 * The loop: what a program opens, gives work to, and drives.
 *
 * @module
 */

import { attach, detach } from "./attach.ts";
import { errorOfStatus, IoError } from "./io_error.ts";
import type { Lease } from "./lease.ts";
import { LoopOpenings } from "./loop_openings.ts";
import {
  type BackendName,
  type Capabilities,
  describeLoop,
  type LoopMode,
  type LoopOptions,
  openLoop,
} from "./loop_options.ts";
import { LoopState } from "./loop_state.ts";
import { type LoopStats, readStats } from "./loop_stats.ts";
import { Header, wait_forever } from "./native/abi.ts";
import { loadLibrary } from "./native/library.ts";
import { checkOptions } from "./options.ts";
import type { Pool } from "./pool.ts";
import { run, type RunOptions } from "./run.ts";
import { type LoopShutdownOptions, type LoopShutdownResult, shutdown } from "./shutdown.ts";
import { setStateOf } from "./state_of.ts";
import { type Timer, TimerHandle, type TimerOptions } from "./timer.ts";

/** Options of `loop.allocate`. */
export interface AllocateOptions {
  /** The address is a multiple of it: a power of two from 1 to 4,096. Default 1. */
  alignment?: number;
}

const noOptions: AllocateOptions = {};

/**
 * An event loop with its backend, its buffers and everything open on it.
 *
 * It belongs to the thread that opened it. Nothing happens on it but in a turn: drive it with
 * `run()`, `attach()`, or `turn()` by hand.
 *
 * @example An echo server that owns the thread
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * const listener = loop.listen("tcp://127.0.0.1:0", {
 *   data(conn, lease) {
 *     conn.send(lease);
 *   },
 * });
 * loop.connect(listener.address, {
 *   open: (conn) => void conn.send("hello"),
 *   data(conn, lease) {
 *     console.log(new TextDecoder().decode(lease.bytes)); // hello
 *     conn.close();
 *     listener.close();
 *   },
 * });
 * await loop.run(); // ends with the last handle
 * loop.close();
 * ```
 */
export class Loop extends LoopOpenings implements Disposable {
  /** The backend that was chosen. */
  readonly backend: BackendName;
  /** When the loop sleeps and when it polls. */
  readonly mode: LoopMode;
  /** What the loop works with. */
  readonly capabilities: Capabilities;

  readonly #state: LoopState;

  /**
   * Opens a loop. The first one of a thread loads the native library.
   *
   * @param options What is asked for; what is left out has a default.
   * @throws {IoError} `INVALID_ARGUMENT` unless `options` is an object, `INVALID_OPTION`,
   *   `BACKEND_UNAVAILABLE` with the reason, `EXHAUSTED` (256 loops per process),
   *   `NOT_GRANTED` for an option of `ioUring` or with `pool.strict`, or
   *   `LIBRARY_NOT_FOUND`, `ABI_MISMATCH`, `PERMISSION_DENIED`, `UNSUPPORTED_RUNTIME` when the
   *   library cannot be loaded.
   */
  constructor(options: LoopOptions = {}) {
    super();
    const library = loadLibrary();
    const opened = openLoop(library.functions, options);
    try {
      this.#state = new LoopState(library, opened);
    } catch (error) {
      library.functions.tp_loop_close(opened.handle);
      throw error;
    }
    setStateOf(this, this.#state);
    this.capabilities = describeLoop(opened.granted);
    this.backend = this.capabilities.backend;
    this.mode = this.capabilities.mode;
  }

  /** The memory for the loop's buffers. */
  get pool(): Pool {
    return this.#state.pool;
  }

  /** True once `close()` was called. */
  get closed(): boolean {
    return this.#state.isClosed;
  }

  /**
   * A buffer of the pool to fill in place and send: write to `lease.bytes`, set `lease.length`.
   * Buffers are of size classes, 512 bytes and doubling up to 4 MiB, above that whole pages; what a
   * buffer has more than asked for is its `capacity`.
   *
   * @param length Bytes, 1 to `capabilities.slabBytes`; by default those of a receive buffer.
   * @param options How it must lie in memory.
   * @returns An owned lease, which must be sent or released; undefined when no buffer is free.
   * @throws {IoError} `INVALID_ARGUMENT`, `LOOP_CLOSED`.
   */
  allocate(
    length: number = this.capabilities.bufferSize,
    options: AllocateOptions = noOptions,
  ): Lease | undefined {
    this.#state.checkOpen("allocate");
    const { alignment = 1 } = checkOptions(options);
    return this.#state.pool.allocate(length, alignment) ?? undefined;
  }

  /**
   * Starts a timer.
   *
   * @param callback Called with the timer each time it fires.
   * @param options When.
   * @throws {IoError} `INVALID_OPTION`, `EXHAUSTED`, `LOOP_CLOSED`.
   */
  startTimer(callback: (timer: Timer) => void, options: TimerOptions): Timer {
    return new TimerHandle(this.#state, callback, options);
  }

  /**
   * Calls back at the end of this turn, after its completions, or at the end of the next one when
   * called outside a turn or by a deferral.
   *
   * @throws {IoError} `INVALID_ARGUMENT`, `LOOP_CLOSED`.
   */
  defer(callback: () => void): void {
    if (typeof callback !== "function") {
      throw new IoError("INVALID_ARGUMENT", "a deferral must be a function");
    }
    this.#state.checkOpen("defer");
    this.#state.deferrals.add(callback);
    this.#state.wakeSoon();
  }

  /**
   * One turn by hand: takes what was submitted, enters the kernel, calls the handlers.
   *
   * @param waitUs How long to wait for work, in microseconds; `Infinity` for no limit. By default
   *   it does not wait.
   * @returns The number of completions. It may be 0 before the time is over: a signal ends the
   *   wait, and so does what concerns only the loop itself.
   * @throws {IoError} `BUSY` inside a handler, `LOOP_CLOSED`, `WRONG_THREAD`; and what a handler
   *   has thrown.
   */
  turn(waitUs = 0): number {
    const count = this.#state.turn(checkWait(waitUs), waitUs > 0);
    this.#state.throwFailure();
    return count;
  }

  /**
   * Drives the loop until it is stopped, closed or aborted, or nothing ref'd is left. It owns the
   * thread; promises, timers and signals of the host still get their turn, every one to four
   * milliseconds.
   *
   * @param options How to end it.
   * @returns Resolves at the end, also when aborted; rejects with what a handler has thrown. The
   *   loop is whole then, and can be run again.
   * @throws {IoError} `BUSY` when the loop is driven already, `LOOP_CLOSED`.
   */
  run(options: RunOptions = {}): Promise<void> {
    return run(this.#state, options);
  }

  /**
   * Lets the loop live in the host's event loop, beside whatever else the program does. The process
   * stays alive while something ref'd is open. What a handler throws is an uncaught error.
   *
   * @throws {IoError} `BUSY` when the loop is driven already, `NO_THREADS`, `LOOP_CLOSED`.
   */
  attach(): void {
    attach(this.#state);
  }

  /** Ends what `attach()` began; handles stay open. Does nothing when not attached. */
  detach(): void {
    detach(this.#state);
  }

  /** Ends `run()` after this turn; handles stay open. Does nothing when it does not run. */
  stop(): void {
    const { driver } = this.#state;
    if (driver?.isRun) driver.stop();
  }

  /** Lets the loop keep the process alive, which is how it starts. */
  ref(): void {
    this.#state.setRef(true);
  }

  /** Lets the process end although something is open. */
  unref(): void {
    this.#state.setRef(false);
  }

  /** The loop's clock as of the last turn, in microseconds from an arbitrary start. */
  now(): number {
    const { isClosed, lastNowUs, doubles } = this.#state;
    return isClosed ? lastNowUs : doubles[Header.now_us];
  }

  /**
   * Moves a virtual clock forward; timers that become due fire in the next turn.
   *
   * @param us A whole number of microseconds. The clock starts at 0 and ends after 292 years.
   * @throws {IoError} `INVALID_ARGUMENT` past that end, and unless the loop was opened with
   *   `clock: "virtual"`.
   */
  advance(us: number): void {
    const { functions, handle } = this.#state;
    this.#state.checkOpen("advance");
    if (this.capabilities.clock !== "virtual") {
      throw new IoError("INVALID_ARGUMENT", "only a virtual clock can be advanced", {
        advice: 'Open the loop with clock: "virtual".',
      });
    }
    if (!Number.isSafeInteger(us) || us < 0) {
      throw new IoError("INVALID_ARGUMENT", `a clock cannot be advanced by ${us} microseconds`);
    }
    // Timers that were started before now count from before.
    if (this.#state.queue.count > 0) this.#state.queue.flush();
    const status = functions.tp_clock_advance(handle, us >>> 0, Math.floor(us / 2 ** 32));
    if (status < 0) throw errorOfStatus(status, "advance the clock, perhaps past its end");
    this.#state.wakeSoon();
  }

  /** Counters since the loop was opened, as of the last turn; once closed, those at the end. */
  stats(): LoopStats {
    const { lastStats, words, doubles } = this.#state;
    return lastStats ?? readStats(words, doubles);
  }

  /**
   * Ends everything in order, within a time limit: listeners close once what waits to be accepted
   * is, each connection hears `draining` and closes when its work is done, each stream of layer 1
   * hears `onDraining`, and what is left when the time is over is aborted. The loop has to be
   * driven meanwhile, and stays open; datagram sockets, timers, watches and doorbells go on. Called
   * again, it gives the same promise.
   *
   * @param options How long it may take.
   * @returns Resolves when no listener and no connection is left, with what became of them.
   * @throws {IoError} `INVALID_OPTION`, `EXHAUSTED` without a free timer, `LOOP_CLOSED`.
   *
   * @example Let requests finish for ten seconds at the most
   * ```ts
   * import { Loop } from "@twinpoll/twinpoll";
   *
   * const loop = new Loop();
   * loop.listen("tcp://127.0.0.1:0", {
   *   data(conn, lease) {
   *     conn.send(lease);
   *   },
   *   draining: (conn) => conn.close(), // a server waits for the answer that is under way
   * });
   * loop.attach();
   * const { closed, aborted } = await loop.shutdown({ timeoutMs: 10_000 });
   * console.log(`${closed} ended, ${aborted} were aborted`);
   * loop.close();
   * ```
   */
  shutdown(options: LoopShutdownOptions = {}): Promise<LoopShutdownResult> {
    return shutdown(this.#state, options);
  }

  /**
   * Resets every connection and closes every datagram socket, whose `close` then gets
   * `LOOP_CLOSED`, as lookups do; closes every listener and doorbell, removes every watch, stops
   * every timer. Every handle and lease is stale afterwards. Does nothing when closed.
   */
  close(): void {
    const state = this.#state;
    state.close();
    // Inside a turn or a run the error belongs to whoever called that.
    if (!state.isTurning && state.driver === null) state.throwFailure();
  }

  /** Same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function checkWait(waitUs: number): number {
  if (waitUs === Infinity) return wait_forever;
  if (Number.isFinite(waitUs) && waitUs >= 0 && waitUs < wait_forever) return Math.ceil(waitUs);
  throw new IoError("INVALID_ARGUMENT", `a turn cannot wait ${waitUs} microseconds`, {
    advice: "Wait 0 to 4,294,967,294 microseconds, or Infinity.",
  });
}
