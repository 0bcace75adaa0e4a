/**
 * The class behind datagram sockets: what a program asks of one, on its way to native code.
 *
 * Invariants: `state` only moves forward; `close` is called exactly once, and nothing after it; a
 * datagram is submitted whole or not at all. Sending allocates nothing of its own.
 *
 * @module
 */

import type { Sendable, SendResult } from "./connection.ts";
import { changeGroup, changeSettings, readSetting } from "./datagram_control.ts";
import { type Destination, Destinations } from "./datagram_destination.ts";
import { type Part, partsOf, totalOf } from "./datagram_parts.ts";
import { type DatagramSource, DatagramSourceHandle } from "./datagram_source.ts";
import type {
  DatagramHandlers,
  DatagramOptionName,
  DatagramSendOptions,
  DatagramSettings,
  DatagramSocket,
  DatagramSocketState,
  GroupOptions,
} from "./datagram_socket.ts";
import type { Endpoint } from "./endpoint.ts";
import { checkAttached, wrongPart } from "./gather.ts";
import { IoError, meaningOf } from "./io_error.ts";
import { LeaseHandle, staleLease } from "./lease.ts";
import type { LoopState } from "./loop_state.ts";
import {
  AddressFamily,
  Header,
  Operation,
  send_flag_addressed,
  send_flag_move,
  SocketAction,
} from "./native/abi.ts";
import { checkOptions, integerOption } from "./options.ts";
import type { PoolHandle } from "./pool.ts";
import type { SocketAddress } from "./socket_address.ts";
import type { SubmissionQueue } from "./submission_queue.ts";

/** Most bytes of a datagram: what IPv4, IPv6 and a pool have room for. */
const maxBytes = { ipv4: 65_507, ipv6: 65_527, unix: 2 ** 30, inproc: 0 } as const;

const encoder = new TextEncoder();

/** What a socket is made of. */
export interface SocketParts {
  readonly slot: number;
  readonly generation: number;
  readonly handlers: DatagramHandlers;
  readonly localAddress: SocketAddress;
  readonly remoteAddress: SocketAddress | null;
  readonly highWaterMark: number;
}

/** The class behind every {@linkcode DatagramSocket}. */
export class DatagramSocketHandle implements DatagramSocket {
  readonly loop: LoopState;
  readonly slot: number;
  readonly generation: number;
  readonly handlers: DatagramHandlers;
  readonly localAddress: SocketAddress;
  readonly remoteAddress: SocketAddress | null;
  readonly highWaterMark: number;
  /** Stands for the sender of whatever datagram is handled. */
  readonly source: DatagramSourceHandle;
  state: DatagramSocketState = "open";
  context: unknown = undefined;
  paused = false;
  isAborted = false;
  /** Why this side aborted, as the cause of the error. */
  abortReason: unknown = undefined;
  isRef = true;
  /** A `drain` is owed and asked for. */
  wantsDrain = false;

  readonly #queue: SubmissionQueue;
  readonly #pool: PoolHandle;
  readonly #words: Uint32Array;
  readonly #destinations: Destinations;
  readonly #maxBytes: number;
  /** Where native code keeps this socket's queued bytes. */
  readonly #queuedAt: number;

  constructor(loop: LoopState, parts: SocketParts) {
    this.loop = loop;
    this.slot = parts.slot;
    this.generation = parts.generation;
    this.handlers = parts.handlers;
    this.localAddress = parts.localAddress;
    this.remoteAddress = parts.remoteAddress;
    this.highWaterMark = parts.highWaterMark;
    this.source = new DatagramSourceHandle(loop.words);
    const { transport, family } = parts.localAddress;
    this.#destinations = new Destinations(transport, family);
    this.#maxBytes = maxBytes[family];
    this.#queue = loop.queue;
    this.#pool = loop.pool;
    this.#words = loop.words;
    this.#queuedAt = loop.socketQueuedAt + parts.slot;
  }

  get queuedBytes(): number {
    return this.state === "closed" ? 0 : this.#words[this.#queuedAt];
  }

  send(
    data: Sendable | readonly Sendable[],
    to?: DatagramSource | SocketAddress | Endpoint | string,
    options?: DatagramSendOptions,
  ): SendResult {
    if (this.state !== "open") throw this.#stale();
    const where = this.#receiver(to);
    const segment = options === undefined ? 0 : this.#segmentSize(options);
    // A getter of either may have closed the socket, or the loop.
    if (this.state !== "open") throw this.#stale();
    if (data instanceof LeaseHandle) return this.#sendLease(data, where, segment);
    if (typeof data === "string") return this.#sendText(data, where, segment);
    if (data instanceof Uint8Array) return this.#sendBytes(data, where, segment);
    if (Array.isArray(data)) return this.#sendParts(data, where, segment);
    throw wrongPart();
  }

