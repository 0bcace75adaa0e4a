/**
 * Relays: two connections of a loop joined, so that native code carries what arrives on one to the
 * other.
 *
 * Invariants: the script sees no byte of a relayed connection; its two connections end as any
 * others do, and the relay's end is reported once, after both.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { ConnectionHandle, relayedError } from "./connection_handle.ts";
import { errorOfStatus, IoError } from "./io_error.ts";
import type { LeaseHandle } from "./lease.ts";
import type { LoopState } from "./loop_state.ts";
import { Header, RelayOptions as Layout, Status } from "./native/abi.ts";
import { checkOptions, integerOption } from "./options.ts";
import { defaultHighWaterMark, maxHighWaterMark, maxTimeoutMs } from "./stream_options.ts";

/** Where a relay is in its life. It only moves forward. */
export type RelayState = "open" | "closing" | "closed";

/** Bytes that a relay has taken from each side for the other. */
export interface RelayTotals {
  /** From the first connection to the second. */
  readonly firstToSecond: number;
  /** From the second connection to the first. */
  readonly secondToFirst: number;
}

/** Options of `loop.relay`. */
export interface RelayOptions {
  /**
   * Ends both connections with `IDLE_TIMEOUT` once no byte has moved in either direction for so
   * long, in milliseconds: 1 to 3,600,000, or 0 for no limit. While one still connects, its own
   * time limit holds. Default 0.
   */
  idleTimeoutMs?: number;
  /**
   * The same from when one direction has ended: 1 to 3,600,000, or 0 for `idleTimeoutMs`.
   * Default 0.
   */
  halfOpenTimeoutMs?: number;
  /**
   * Bytes that may wait to be sent on one connection before the other is not read any more; it is
   * read again when half of them are left. At least two buffers of the pool, at most 1 GiB.
   * Default 262,144.
   */
  highWaterMark?: number;
  /**
   * Called exactly once, after the `close` handlers of both connections. `error` is null when both
   * ended in order, else the error that ended the relay.
   */
  end?(relay: Relay, error: IoError | null, totals: RelayTotals): void;
}

/**
 * Two connections that are joined.
 *
 * @example A proxy
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * const target = loop.listen("tcp://127.0.0.1:0", {
 *   data: (conn, lease) => void conn.send(lease),
 * });
 * const proxy = loop.listen("tcp://127.0.0.1:0", {
 *   open(client) {
 *     loop.relay(client, loop.connect(target.address, {}), {
 *       idleTimeoutMs: 60_000,
 *       end(_relay, error, totals) {
 *         console.log(error, totals.firstToSecond, totals.secondToFirst); // null 5 5
 *         proxy.close();
 *         target.close();
 *       },
 *     });
 *   },
 * });
 * loop.connect(proxy.address, {
 *   open: (conn) => void conn.send("hello"),
 *   data: (conn) => conn.close(),
 * });
 * await loop.run();
 * loop.close();
 * ```
 */
export interface Relay extends Disposable {
  /** The connection that was named first. */
  readonly first: Connection;
  /** The connection that was named second. */
  readonly second: Connection;
  /** Where the relay is in its life. */
  readonly state: RelayState;
  /** Bytes carried so far, each way; after the end those at the end. */
  readonly totals: RelayTotals;
  /** The application's own state; undefined at first. */
  context: unknown;
  /**
   * Closes both connections in order: what was read of each is sent to the other, then both
   * directions end. What arrives afterwards is discarded. Does nothing when closing or closed.
   */
  close(): void;
  /** Resets both connections, whose `close` gets `ABORTED`. Does nothing when closed. */
  abort(): void;
  /** Lets both connections keep the loop running, which is how they start. */
  ref(): void;
  /** Lets the loop end although the relay is open. */
  unref(): void;
  /** Same as `close()`. */
  [Symbol.dispose](): void;
}

type EndHandler = NonNullable<RelayOptions["end"]>;

/** Joins two connections of a loop. */
export function relay(
  loop: LoopState,
  first: Connection,
  second: Connection,
  options: RelayOptions,
): Relay {
  loop.checkOpen("relay");
  checkSide(loop, first, "first");
  checkSide(loop, second, "second");
  if (first === second) {
    throw new IoError("INVALID_ARGUMENT", "a connection cannot be relayed with itself");
  }
  const words = new Uint32Array(Layout.byte_length / 4);
  const end = writeOptions(words, options, loop);
  words[Layout.first_slot] = first.slot;
  words[Layout.first_generation] = first.generation;
  words[Layout.second_slot] = second.slot;
  words[Layout.second_generation] = second.generation;
  const bytes = new Uint8Array(words.buffer);
  const status = loop.functions.tp_relay(loop.handle, bytes, words.byteLength);
  // One of them has ended in this turn, which the script is about to hear of: so has the relay.
  const isJoined = status !== Status.stale_handle;
  if (status < 0 && isJoined) throw errorOfStatus(status, "relay");
  const made = new RelayHandle(loop, first, second, end, isJoined);
  loop.wakeSoon();
  return made;
}

