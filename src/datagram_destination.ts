/**
 * Where datagrams go: addresses as native code takes them, made once for each that is used again.
 *
 * Strings are remembered, and addresses that the library made, which nobody can change. Any other
 * object is read each time.
 *
 * @module
 */

import { type Endpoint, resolveEndpoint } from "./endpoint.ts";
import { IoError } from "./io_error.ts";
import { Address, AddressFamily } from "./native/abi.ts";
import { type SocketAddress, type Transport, writeAddress } from "./socket_address.ts";

/** Strings of one socket that are remembered. */
const maxKnown = 1_024;

/** An address, word by word. */
export interface Destination {
  /** The words of an `Address`, as many as count. */
  readonly words: Uint32Array;
}

/** What the datagrams of one socket can be sent to. */
export class Destinations {
  readonly #transport: Transport;
  readonly #family: SocketAddress["family"];
  readonly #byText = new Map<string, Destination>();
  readonly #byAddress = new WeakMap<object, Destination>();

  constructor(transport: Transport, family: SocketAddress["family"]) {
    this.#transport = transport;
    this.#family = family;
  }

  /** Throws `INVALID_ENDPOINT`, `UNKNOWN_SCHEME` or `INVALID_ARGUMENT`. */
  find(to: string | Endpoint | SocketAddress): Destination {
    if (typeof to === "string") {
      const known = this.#byText.get(to);
      if (known !== undefined) return known;
      const made = this.#make(to);
      if (this.#byText.size === maxKnown) this.#byText.clear();
      this.#byText.set(to, made);
      return made;
    }
    const known = this.#byAddress.get(to);
    if (known !== undefined) return known;
    const made = this.#make(to);
    if (Object.isFrozen(to)) this.#byAddress.set(to, made);
    return made;
  }

  #make(to: string | Endpoint | SocketAddress): Destination {
    const resolved = resolveEndpoint(to, [this.#transport]);
    if (this.#transport === "udp" && resolved.port === 0) {
      throw new IoError("INVALID_ENDPOINT", `${resolved.text}: nothing can be sent to port 0`, {
        advice: "Send to the port in the receiver's localAddress.",
      });
    }
    if (this.#family === "ipv4" && resolved.family === AddressFamily.ipv6) {
      throw new IoError("INVALID_ARGUMENT", `${resolved.text} from a socket of IPv4`, {
        advice: "Bind to udp://[::]:0, which reaches both.",
      });
    }
    const words = new Uint32Array(Address.byte_length / 4);
    writeAddress(words, 0, resolved);
    const count = Address.bytes / 4 + Math.ceil(resolved.bytes.length / 4);
    return { words: words.subarray(0, count) };
  }
}
