/**
 * Who sent a datagram, and what is known of its way.
 *
 * One object per socket stands for all of its datagrams: it reads the loop's shared memory when it
 * is asked, so that a datagram costs nothing that nobody looks at.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import { describeHost } from "./ip_address.ts";
import {
  Address,
  AddressFamily,
  datagram_ecn_shift,
  datagram_truncated,
  Source,
} from "./native/abi.ts";
import { readAddress, type SocketAddress } from "./socket_address.ts";

/** The sender of a datagram and its circumstances; valid while the `message` handler runs. */
export interface DatagramSource {
  /**
   * The sender, a new object that may be kept and sent to. Of a Unix socket without a name the path
   * is empty: it cannot be answered.
   *
   * @throws {IoError} `STALE_HANDLE` once the handler has returned.
   */
  readonly address: SocketAddress;
  /** Bytes of each but the last of the datagrams that the lease holds; 0 for one (see `gro`). */
  readonly segmentSize: number;
  /** The ECN bits, 0 to 3; 0 unless the socket was bound with `ecn`. */
  readonly ecn: number;
  /** The datagram was longer than a buffer of the pool has room for: its end is lost. */
  readonly truncated: boolean;
  /** The IP address that it was sent to, or null unless the socket was bound with `packetInfo`. */
  readonly localAddress: string | null;
  /** The index of the interface at which it came; 0 unless bound with `packetInfo`. */
  readonly interface: number;
}

/** The class behind every {@linkcode DatagramSource}. */
export class DatagramSourceHandle implements DatagramSource {
  readonly #words: Uint32Array;
  /** Where the `Source` of the datagram stands, or -1 outside of its handler. */
  #at = -1;
  #flags = 0;

  constructor(words: Uint32Array) {
    this.#words = words;
  }

  /** Whether it is one of the loop with that shared memory. */
  isOf({ words }: { readonly words: Uint32Array }): boolean {
    return words === this.#words;
  }

  /** A datagram is being handled: the word at which its `Source` stands, and its result. */
  begin(at: number, flags: number): void {
    this.#at = at;
    this.#flags = flags;
  }

  /** Its handler has returned. */
  end(): void {
    this.#at = -1;
  }

  get address(): SocketAddress {
    return Object.freeze(readAddress(this.#words, this.#live() + Source.address, "datagram"));
  }

  get segmentSize(): number {
    return this.#words[this.#live() + Source.segment_bytes];
  }

  get ecn(): number {
    this.#live();
    return this.#flags >>> datagram_ecn_shift & 3;
  }

  get truncated(): boolean {
    this.#live();
    return (this.#flags & datagram_truncated) !== 0;
  }

  get localAddress(): string | null {
    const words = this.#words;
    const at = this.#live();
    const family = words[at + Source.local_family];
    if (family === 0) return null;
    const length = family === AddressFamily.ipv6 ? 16 : 4;
    const bytes = new Uint8Array(words.buffer, words.byteOffset + at * 4 + Source.local, length);
    return describeHost({ family: length === 16 ? 6 : 4, bytes, scope: 0 }).host;
  }

  get interface(): number {
    return this.#words[this.#live() + Source.interface];
  }

  /** Its family, or 0 for a Unix socket that has no name. */
  get family(): number {
    const at = this.#live() + Source.address;
    const family = this.#words[at + Address.family];
    return family === AddressFamily.unix && this.#words[at + Address.length] === 0 ? 0 : family;
  }

  /** Copies the address to the `Address` at word `to`. */
  copyAddress(to: number): void {
    const words = this.#words;
    const from = this.#live() + Source.address;
    const family = words[from + Address.family];
    words[to + Address.family] = family;
    words[to + Address.port] = words[from + Address.port];
    words[to + Address.scope] = words[from + Address.scope];
    const length = words[from + Address.length];
    words[to + Address.length] = length;
    const first = Address.bytes / 4;
    words[to + first] = words[from + first];
    if (family === AddressFamily.ipv4) return;
    const bytes = family === AddressFamily.ipv6 ? 16 : length;
    for (let word = first + 1; word * 4 < Address.bytes + bytes; word++) {
      words[to + word] = words[from + word];
    }
  }

  #live(): number {
    if (this.#at >= 0) return this.#at;
    throw new IoError("STALE_HANDLE", "a datagram's source is valid while its handler runs", {
      advice: "Keep source.address, which is an object of its own.",
    });
  }
}