function checkSide(
  loop: LoopState,
  conn: unknown,
  which: string,
): asserts conn is ConnectionHandle {
  if (!(conn instanceof ConnectionHandle)) {
    throw new IoError("INVALID_ARGUMENT", `the ${which} side of a relay must be a connection`);
  }
  if (conn.loop !== loop) {
    throw new IoError("WRONG_LOOP", `the ${which} connection belongs to another loop`, {
      advice: "Relay connections of one loop: accept or connect both there.",
    });
  }
  if (conn.relay !== null) throw relayedError(`relay of the ${which} connection`);
  if (conn.segmenter !== null) {
    throw new IoError("INVALID_ARGUMENT", `the ${which} connection has a segmenter`, {
      advice: "Take it off with setSegmenter(null) before the relay.",
    });
  }
  if (conn.passesDescriptors) {
    throw new IoError("INVALID_ARGUMENT", `the ${which} connection takes descriptors`, {
      advice: "A relay carries bytes only: open the connection without descriptors: true.",
    });
  }
  if (conn.state === "closing" || conn.state === "closed") {
    throw new IoError("STALE_HANDLE", `the ${which} connection is ${conn.state}`);
  }
  if (conn.isShut) {
    throw new IoError("EPIPE", `the direction of the ${which} connection was ended by shutdown()`);
  }
}

/** Writes what is asked for; the end handler. */
function writeOptions(
  words: Uint32Array,
  options: RelayOptions,
  loop: LoopState,
): EndHandler | undefined {
  const { idleTimeoutMs = 0, halfOpenTimeoutMs = 0, end } = checkOptions(options);
  const least = 2 * loop.pool.bufferSize;
  const { highWaterMark = Math.max(defaultHighWaterMark, least) } = options;
  words[Layout.size] = Layout.byte_length;
  words[Layout.high_water_mark] = integerOption(
    "highWaterMark",
    highWaterMark,
    least,
    maxHighWaterMark,
  );
  words[Layout.idle_timeout_ms] = integerOption("idleTimeoutMs", idleTimeoutMs, 0, maxTimeoutMs);
  words[Layout.half_open_timeout_ms] = integerOption(
    "halfOpenTimeoutMs",
    halfOpenTimeoutMs,
    0,
    maxTimeoutMs,
  );
  if (end === undefined || typeof end === "function") return end;
  throw new IoError("INVALID_ARGUMENT", "the end handler of a relay must be a function");
}

/** The class behind every {@linkcode Relay}. */
export class RelayHandle implements Relay {
  readonly first: ConnectionHandle;
  readonly second: ConnectionHandle;
  context: unknown = undefined;

  readonly #loop: LoopState;
  readonly #end: EndHandler | undefined;
  /** Native code carries; otherwise one connection has ended, and the other follows. */
  readonly #isJoined: boolean;
  /** Bytes of the first and of the second connection that the script has passed on itself. */
  readonly #forwarded: [number, number] = [0, 0];
  /** What native code had carried of each when it ended. */
  readonly #carried: [number, number] = [0, 0];
  #isClosing = false;
  #open = 2;
  #error: IoError | null = null;

  constructor(
    loop: LoopState,
    first: ConnectionHandle,
    second: ConnectionHandle,
    end: EndHandler | undefined,
    isJoined: boolean,
  ) {
    this.#loop = loop;
    this.first = first;
    this.second = second;
    this.#end = end;
    this.#isJoined = isJoined;
    first.joined(this);
    second.joined(this);
  }

  get state(): RelayState {
    if (this.#open === 0) return "closed";
    return this.#isClosing || this.#open < 2 ? "closing" : "open";
  }

  get totals(): RelayTotals {
    return { firstToSecond: this.#bytesOf(0), secondToFirst: this.#bytesOf(1) };
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    // One that still connects is aborted, which would reset the other before it is closed.
    const [before, after] = this.first.state === "connecting"
      ? [this.second, this.first]
      : [this.first, this.second];
    before.closeSide();
    after.closeSide();
  }

  abort(): void {
    this.#isClosing = true;
    this.first.abort();
    this.second.abort();
  }

  ref(): void {
    this.first.ref();
    this.second.ref();
  }

  unref(): void {
    this.first.unref();
    this.second.unref();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Sends on what was delivered in the turn in which the relay was made. */
  forward(from: ConnectionHandle, lease: LeaseHandle): void {
    const to = this.#other(from);
    if (to.state !== "connecting" && to.state !== "open") return;
    const length = lease.size;
    if (this.#loop.words[Header.free_sends] < 1) {
      from.abortReason = new IoError("EXHAUSTED", "no place in the send queues is free");
      return from.abort();
    }
    to.forward(lease);
    this.#forwarded[this.#sideOf(from)] += length;
  }

  /** A connection's memory is about to be another's. */
  sideExpires(conn: ConnectionHandle): void {
    const side = this.#sideOf(conn);
    this.#carried[side] = this.#readCarried(conn);
  }

  /** One of the connections has ended, and its handler was called. */
  sideEnded(conn: ConnectionHandle, error: IoError | null): void {
    this.#open -= 1;
    if (this.#error === null || this.#error.code === "ABORTED") this.#error = error ?? this.#error;
    if (this.#open === 0) return this.#end?.(this, this.#error, this.totals);
    const other = this.#other(conn);
    if (error !== null) other.abortReason ??= error;
    if (this.#isJoined) return;
    if (error === null) other.closeSide();
    else other.abort();
  }

  #bytesOf(side: 0 | 1): number {
    const conn = side === 0 ? this.first : this.second;
    const carried = conn.state === "closed" ? this.#carried[side] : this.#readCarried(conn);
    return this.#forwarded[side] + carried;
  }

  #readCarried(conn: ConnectionHandle): number {
    return this.#isJoined ? this.#loop.doubles[this.#loop.relayedAt + conn.slot] : 0;
  }

  #sideOf(conn: ConnectionHandle): 0 | 1 {
    return conn === this.first ? 0 : 1;
  }

  #other(conn: ConnectionHandle): ConnectionHandle {
    return conn === this.first ? this.second : this.first;
  }
}
