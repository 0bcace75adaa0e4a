/**
 * The state of one open loop, which its parts share: regions, tables, and who drives it.
 *
 * Invariants: one turn at a time; every open handle is in its table; `refs` counts the handles that
 * keep the loop running.
 *
 * @module
 */

import type { ConnectionHandle } from "./connection_handle.ts";
import type { DatagramSocketHandle } from "./datagram_handle.ts";
import type { DatagramSourceHandle } from "./datagram_source.ts";
import { Deferrals } from "./deferral.ts";
import { dispatch } from "./dispatch.ts";
import type { DoorbellHandle } from "./doorbell.ts";
import { HostSleep } from "./host_sleep.ts";
import { errorOfStatus, IoError, meaningOf } from "./io_error.ts";
import type { LeaseHandle } from "./lease.ts";
import type { ListenerHandle } from "./listener.ts";
import type { WatchHandle } from "./watch.ts";
import type { OpenedLoop } from "./loop_options.ts";
import {
  address_stride,
  answer_reserve,
  Completion,
  type Functions,
  Header,
  LoopOptions as Layout,
  Mode,
  source_stride,
  turn_flag_spin,
} from "./native/abi.ts";
import type { Library } from "./native/library.ts";
import { type LoopStats, readStats } from "./loop_stats.ts";
import { type LeakReport, reportLeaks } from "./leaks.ts";
import { PoolHandle } from "./pool.ts";
import { SubmissionQueue } from "./submission_queue.ts";
import { TimerTable } from "./timer.ts";

/** What drives a loop from the outside. */
export interface Driver {
  /** `run()` rather than `attach()`. */
  readonly isRun: boolean;
  /** The loop starts or stops keeping the process alive. */
  refChanged(): void;
  /** The loop was closed or asked to stop. */
  stop(): void;
}

/** One open loop. */
export class LoopState {
  readonly functions: Functions;
  readonly library: Library;
  readonly handle: number;
  readonly mode: number;
  /** The shared region, once per kind of number. */
  readonly words: Uint32Array;
  readonly signed: Int32Array;
  readonly doubles: Float64Array;
  /** Words from the region's start to the completions, and to the queued bytes per connection. */
  readonly completionsAt: number;
  readonly queuedAt: number;
  readonly socketQueuedAt: number;
  /** Words from the region's start to the addresses and to the sources. */
  readonly addressesAt: number;
  readonly sourcesAt: number;
  readonly queue: SubmissionQueue;
  readonly pool: PoolHandle;
  readonly timers: TimerTable;
  readonly deferrals: Deferrals = new Deferrals();
  readonly sleep: HostSleep;
  /** By slot; null where there is none. */
  readonly connections: (ConnectionHandle | null)[] = [];
  readonly listeners: (ListenerHandle | null)[] = [];
  readonly sockets: (DatagramSocketHandle | null)[] = [];
  readonly watches: (WatchHandle | null)[] = [];
  /** By slot, of which other loops have some. */
  readonly doorbells: Map<number, DoorbellHandle> = new Map();
  /** Sends that can be queued at a time, and those of them that are for answers only. */
  readonly sendPlaces: number;
  readonly answerPlaces: number;
  /** Where strings become bytes on their way to a buffer. */
  readonly scratch: Uint8Array;
  driver: Driver | null = null;
  isClosed = false;
  /** Inside a native turn, its dispatch or its deferrals. */
  isTurning = false;
  /** Words to the next completion and to the end of them. */
  cursor = 0;
  cursorEnd = 0;
  /** What the handler that runs was given, for the case that it throws. */
  currentConnection: ConnectionHandle | DatagramSocketHandle | null = null;
  currentLease: LeaseHandle | null = null;
  currentSource: DatagramSourceHandle | null = null;
  /** The connection whose data handler runs: what it sends on it is an answer. */
  answering: ConnectionHandle | null = null;
  /** The first error that a handler threw and that nobody has taken yet. */
  failure: { readonly error: unknown } | null = null;
  /** What the header said when the loop was closed. */
  lastStats: LoopStats | null = null;
  lastNowUs = 0;
  /** Whether the last turn found anything to do. */
  hadWork = false;

