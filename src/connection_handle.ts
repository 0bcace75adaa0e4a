/**
 * What the script holds of a connection, and the sends that it writes for it.
 *
 * A connection is a slot and a generation of native code. Invariants: `state` only moves forward;
 * `close` is called exactly once, and nothing after it; a message is submitted whole or not at all.
 *
 * @module
 */

import type {
  Connection,
  ConnectionHandlers,
  ConnectionState,
  Sendable,
  SendResult,
} from "./connection.ts";
import { checkAttached, Gather, wrongPart } from "./gather.ts";
import { errorOfStatus, IoError, meaningOf } from "./io_error.ts";
import { LeaseHandle, staleLease } from "./lease.ts";
import type { Listener } from "./listener.ts";
import type { LoopState } from "./loop_state.ts";
import { completionWords } from "./messages.ts";
import {
  Header,
  Operation,
  SegmenterOptions,
  send_flag_answer,
  send_flag_move,
  SocketKind,
  Status,
} from "./native/abi.ts";
import type { PoolHandle } from "./pool.ts";
import {
  type CheckedSegmenter,
  checkSegmenter,
  type Segmenter,
  writeSegmenter,
} from "./segmenter.ts";
import { readAddress, type SocketAddress } from "./socket_address.ts";
import {
  type ConnectionSettings,
  getOption,
  type PeerCredentials,
  readCredentials,
  setOptions,
} from "./socket_control.ts";
import type { SocketOptionName, SocketOptionValues } from "./socket_options.ts";
import type { SubmissionQueue } from "./submission_queue.ts";

const encoder = new TextEncoder();

/** The class behind every {@linkcode Connection}. */
export class ConnectionHandle implements Connection {
  readonly loop: LoopState;
  readonly slot: number;
  readonly generation: number;
  handlers: ConnectionHandlers;
  readonly listener: Listener | null;
  readonly highWaterMark: number;
  state: ConnectionState;
  context: unknown = undefined;
  paused = false;
  /** `shutdown` was asked for. */
  isShut = false;
  isAborted = false;
  /** It was open once: its end is no failure to connect. */
  wasOpened: boolean;
  isRef = true;
  /** A `drain` is owed and asked for. */
  wantsDrain = false;
  /** Why this side aborted, as the cause of the error. */
  abortReason: unknown = undefined;
  /** Ends the watch over an abort signal. */
  unwatchSignal: (() => void) | null = null;
  /** How what arrives becomes messages. */
  segmenter: CheckedSegmenter | null;
  /** While its function is asked: bytes that were messages. */
  consumed = 0;
  /** The dispatch whose further bytes come again, because the segmenter changed. */
  voidIn = -1;
  knownLocal: SocketAddress | null = null;
  knownRemote: SocketAddress | null = null;
  /** Where it connects to, when that is a name. */
  namedEndpoint: string | null = null;
  /** What became of addresses of the name that were tried in vain. */
  failedAttempts: IoError[] | null = null;

  readonly #queue: SubmissionQueue;
  readonly #pool: PoolHandle;
  readonly #words: Uint32Array;
  /** Where native code keeps this connection's queued bytes. */
  readonly #queuedAt: number;

  constructor(
    loop: LoopState,
    slot: number,
    generation: number,
    handlers: ConnectionHandlers,
    listener: Listener | null,
    highWaterMark: number,
    segmenter: CheckedSegmenter | null,
  ) {
    this.loop = loop;
    this.slot = slot;
    this.generation = generation;
    this.handlers = handlers;
    this.listener = listener;
    this.highWaterMark = highWaterMark;
    this.segmenter = segmenter;
    this.wasOpened = listener !== null;
    this.state = this.wasOpened ? "open" : "connecting";
    this.#queue = loop.queue;
    this.#pool = loop.pool;
    this.#words = loop.words;
    this.#queuedAt = loop.queuedAt + slot;
  }

  get localAddress(): SocketAddress {
    if (this.knownLocal !== null) return this.knownLocal;
    const address = this.#readAddress(0);
    // The kernel picks it while it connects.
    if (this.state !== "connecting") this.knownLocal = address;
    return address;
  }

  get remoteAddress(): SocketAddress {
    this.knownRemote ??= this.#readAddress(1);
    return this.knownRemote;
  }

  get peerCredentials(): PeerCredentials {
    if (this.state === "closed") throw this.#stale();
    return readCredentials(this);
  }

