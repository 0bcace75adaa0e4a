// A loop without the TypeScript side: native functions, and the shared region as plain words.

import assert from "node:assert/strict";
import type { BackendName } from "../../mod.ts";
import { resolveEndpoint } from "../../src/endpoint.ts";
import { readAddress, writeAddress } from "../../src/socket_address.ts";
import {
  BackendKind,
  Completion,
  ConnectOptions,
  Counters,
  Event,
  HandleEntry,
  Header,
  ListenOptions,
  LoopOptions,
  option_unset,
  SendEntry,
  socket_option_count,
  StreamOptions,
} from "../../src/native/abi.ts";
import { loadLibrary } from "../../src/native/library.ts";

const { functions, adapter } = loadLibrary();

/** Words of a submission. */
export const entryWords = HandleEntry.byte_length / 4;

/** An open loop with few and small buffers. */
export class RawLoop implements Disposable {
  readonly handle: number;
  readonly entries = 64;
  /** The submissions, to be written in place. */
  readonly submissions: Uint32Array;
  /** The shared region from its header on. */
  readonly words: Uint32Array;
  /** Generations of connections, by slot, and of buffers, by name, as far as they were reported. */
  readonly #connections: number[] = [];
  readonly #buffers = new Map<number, number>();
  /** Names of buffers, the last reported at the end. */
  readonly #names: number[] = [];
  readonly #completions: Uint32Array;

  constructor(backend: BackendName) {
    const options = new Uint32Array(LoopOptions.byte_length / 4);
    options[LoopOptions.size] = LoopOptions.byte_length;
    options[LoopOptions.backend] = BackendKind[backend];
    options[LoopOptions.entries] = this.entries;
    options[LoopOptions.buffer_size] = 512;
    options[LoopOptions.receive_buffers] = 8;
    options[LoopOptions.max_kib] = 64;
    options[LoopOptions.slab_kib] = 64;
    this.handle = functions.tp_loop_open(bytesOf(options), options.byteLength);
    assert.ok(this.handle >= 0, `tp_loop_open: ${this.handle}`);
    const pointer = functions.tp_loop_region(this.handle);
    const region = adapter.view(pointer, options[LoopOptions.shared_bytes]);
    const at = options[LoopOptions.submissions_offset];
    this.submissions = new Uint32Array(region, at, this.entries * entryWords);
    this.words = new Uint32Array(region);
    this.#completions = new Uint32Array(region, options[LoopOptions.completions_offset]);
  }

  /** How many submissions were dropped so far. */
  get rejected(): number {
    const counters = new Float64Array(this.words.buffer, 8 * Header.counters);
    return counters[Counters.rejected];
  }

  /** Opens a listener and connections to it; returns its endpoint. */
  listenAndConnect(count: number): string {
    const listen = new Uint32Array(ListenOptions.byte_length / 4);
    listen[ListenOptions.size] = ListenOptions.byte_length;
    listen[ListenOptions.backlog] = 100;
    listen[ListenOptions.mode] = option_unset;
    writeAddress(listen, ListenOptions.address, resolveEndpoint("tcp://127.0.0.1:0"));
    writeStream(listen, ListenOptions.stream);
    const slot = functions.tp_listen(this.handle, bytesOf(listen), listen.byteLength);
    assert.ok(slot >= 0, `tp_listen: ${slot}`);
    const generation = this.words[Header.result_generation];
    assert.equal(functions.tp_listener_address(this.handle, slot, generation), 0);
    const { host, port } = readAddress(this.words, Header.address);
    const endpoint = `tcp://${host}:${port}`;
    for (let index = 0; index < count; index++) this.connect(endpoint);
    return endpoint;
  }

  /** Starts to connect; the slot or a status. */
  connect(endpoint: string): number {
    const connect = new Uint32Array(ConnectOptions.byte_length / 4);
    connect[ConnectOptions.size] = ConnectOptions.byte_length;
    writeAddress(connect, ConnectOptions.address, resolveEndpoint(endpoint));
    writeStream(connect, ConnectOptions.stream);
    const slot = functions.tp_connect(this.handle, bytesOf(connect), connect.byteLength);
    if (slot >= 0) this.#connections[slot] = this.words[Header.result_generation];
    return slot;
  }

  /** Takes a buffer; its name or a status. */
  takeBuffer(bytes = 512): number {
    const buffer = functions.tp_buffer_take(this.handle, bytes);
    if (buffer >= 0) this.#note(buffer, this.words[Header.result_generation]);
    return buffer;
  }

  /** A turn that waits only a moment; the number of completions or a status. */
  turn(submissions = 0, flags = 0): number {
    const count = functions.tp_loop_turn(this.handle, submissions, 20, flags);
    for (let index = 0; index < count; index++) {
      const at = index * Completion.byte_length / 4;
      const words = this.#completions;
      const event = words[at + Completion.event];
      if (event === Event.open || event === Event.data) {
        this.#connections[words[at + Completion.slot]] = words[at + Completion.generation];
      }
      if (event !== Event.data) continue;
      this.#note(words[at + Completion.buffer], words[at + Completion.buffer_generation]);
    }
    return count;
  }

  #note(buffer: number, generation: number): void {
    this.#buffers.set(buffer, generation);
    this.#names.push(buffer);
    if (this.#names.length > 20) this.#names.shift();
  }

  /**
   * A submission as it is, but where its buffer is a small number with one that was reported, and
   * where its generations are 0 with those that are valid now.
   */
  aimed(entry: readonly number[]): number[] {
    const words = [...entry];
    words[SendEntry.buffer] = this.#names[words[SendEntry.buffer]] ?? words[SendEntry.buffer];
    if (words[SendEntry.generation] === 0) {
      words[SendEntry.generation] = this.#connections[words[SendEntry.slot]] ?? 0;
    }
    if (words[SendEntry.buffer_generation] === 0) {
      words[SendEntry.buffer_generation] = this.#buffers.get(words[SendEntry.buffer]) ?? 0;
    }
    return words;
  }

  [Symbol.dispose](): void {
    assert.equal(functions.tp_loop_close(this.handle), 0);
  }
}

function writeStream(words: Uint32Array, at: number): void {
  words[at + StreamOptions.high_water_mark] = 2_048;
  words[at + StreamOptions.linger_timeout_ms] = 20;
  words[at + StreamOptions.receive_credits] = 4;
  const options = at + StreamOptions.socket;
  words.fill(option_unset, options, options + socket_option_count);
}

/** A struct as native functions take it. */
export function bytesOf(words: Uint32Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(words.buffer);
}