  /** Whether the loop as a whole may keep the process alive. */
  isRef = true;

  #refs = 0;
  readonly #debug: boolean;
  readonly #onLeak: ((report: LeakReport) => void) | undefined;

  constructor(library: Library, opened: OpenedLoop) {
    const { functions } = library;
    const { handle, granted, debug, onLeak } = opened;
    this.library = library;
    this.functions = functions;
    this.handle = handle;
    this.mode = granted[Layout.mode];
    const pointer = functions.tp_loop_region(handle);
    const region = library.adapter.view(pointer, granted[Layout.shared_bytes]);
    this.words = new Uint32Array(region);
    this.signed = new Int32Array(region);
    this.doubles = new Float64Array(region, 0, region.byteLength >>> 3);
    this.sendPlaces = this.words[Header.free_sends];
    this.answerPlaces = Math.floor(this.sendPlaces / answer_reserve);
    this.completionsAt = granted[Layout.completions_offset] / 4;
    this.queuedAt = granted[Layout.queued_offset] / 4;
    this.socketQueuedAt = granted[Layout.socket_queued_offset] / 4;
    this.addressesAt = granted[Layout.addresses_offset] / 4;
    this.sourcesAt = granted[Layout.sources_offset] / 4;
    this.scratch = new Uint8Array(granted[Layout.buffer_size]);
    this.queue = new SubmissionQueue({
      functions,
      loop: handle,
      words: this.words,
      doubles: this.doubles,
      offset: granted[Layout.submissions_offset],
      capacity: granted[Layout.entries],
      wake: (): void => this.sleep.wakeSoon(),
    });
    this.pool = new PoolHandle({
      functions,
      adapter: library.adapter,
      loop: handle,
      words: this.words,
      queue: this.queue,
      bufferSize: granted[Layout.buffer_size],
      receiveBuffers: granted[Layout.receive_buffers],
      maxBytes: granted[Layout.max_kib] * 1024,
      slabBytes: granted[Layout.slab_kib] * 1024,
      key: granted[Layout.pool_key],
      debug,
    });
    this.#debug = debug;
    this.#onLeak = onLeak;
    this.timers = new TimerTable(this, granted[Layout.max_timers]);
    this.sleep = new HostSleep(this);
  }

  /** Whether the loop keeps the process alive while it is driven. */
  get keepsAlive(): boolean {
    return this.isRef && this.#refs > 0;
  }

  /** Whether there is anything left to drive. */
  get hasWork(): boolean {
    return this.#refs > 0 || this.hasPending;
  }

  /** Whether the script has asked for something that only a turn does. */
  get hasPending(): boolean {
    return this.queue.count > 0 || this.deferrals.count > 0;
  }

  /** One turn with its dispatch and its deferrals. The number of completions. */
  turn(waitUs: number, maySpin: boolean): number {
    this.checkOpen("turn");
    if (this.isTurning) throw new IoError("BUSY", "turn() inside a handler of the same loop");
    // A turn takes the events that a sleeping driver would have been woken for.
    this.wakeSoon();
    const flags = maySpin && this.mode !== Mode.event ? turn_flag_spin : 0;
    const wait = this.deferrals.count > 0 ? 0 : waitUs;
    this.isTurning = true;
    try {
      const submissions = this.queue.take();
      const count = this.functions.tp_loop_turn(this.handle, submissions, wait, flags);
      if (count < 0) throw errorOfStatus(count, "turn", this.words[Header.error_syscall]);
      this.hadWork = count > 0 || this.deferrals.count > 0;
      if (count > 0) dispatch(this, count);
      if (this.deferrals.count > 0) this.deferrals.run(this.fail);
      return count;
    } finally {
      this.isTurning = false;
    }
  }

  /** Remembers the first error of a handler. */
  readonly fail = (error: unknown): void => {
    this.failure ??= { error };
  };

  /** Throws what a handler has thrown, once. */
  throwFailure(): void {
    const { failure } = this;
    if (failure === null) return;
    this.failure = null;
    throw failure.error;
  }