  get queuedBytes(): number {
    return this.state === "closed" ? 0 : this.#words[this.#queuedAt];
  }

  send(data: Sendable | readonly Sendable[]): SendResult {
    if (data instanceof LeaseHandle) return this.#sendLease(data);
    this.#checkSendable();
    if (typeof data === "string") return this.#sendText(data);
    if (data instanceof Uint8Array) return this.#sendBytes(data);
    if (Array.isArray(data)) return this.#sendParts(data);
    throw wrongPart();
  }

  setSegmenter(segmenter: Segmenter | null): void {
    if (this.state === "closing" || this.state === "closed") throw this.#stale();
    const { loop } = this;
    const checked = checkSegmenter(segmenter, this.handlers, this.#pool);
    const words = new Uint32Array(SegmenterOptions.byte_length / 4);
    words[SegmenterOptions.size] = SegmenterOptions.byte_length;
    words[SegmenterOptions.slot] = this.slot;
    words[SegmenterOptions.generation] = this.generation;
    words[SegmenterOptions.dispatched] = (loop.cursor - loop.completionsAt) / completionWords;
    words[SegmenterOptions.consumed] = this.consumed;
    writeSegmenter(words, SegmenterOptions.segmenter, checked);
    // An answer of the function that was asked before may be among them.
    if (this.#queue.count > 0) this.#queue.flush();
    const bytes = new Uint8Array(words.buffer);
    const status = loop.functions.tp_connection_segmenter(loop.handle, bytes, bytes.length);
    if (status < 0 && status !== Status.stale_handle) {
      throw errorOfStatus(status, "set a segmenter");
    }
    this.segmenter = checked;
    // A connection that is gone already is about to be told closed.
    if (status !== 0) this.voidIn = loop.dispatches;
    loop.wakeSoon();
  }

  pause(): void {
    this.#setPaused(true);
  }

  resume(): void {
    this.#setPaused(false);
  }

  shutdown(): void {
    if (this.state === "closing" || this.state === "closed") throw this.#stale();
    if (this.isShut) return;
    this.isShut = true;
    this.#queue.handle(Operation.shutdown, this.slot, this.generation);
  }

  close(): void {
    // There is nothing to flush before a connection is open.
    if (this.state === "connecting") return this.abort();
    if (this.state !== "open") return;
    this.state = "closing";
    this.#queue.handle(Operation.close, this.slot, this.generation);
  }

  abort(): void {
    if (this.state === "closed" || this.isAborted) return;
    this.isAborted = true;
    this.state = "closing";
    this.#queue.handle(Operation.abort, this.slot, this.generation);
  }

  setOptions(options: ConnectionSettings): void {
    if (this.state === "closed") throw this.#stale();
    setOptions(this, SocketKind.connection, options);
  }

  getOption<Name extends SocketOptionName>(name: Name): SocketOptionValues[Name] {
    if (this.state === "closed") throw this.#stale();
    return getOption(this, SocketKind.connection, name);
  }

  ref(): void {
    if (this.isRef || this.state === "closed") return;
    this.isRef = true;
    this.loop.addRef();
  }

  unref(): void {
    if (!this.isRef || this.state === "closed") return;
    this.isRef = false;
    this.loop.dropRef();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A connect succeeded. */
  opened(): void {
    this.state = "open";
    this.wasOpened = true;
    this.#unwatch();
  }

  /** The handle is stale from now on. */
  expire(): void {
    this.unref();
    this.state = "closed";
    this.#unwatch();
  }

  /** The last thing that happens to a connection. */
  ended(error: IoError | null): void {
    this.expire();
    this.handlers.close?.(this, error);
  }

  #sendLease(lease: LeaseHandle): SendResult {
    if (lease.pool !== this.#pool) throw new IoError("WRONG_LOOP", meaningOf("WRONG_LOOP"));
    if (lease.references === 0 && !lease.isBorrowed) throw staleLease();
    this.#checkSendable();
    const words = this.#words;
    const length = lease.size;
    const queued = words[this.#queuedAt];
    const overMark = queued > 0 && queued + length > this.highWaterMark;
    if (overMark || words[Header.free_sends] < this.#placesFor(1)) return this.#full(1, length, 0);
    this.#submitLease(lease);
    return this.#taken(queued);
  }

  #sendText(text: string): SendResult {
    const scratch = this.loop.scratch;
    // One UTF-16 unit is at most three bytes.
    if (text.length * 3 > scratch.length) return this.#sendBytes(encoder.encode(text));
    return this.#sendBytes(scratch.subarray(0, encoder.encodeInto(text, scratch).written));
  }

  #sendBytes(data: Uint8Array): SendResult {
    const words = this.#words;
    const pool = this.#pool;
    const length = data.length;
    if (length > pool.partBytes) return this.#sendParts([data]);
    const queued = words[this.#queuedAt];
    if (length === 0) checkAttached(data);
    const overMark = queued > 0 && queued + length > this.highWaterMark;
    if (length === 0 && !overMark) return this.#taken(queued);
    if (overMark || words[Header.free_sends] < this.#placesFor(1)) {
      return this.#full(1, length, pool.copyBytes(length));
    }
    const buffer = pool.take(length);
    if (buffer < 0) return this.#full(1, length, pool.copyBytes(length));
    const bufferGeneration = pool.takenGeneration;
    pool.fill(buffer, 0, data);
    this.#submit(buffer, bufferGeneration, 0, length, send_flag_move);
    return this.#taken(queued);
  }

  #sendParts(list: readonly unknown[]): SendResult {
    const words = this.#words;
    const message = new Gather(this.#pool, list);
    // A getter of the list may have closed the connection.
    this.#checkSendable();
    const { length, places, bufferBytes } = message;
    const queued = words[this.#queuedAt];
    const overMark = queued > 0 && queued + length > this.highWaterMark;
    if (overMark || words[Header.free_sends] < this.#placesFor(places) || !message.take()) {
      return this.#full(places, length, bufferBytes);
    }
    message.submit(
      (lease) => this.#submitLease(lease),
      (buffer, generation, bytes) => this.#submit(buffer, generation, 0, bytes, send_flag_move),
    );
    return this.#taken(queued);
  }

  /** How many places must be free for a message that needs so many. */
  #placesFor(places: number): number {
    const { loop } = this;
    if (loop.answering === this) return places;
    return Math.min(places + loop.answerPlaces, loop.sendPlaces);
  }

  #submitLease(lease: LeaseHandle): void {
    if (lease.size === 0) return lease.release();
    const flags = lease.references > 0 ? send_flag_move : 0;
    this.#submit(lease.buffer, lease.bufferGeneration, lease.offset, lease.size, flags);
    lease.move();
  }

  #submit(
    buffer: number,
    bufferGeneration: number,
    offset: number,
    length: number,
    flags: number,
  ): void {
    this.#queue.send(
      this.slot,
      this.generation,
      buffer,
      bufferGeneration,
      offset,
      length,
      flags | this.#answerFlag(),
    );
    this.#words[this.#queuedAt] += length;
    this.#words[Header.free_sends] -= 1;
  }

  /** Marks what this connection's own data handler sends: reading waits for it. */
  #answerFlag(): number {
    return this.loop.answering === this ? send_flag_answer : 0;
  }