  pause(): void {
    this.#setPaused(true);
  }

  resume(): void {
    this.#setPaused(false);
  }

  joinGroup(group: string, options: GroupOptions = {}): void {
    if (this.state !== "open") throw this.#stale();
    changeGroup(this, SocketAction.join, group, options);
  }

  leaveGroup(group: string, options: GroupOptions = {}): void {
    if (this.state !== "open") throw this.#stale();
    changeGroup(this, SocketAction.leave, group, options);
  }

  setOptions(settings: DatagramSettings): void {
    if (this.state !== "open") throw this.#stale();
    changeSettings(this, settings);
  }

  getOption(name: DatagramOptionName): number {
    if (this.state !== "open") throw this.#stale();
    return readSetting(this, name);
  }

  close(): void {
    if (this.state !== "open") return;
    this.state = "closing";
    this.#queue.handle(Operation.socket_close, this.slot, this.generation);
  }

  abort(): void {
    if (this.state === "closed" || this.isAborted) return;
    this.isAborted = true;
    this.state = "closing";
    this.#queue.handle(Operation.socket_abort, this.slot, this.generation);
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

  /** The handle is stale from now on. */
  expire(): void {
    this.unref();
    this.state = "closed";
    this.source.end();
  }

  /** The last thing that happens to a socket. */
  ended(error: IoError | null): void {
    this.expire();
    this.handlers.close?.(this, error);
  }

  #receiver(to: unknown): DatagramSourceHandle | Destination | null {
    if (to === undefined) {
      if (this.remoteAddress !== null) return null;
      throw new IoError("INVALID_ARGUMENT", "a datagram without a receiver", {
        advice: "Say where it goes, or bind the socket with `remote`.",
      });
    }
    if (this.remoteAddress !== null) {
      throw new IoError("INVALID_ARGUMENT", "a connected socket sends to its peer alone", {
        advice: "Leave the receiver out, or bind the socket without `remote`.",
      });
    }
    if (!(to instanceof DatagramSourceHandle)) {
      return this.#destinations.find(to as SocketAddress | string);
    }
    if (to !== this.source && !to.isOf(this.loop)) {
      throw new IoError("WRONG_LOOP", "the source of another loop's datagram", {
        advice: "Send to source.address.",
      });
    }
    this.#checkFamily(to.family);
    return to;
  }

