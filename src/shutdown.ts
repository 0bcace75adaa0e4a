/**
 * An orderly end of everything that is open on a loop, within a time limit.
 *
 * Listeners take what waits and close. Each connection hears `draining` once, and closes when its
 * work is done; one without that handler is closed in order at once. What is left when the time is
 * over is aborted.
 *
 * @module
 */

import type { ConnectionHandle } from "./connection_handle.ts";
import { IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import { Header } from "./native/abi.ts";
import { checkOptions, integerOption } from "./options.ts";
import { maxTimeoutMs } from "./stream_options.ts";
import { type Timer, TimerHandle } from "./timer.ts";

/** Options of `loop.shutdown`. */
export interface LoopShutdownOptions {
  /** After so long what is left is aborted, in milliseconds: 1 to 3,600,000. Default 30,000. */
  timeoutMs?: number;
}

/** What became of the connections of a loop that was shut down. */
export interface LoopShutdownResult {
  /** Those that ended by themselves, in order or with an error of the peer's. */
  readonly closed: number;
  /** Those that were aborted because the time was over, or because the loop was closed. */
  readonly aborted: number;
}

const defaultTimeoutMs = 30_000;

/** Shuts down, or gives the promise of the shutdown that is under way. */
export function shutdown(
  loop: LoopState,
  options: LoopShutdownOptions,
): Promise<LoopShutdownResult> {
  const { timeoutMs = defaultTimeoutMs } = checkOptions(options);
  integerOption("timeoutMs", timeoutMs, 1, maxTimeoutMs);
  loop.checkOpen("shutdown");
  loop.shutdown ??= new Shutdown(loop, timeoutMs);
  return loop.shutdown.promise;
}

/** A shutdown under way, which hears what ends and what opens. */
export class Shutdown {
  readonly promise: Promise<LoopShutdownResult>;
  readonly #loop: LoopState;
  readonly #timer: Timer;
  #resolve: (result: LoopShutdownResult) => void = () => {};
  #closed = 0;
  #aborted = 0;
  /** What is left is being aborted. */
  #isOver = false;
  #isDone = false;

  constructor(loop: LoopState, timeoutMs: number) {
    this.#loop = loop;
    this.promise = new Promise((resolve) => this.#resolve = resolve);
    this.#timer = new TimerHandle(loop, () => this.#giveUp(), { delayUs: timeoutMs * 1_000 });
    for (const listener of loop.listeners) listener?.close({ drain: true });
    // Handlers are called in a turn.
    loop.deferrals.add(() => {
      for (const conn of [...loop.connections]) {
        if (conn !== null) this.#drain(conn);
      }
      this.#check();
    });
    loop.wakeSoon();
  }

  /** A connection is open: it was accepted, or its connect succeeded. */
  opened(conn: ConnectionHandle): void {
    if (this.#isOver) conn.abort();
    else this.#drain(conn);
  }

  /** A connection has ended or left. */
  ended(conn: ConnectionHandle): void {
    if (this.#isDone) return;
    if (this.#isOver && conn.isAborted) this.#aborted += 1;
    else this.#closed += 1;
    this.#check();
  }

  /** A listener is gone. */
  listenerEnded(): void {
    this.#check();
  }

  /** The loop is closed with `left` connections. */
  loopClosed(left: number): void {
    if (this.#isDone) return;
    this.#aborted += left;
    this.#finish();
  }

  #drain(conn: ConnectionHandle): void {
    // One that connects hears it when it is open.
    if (conn.state !== "open" || conn.isDraining) return;
    conn.isDraining = true;
    const { draining } = conn.handlers;
    if (draining === undefined) return conn.close();
    try {
      draining.call(conn.handlers, conn);
    } catch (error) {
      this.#loop.fail(error);
      conn.abort();
    }
  }

  #giveUp(): void {
    this.#isOver = true;
    for (const listener of this.#loop.listeners) listener?.close();
    for (const conn of [...this.#loop.connections]) {
      if (conn === null) continue;
      conn.abortReason = new IoError("ABORTED", "the time limit of shutdown() is over");
      conn.abort();
    }
    this.#check();
  }

  #check(): void {
    const { connections, listeners, words } = this.#loop;
    if (this.#isDone) return;
    // What native code has ended, handlers may still have to hear of.
    if (words[Header.open_connections] > 0 || words[Header.open_listeners] > 0) return;
    if (listeners.some((listener) => listener !== null)) return;
    if (connections.some((conn) => conn !== null)) return;
    this.#timer.cancel();
    this.#finish();
  }

  #finish(): void {
    this.#isDone = true;
    this.#loop.shutdown = null;
    this.#resolve({ closed: this.#closed, aborted: this.#aborted });
  }
}