  /** The answer for a message that was taken behind `queued` bytes. */
  #taken(queued: number): SendResult {
    return queued === 0 && this.state === "open" ? "sent" : "queued";
  }

  #full(places: number, length: number, bufferBytes: number): SendResult {
    if (!this.wantsDrain) {
      this.wantsDrain = true;
      this.#queue.wantDrain(this.slot, this.generation, places, length, bufferBytes);
    }
    return "full";
  }

  #checkSendable(): void {
    if (this.state === "closing" || this.state === "closed") throw this.#stale();
    if (!this.isShut) return;
    throw new IoError("EPIPE", "this side's direction was ended by shutdown()");
  }

  #setPaused(paused: boolean): void {
    if (this.state === "closed") throw this.#stale();
    if (this.paused === paused) return;
    this.paused = paused;
    if (this.state === "closing") return;
    const operation = paused ? Operation.pause : Operation.unpause;
    this.#queue.handle(operation, this.slot, this.generation);
  }

  #readAddress(remote: 0 | 1): SocketAddress {
    if (this.state === "closed") throw this.#stale();
    const { functions, handle } = this.loop;
    const status = functions.tp_connection_address(handle, this.slot, this.generation, remote);
    const words = this.#words;
    if (status < 0) throw errorOfStatus(status, "read an address", words[Header.error_syscall]);
    return readAddress(words, Header.address);
  }

  #stale(): IoError {
    return new IoError("STALE_HANDLE", `the connection is ${this.state}`);
  }

  #unwatch(): void {
    this.unwatchSignal?.();
    this.unwatchSignal = null;
  }
}