  #checkFamily(family: number): void {
    const isUnix = this.localAddress.family === "unix";
    const isOurs = this.localAddress.family === "ipv6" || family !== AddressFamily.ipv6;
    if (family !== 0 && isUnix === (family === AddressFamily.unix) && isOurs) return;
    const what = family === 0 ? "a sender without a name" : "a sender of another address family";
    throw new IoError("INVALID_ARGUMENT", `${what} cannot be answered`, {
      advice: "Bind the sender to a path, or answer on a socket of its family.",
    });
  }

  #segmentSize(options: DatagramSendOptions): number {
    const { segmentSize } = checkOptions(options);
    if (segmentSize === undefined) return 0;
    const size = integerOption("segmentSize", segmentSize, 1, 65_535);
    if (this.localAddress.transport === "udp") return size;
    throw new IoError("INVALID_OPTION", "only udp: is sent in segments");
  }

  #sendLease(
    lease: LeaseHandle,
    where: DatagramSourceHandle | Destination | null,
    segment: number,
  ): SendResult {
    if (lease.pool !== this.#pool) throw new IoError("WRONG_LOOP", meaningOf("WRONG_LOOP"));
    if (lease.references === 0 && !lease.isBorrowed) throw staleLease();
    const length = lease.size;
    this.#checkLength(length);
    const queued = this.#words[this.#queuedAt];
    if (!this.#hasRoom(queued, length)) return this.#full(length, 0);
    const flags = lease.references > 0 ? send_flag_move : 0;
    const { buffer, bufferGeneration, offset } = lease;
    this.#submit(buffer, bufferGeneration, offset, length, flags, where, segment);
    lease.move();
    return queued === 0 ? "sent" : "queued";
  }

  #sendText(
    text: string,
    where: DatagramSourceHandle | Destination | null,
    segment: number,
  ): SendResult {
    const { scratch } = this.loop;
    // One UTF-16 unit is at most three bytes.
    const bytes = text.length * 3 > scratch.length
      ? encoder.encode(text)
      : scratch.subarray(0, encoder.encodeInto(text, scratch).written);
    return this.#sendBytes(bytes, where, segment);
  }

  #sendBytes(
    data: Uint8Array,
    where: DatagramSourceHandle | Destination | null,
    segment: number,
  ): SendResult {
    const length = data.length;
    if (length === 0) checkAttached(data);
    const buffer = this.#take(length);
    if (buffer < 0) return "full";
    const queued = this.#words[this.#queuedAt];
    const generation = this.#pool.takenGeneration;
    if (length > 0) this.#pool.fill(buffer, 0, data);
    this.#submit(buffer, generation, 0, length, send_flag_move, where, segment);
    return queued === 0 ? "sent" : "queued";
  }

  #sendParts(
    list: readonly unknown[],
    where: DatagramSourceHandle | Destination | null,
    segment: number,
  ): SendResult {
    const parts: readonly Part[] = partsOf(this.#pool, list);
    // A getter of the list may have closed the socket.
    if (this.state !== "open") throw this.#stale();
    const length = totalOf(parts);
    const buffer = this.#take(length);
    if (buffer < 0) return "full";
    const queued = this.#words[this.#queuedAt];
    const generation = this.#pool.takenGeneration;
    let at = 0;
    for (const part of parts) {
      const bytes = part instanceof LeaseHandle ? part.bytes : part;
      this.#pool.fill(buffer, at, bytes);
      at += bytes.length;
    }
    this.#submit(buffer, generation, 0, length, send_flag_move, where, segment);
    for (const part of parts) if (part instanceof LeaseHandle) part.release();
    return queued === 0 ? "sent" : "queued";
  }

  /** A buffer to copy a datagram to, or -1 after `full`. */
  #take(length: number): number {
    this.#checkLength(length);
    const pool = this.#pool;
    const bytes = Math.max(1, length);
    if (bytes > pool.slabBytes || pool.copyBytes(bytes) > pool.scriptBytes) {
      throw tooLarge(length, "the pool has no buffer for it", "Raise pool.maxBytes.");
    }
    const hasRoom = this.#hasRoom(this.#words[this.#queuedAt], length);
    const buffer = hasRoom ? pool.take(bytes) : -1;
    if (buffer < 0) this.#full(length, pool.copyBytes(bytes));
    return buffer;
  }

  #checkLength(length: number): void {
    if (length <= this.#maxBytes) return;
    const limit = `${this.localAddress.family} has ${this.#maxBytes} at most`;
    throw tooLarge(length, limit, "Send it in parts.");
  }

  #hasRoom(queued: number, length: number): boolean {
    if (queued > 0 && queued + length > this.highWaterMark) return false;
    return this.#words[Header.free_datagrams] > 0;
  }

  #submit(
    buffer: number,
    bufferGeneration: number,
    offset: number,
    length: number,
    flags: number,
    where: DatagramSourceHandle | Destination | null,
    segment: number,
  ): void {
    const entry = this.#queue.datagram(
      where === null ? flags : flags | send_flag_addressed,
      segment,
      this.slot,
      this.generation,
      buffer,
      bufferGeneration,
      offset,
      length,
    );
    if (where !== null) this.#writeAddress(where, entry);
    this.#words[this.#queuedAt] += length;
    this.#words[Header.free_datagrams] -= 1;
  }

  #writeAddress(where: DatagramSourceHandle | Destination, entry: number): void {
    const at = this.loop.addressAt(entry);
    if (where instanceof DatagramSourceHandle) return where.copyAddress(at);
    const { words } = where;
    for (let word = 0; word < words.length; word++) this.#words[at + word] = words[word];
  }

  #full(length: number, bufferBytes: number): SendResult {
    if (!this.wantsDrain) {
      this.wantsDrain = true;
      this.#queue.wantSocketDrain(this.slot, this.generation, length, bufferBytes);
    }
    return "full";
  }

  #setPaused(paused: boolean): void {
    if (this.state === "closed") throw this.#stale();
    if (this.paused === paused) return;
    this.paused = paused;
    if (this.state === "closing") return;
    const operation = paused ? Operation.socket_pause : Operation.socket_unpause;
    this.#queue.handle(operation, this.slot, this.generation);
  }

  #stale(): IoError {
    return new IoError("STALE_HANDLE", `the socket is ${this.state}`);
  }
}

function tooLarge(length: number, limit: string, advice: string): IoError {
  return new IoError("MESSAGE_TOO_LARGE", `a datagram of ${length} bytes: ${limit}`, { advice });
}