  /** Something was started beside the queue: a sleeping driver has to turn. */
  wakeSoon(): void {
    if (this.queue.isHostAsleep) this.sleep.wakeSoon();
  }

  /** Enters a connection that counts as ref'd. */
  addConnection(conn: ConnectionHandle): void {
    // Without holes the array stays a plain list, whatever slot native code begins with.
    while (this.connections.length <= conn.slot) this.connections.push(null);
    this.connections[conn.slot] = conn;
    this.addRef();
  }

  /** Enters a listener that counts as ref'd. */
  addListener(listener: ListenerHandle): void {
    while (this.listeners.length <= listener.slot) this.listeners.push(null);
    this.listeners[listener.slot] = listener;
    this.addRef();
  }

  /** Enters a datagram socket that counts as ref'd. */
  addSocket(socket: DatagramSocketHandle): void {
    while (this.sockets.length <= socket.slot) this.sockets.push(null);
    this.sockets[socket.slot] = socket;
    this.addRef();
  }

  /** The word at which the address beside a submission stands. */
  addressAt(entry: number): number {
    return this.addressesAt + entry * (address_stride / 4);
  }

  /** The word at which the source beside the completion at word `at` stands. */
  sourceAt(at: number): number {
    const index = (at - this.completionsAt) / (Completion.byte_length / 4);
    return this.sourcesAt + index * (source_stride / 4);
  }

  /** Enters a watch that counts as ref'd. */
  addWatch(watch: WatchHandle): void {
    while (this.watches.length <= watch.slot) this.watches.push(null);
    this.watches[watch.slot] = watch;
    this.addRef();
  }

  /** One more handle keeps the loop running. */
  addRef(): void {
    this.#refs += 1;
    if (this.#refs === 1) this.driver?.refChanged();
  }

  /** One handle less keeps the loop running. */
  dropRef(): void {
    this.#refs -= 1;
    if (this.#refs === 0) this.driver?.refChanged();
  }

  /** Lets the loop as a whole keep the process alive, or not. */
  setRef(isRef: boolean): void {
    if (this.isRef === isRef) return;
    this.isRef = isRef;
    this.driver?.refChanged();
  }

  /** Throws unless the loop is open. */
  checkOpen(attempt: string): void {
    if (!this.isClosed) return;
    throw new IoError("LOOP_CLOSED", `${attempt}: ${meaningOf("LOOP_CLOSED")}`);
  }

  /** Resets every connection and gives the loop back. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    // What was released before counts as released.
    if (this.queue.count > 0) this.#flushLast();
    const leaks = this.pool.expire(this.words[Header.leases]);
    // Completions that are not dispatched yet are void: their handles end here.
    this.cursorEnd = 0;
    this.queue.count = 0;
    this.deferrals.clear();
    // All handles end before the first handler hears of it: the memory behind them may be another
    // loop's by then.
    for (const conn of this.connections) conn?.expire();
    for (const socket of this.sockets) socket?.expire();
    this.lastStats = readStats(this.words, this.doubles);
    this.lastNowUs = this.doubles[Header.now_us];
    const status = this.functions.tp_loop_close(this.handle);
    this.timers.clear();
    for (const listener of this.listeners) listener?.ended();
    for (const watch of this.watches) watch?.ended(null);
    for (const doorbell of [...this.doorbells.values()]) doorbell.ended();
    for (const handle of [...this.connections, ...this.sockets]) {
      if (handle === null) continue;
      const error = new IoError("LOOP_CLOSED", "the loop was closed with the handle open");
      try {
        handle.ended(error);
      } catch (error) {
        this.fail(error);
      }
    }
    this.listeners.length = 0;
    this.watches.length = 0;
    this.connections.length = 0;
    this.sockets.length = 0;
    this.pool.releaseAdopted(this.fail);
    try {
      reportLeaks(leaks, this.#onLeak, this.#debug);
    } catch (error) {
      this.fail(error);
    }
    this.driver?.stop();
    this.sleep.close();
    if (status < 0) throw errorOfStatus(status, "close the loop");
  }

  #flushLast(): void {
    try {
      this.queue.flush();
    } catch (error) {
      this.fail(error);
    }
  }
}
