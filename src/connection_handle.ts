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
  SendOptions,
  SendResult,
} from "./connection.ts";
import type { ConnectionMessage } from "./connection_message.ts";
import type { DetachedSocket, Leaving } from "./detach.ts";
import { changeSegmenter } from "./change_segmenter.ts";
import { checkAttached, Gather, wrongPart } from "./gather.ts";
import { errorOfStatus, IoError, meaningOf } from "./io_error.ts";
import { LeaseHandle, staleLease } from "./lease.ts";
import type { Listener } from "./listener.ts";
import type { LoopState } from "./loop_state.ts";
import {
  detach_flag_travels,
  Header,
  Operation,
  send_flag_answer,
  send_flag_descriptors,
  send_flag_move,
  SocketKind,
} from "./native/abi.ts";
import { emptyMessage, forgo, stage } from "./passed_descriptors.ts";
import type { PoolHandle } from "./pool.ts";
import type { CheckedSegmenter, Segmenter } from "./segmenter.ts";
import type { RelayHandle } from "./relay.ts";
import { readAddress, type SocketAddress } from "./socket_address.ts";
import {
  type ConnectionSettings,
  getOption,
  type PeerCredentials,
  readCredentials,
  setOptions,
} from "./socket_control.ts";
import { checkOptions } from "./options.ts";
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
  /** Nothing can be sent: `shutdown` was asked for, or a relay has the connection. */
  isShut = false;
  /** The relay that has the connection. */
  relay: RelayHandle | null = null;
  isAborted = false;
  /** It was open once: its end is no failure to connect. */
  wasOpened: boolean;
  isRef = true;
  /** It came from elsewhere, and `open` was not called yet. */
  hasArrived = false;
  /** Descriptors may come and go with its bytes. */
  passesDescriptors = false;
  /** Its handler was told of a shutdown of the loop. */
  isDraining = false;
  /** What becomes of it, once it was detached. */
  leaving: Leaving | null = null;
  /** A `drain` is owed and asked for. */
  wantsDrain = false;
  /** Why this side aborted, as the cause of the error. */
  abortReason: unknown = undefined;
  /** Ends the watch over an abort signal. */
  unwatchSignal: (() => void) | null = null;
  /** How what arrives becomes messages. */
  segmenter: CheckedSegmenter | null;
  /** It has or had a segmenter. */
  wasSegmented: boolean;
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
  /** Descriptors that go with what is submitted next, or -1. */
  #staged = -1;

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
    this.wasSegmented = segmenter !== null;
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

  send(data: Sendable | readonly Sendable[], options?: SendOptions): SendResult {
    if (options !== undefined) {
      const { descriptors } = checkOptions(options);
      if (descriptors !== undefined) return this.#sendWith(data, descriptors);
    }
    if (data instanceof LeaseHandle) return this.#sendLease(data);
    this.#checkSendable();
    if (typeof data === "string") return this.#sendText(data);
    if (data instanceof Uint8Array) return this.#sendBytes(data);
    if (Array.isArray(data)) return this.#sendParts(data);
    throw wrongPart();
  }

  setSegmenter(segmenter: Segmenter | null): void {
    if (this.state === "closing" || this.state === "closed") throw this.#stale();
    if (this.relay !== null) throw relayedError("set a segmenter");
    if (this.passesDescriptors && segmenter !== null) {
      throw new IoError("UNSUPPORTED", "a connection that takes descriptors has no messages", {
        advice: "Open it without descriptors: true.",
      });
    }
    changeSegmenter(this, segmenter);
  }

  pause(): void {
    this.#setPaused(true);
  }

  resume(): void {
    this.#setPaused(false);
  }

  shutdown(): void {
    if (this.state === "closing" || this.state === "closed") throw this.#stale();
    if (this.relay !== null) throw relayedError("shutdown() of a relayed connection");
    if (this.isShut) return;
    this.isShut = true;
    this.#queue.handle(Operation.shutdown, this.slot, this.generation);
  }

  close(): void {
    if (this.relay !== null) this.relay.close();
    else this.closeSide();
  }

  /** Closes this connection, also if it is one of a relay. */
  closeSide(): void {
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

  detach(detached: (socket: DetachedSocket) => void): void {
    this.#leave({ travels: false, done: detached });
  }

  handOff(handedOff: (message: ConnectionMessage) => void): void {
    this.#leave({ travels: true, done: handedOff });
  }

  /** It comes from elsewhere and is open. */
  arrived(): void {
    this.state = "open";
    this.wasOpened = true;
    this.hasArrived = true;
  }

  /** A connect succeeded. */
  opened(): void {
    this.state = "open";
    this.wasOpened = true;
    this.#unwatch();
  }

  /** A relay has the connection from now on. */
  joined(relay: RelayHandle): void {
    this.relay = relay;
    this.isShut = true;
    this.paused = false;
  }

  /** Sends bytes that were delivered to another connection before a relay had both. */
  forward(lease: LeaseHandle): void {
    this.#submitLease(lease);
  }

  /** The handle is stale from now on. */
  expire(): void {
    if (this.state !== "closed") this.relay?.sideExpires(this);
    this.unref();
    this.state = "closed";
    this.#unwatch();
  }

  /** The last thing that happens to a connection. */
  ended(error: IoError | null): void {
    this.expire();
    try {
      this.handlers.close?.(this, error);
    } finally {
      this.relay?.sideEnded(this, error);
    }
  }

  /** Sends with descriptors, which go with the first part that is submitted. */
  #sendWith(data: Sendable | readonly Sendable[], descriptors: readonly number[]): SendResult {
    this.#checkSendable();
    if (data instanceof LeaseHandle && data.size === 0) throw emptyMessage();
    const staged = stage(this, descriptors);
    this.#staged = staged.index;
    try {
      const result = this.send(data);
      if (this.#staged >= 0 && result !== "full") throw emptyMessage();
      return result;
    } finally {
      if (this.#staged >= 0) forgo(this, staged);
      this.#staged = -1;
    }
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
      flags | this.#answerFlag() | (this.#staged < 0 ? 0 : send_flag_descriptors),
      this.#staged,
    );
    this.#staged = -1;
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
    if (this.relay !== null) throw relayedError("send() on a relayed connection");
    throw new IoError("EPIPE", "this side's direction was ended by shutdown()");
  }

  #leave(leaving: Leaving): void {
    if (this.state === "closing" || this.state === "closed") throw this.#stale();
    if (typeof leaving.done !== "function") {
      throw new IoError("INVALID_ARGUMENT", "what takes the connection must be a function");
    }
    if (this.state === "connecting") {
      throw new IoError("BUSY", "the connection is connecting", {
        advice: "Detach it in its open handler, or later.",
      });
    }
    if (this.relay !== null) throw relayedError("detach");
    const { transport } = this.listener?.address ?? this.knownRemote ?? {};
    if (transport === "inproc") {
      throw new IoError("UNSUPPORTED", "an in-process connection has no descriptor", {
        advice: "Connect to the name from the loop that is to have the connection.",
      });
    }
    if (this.wasSegmented) {
      throw new IoError("UNSUPPORTED", "a connection with a segmenter stays where it is", {
        advice: "Set the segmenter where the connection has moved to.",
      });
    }
    if (this.passesDescriptors) {
      throw new IoError("UNSUPPORTED", "a connection that takes descriptors stays where it is", {
        advice: "Open it without descriptors: true, or close it.",
      });
    }
    this.state = "closing";
    this.leaving = leaving;
    const flags = leaving.travels ? detach_flag_travels : 0;
    this.#queue.handle(Operation.detach, this.slot, this.generation, flags);
  }

  #setPaused(paused: boolean): void {
    if (this.state === "closed") throw this.#stale();
    if (this.relay !== null) throw relayedError("pause() or resume() of a relayed connection");
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

/** What a relayed connection answers to whoever wants to use it. */
export function relayedError(attempt: string): IoError {
  return new IoError("BUSY", `${attempt}: a relay has it`, {
    advice: "A relay has its connections to itself until they are closed.",
  });
}
