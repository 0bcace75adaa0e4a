/**
 * Doorbells: what lets other threads of the process wake a loop.
 *
 * @module
 */

import { errorOfStatus, IoError, type IoErrorOptions } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";
import { Header, Status } from "./native/abi.ts";
import { loadLibrary } from "./native/library.ts";
import { show } from "./show.ts";

/** A doorbell as plain data, for `postMessage`; whoever has it can ring. */
export interface DoorbellMessage {
  /** Tells it from other messages. */
  readonly kind: "twinpoll-doorbell";
  /** The process in which it rings. */
  readonly process: number;
  /** The doorbell. */
  readonly slot: number;
  /** Which use of the slot. */
  readonly generation: number;
}

/** Called in the turn after it was rung, once for however many rings came together. */
export type DoorbellHandler = (doorbell: Doorbell) => void;

/** Something that any thread of the process can ring, and that its loop then hears. */
export interface Doorbell extends Disposable {
  /** What others ring with {@linkcode ring}. */
  readonly message: DoorbellMessage;
  /** True once `close()` was called. */
  readonly closed: boolean;
  /** Rings it from here. Does nothing when closed. */
  ring(): void;
  /** Its handler is not called any more. Does nothing when closed. */
  close(): void;
  /** Keeps `run()` going and the process alive, which is how it starts. */
  ref(): void;
  /** Lets `run()` and the process end although it may be rung. */
  unref(): void;
  /** Same as `close()`. */
  [Symbol.dispose](): void;
}

const numbers = ["process", "slot", "generation"] as const;

/**
 * Rings a doorbell of any loop of this process, from any thread, also from one without a loop. The
 * loop is woken if it sleeps; rings that it has not answered yet come together.
 *
 * @param message What `doorbell.message` was on the loop's side.
 * @returns False when the doorbell or its loop is closed, or is another process's.
 * @throws {IoError} `INVALID_ARGUMENT` when it is no such message, `FORKED`, or why the library
 *   cannot be loaded, as for `new Loop`.
 *
 * @example Tell a Worker's loop that there is work
 * ```ts no-run
 * import { Loop, ring } from "@twinpoll/twinpoll";
 * import { parentPort, Worker } from "node:worker_threads";
 *
 * // In the Worker:
 * const loop = new Loop();
 * const doorbell = loop.doorbell(() => console.log("somebody rang"));
 * parentPort?.postMessage(doorbell.message);
 *
 * // In the main thread:
 * const worker = new Worker("./worker.js");
 * worker.once("message", (message) => ring(message));
 * ```
 */
export function ring(message: DoorbellMessage): boolean {
  const fields = (message ?? {}) as unknown as Readonly<Record<string, unknown>>;
  const isOne = fields.kind === "twinpoll-doorbell" && numbers.every((name) => {
    const value = fields[name];
    return Number.isInteger(value) && value as number >= 0 && value as number < 2 ** 32;
  });
  if (!isOne) {
    throw new IoError("INVALID_ARGUMENT", `${show(message)} is no message of a doorbell`, {
      advice: "Pass what doorbell.message was, as postMessage delivers it.",
    });
  }
  const { slot, generation, process } = message;
  const rc = loadLibrary().functions.tp_doorbell_ring(slot, generation, process);
  if (rc >= 0) return true;
  if (rc === Status.stale_handle) return false;
  throw errorOfStatus(rc, "ring a doorbell");
}

/** Makes a doorbell of a loop. */
export function makeDoorbell(loop: LoopState, handler: DoorbellHandler): Doorbell {
  loop.checkOpen("doorbell");
  if (typeof handler !== "function") {
    throw new IoError("INVALID_ARGUMENT", "the handler of a doorbell must be a function");
  }
  const slot = loop.functions.tp_doorbell(loop.handle);
  if (slot < 0) throw makeError(loop, slot);
  const doorbell = new DoorbellHandle(loop, slot, loop.words[Header.result_generation], handler);
  loop.doorbells.set(slot, doorbell);
  loop.addRef();
  loop.wakeSoon();
  return doorbell;
}

function makeError(loop: LoopState, status: number): IoError {
  const details: IoErrorOptions = {};
  if (status === Status.exhausted) {
    details.advice = "Close doorbells that nobody rings; one can stand for many sources.";
  }
  return errorOfStatus(status, "make a doorbell", loop.words[Header.error_syscall], details);
}

/** The class behind every {@linkcode Doorbell}. */
export class DoorbellHandle implements Doorbell {
  readonly loop: LoopState;
  readonly message: DoorbellMessage;
  readonly handler: DoorbellHandler;
  closed = false;
  isRef = true;

  constructor(loop: LoopState, slot: number, generation: number, handler: DoorbellHandler) {
    this.loop = loop;
    this.handler = handler;
    const process = loop.pool.key;
    this.message = { kind: "twinpoll-doorbell", process, slot, generation };
  }

  ring(): void {
    if (!this.closed) ring(this.message);
  }

  close(): void {
    if (this.closed) return;
    const { loop, message: { slot, generation } } = this;
    this.ended();
    if (!loop.isClosed) loop.functions.tp_doorbell_remove(loop.handle, slot, generation);
  }

  ref(): void {
    if (this.isRef || this.closed) return;
    this.isRef = true;
    this.loop.addRef();
  }

  unref(): void {
    if (!this.isRef || this.closed) return;
    this.isRef = false;
    this.loop.dropRef();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The last thing that happens to a doorbell. */
  ended(): void {
    if (this.closed) return;
    this.unref();
    this.closed = true;
    this.loop.doorbells.delete(this.message.slot);
  }
}
