/**
 * Socket addresses: what a listener is bound to and who a peer is, and their form in native memory.
 *
 * @module
 */

import { describeHost } from "./ip_address.ts";
import { Address, address_bytes_max, AddressFamily } from "./native/abi.ts";

/** What a connection or a socket speaks, which is an endpoint's scheme. */
export type Transport = "tcp" | "udp" | "unix" | "unix+datagram" | "inproc";

/** The address of one end, in one shape for all transports. It is an endpoint as well. */
export interface SocketAddress {
  /** What is spoken there. */
  readonly transport: Transport;
  /** Which kind of address it is. */
  readonly family: "ipv4" | "ipv6" | "unix" | "inproc";
  /** An IP address, an IPv6 one without brackets and with its scope; else empty. */
  readonly host: string;
  /** The port of an IP address; else 0. */
  readonly port: number;
  /**
   * The path of a Unix socket, its name behind an `@`, or an in-process name; empty for IP and for
   * a Unix socket that has none.
   */
  readonly path: string;
}

/** An address as native code takes it. */
export interface NativeAddress {
  /** 0 where a name stands for the address. */
  readonly family: AddressFamily | 0;
  readonly port: number;
  readonly scope: number;
  /** IP in network order, or a path or name. */
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes of a Unix path, or of a name behind an `@`. */
export function encodePath(path: string): Uint8Array {
  const bytes = encoder.encode(path);
  if (path.startsWith("@")) bytes[0] = 0;
  return bytes;
}

function decodePath(bytes: Uint8Array): string {
  if (bytes.length > 0 && bytes[0] === 0) return `@${decoder.decode(bytes.subarray(1))}`;
  return decoder.decode(bytes);
}

/** `tcp://127.0.0.1:7000`, `tcp://[::1]:7000`, `unix:/run/server.sock`, `inproc://name`. */
export function formatAddress(address: SocketAddress): string {
  const { transport, family, host, port, path } = address;
  if (family === "unix") return `${transport}:${path}`;
  if (family === "inproc") return `${transport}://${path}`;
  return `${transport}://${family === "ipv6" ? `[${host}]` : host}:${port}`;
}

/** Writes `address` into the `Address` at word `at`. */
export function writeAddress(words: Uint32Array, at: number, address: NativeAddress): void {
  const { family, bytes } = address;
  const isPath = family === AddressFamily.unix || family === AddressFamily.inproc;
  words[at + Address.family] = family;
  words[at + Address.port] = address.port;
  words[at + Address.scope] = address.scope;
  words[at + Address.length] = isPath ? bytes.length : 0;
  const start = words.byteOffset + at * 4 + Address.bytes;
  const room = new Uint8Array(words.buffer, start, address_bytes_max);
  room.fill(0);
  room.set(bytes);
}

/** Reads the `Address` at word `at`, which is one of a `stream` or of a datagram socket. */
export function readAddress(
  words: Uint32Array,
  at: number,
  kind: "stream" | "datagram" = "stream",
): SocketAddress {
  const family = words[at + Address.family];
  const start = words.byteOffset + at * 4 + Address.bytes;
  const isStream = kind === "stream";
  if (family === AddressFamily.unix || family === AddressFamily.inproc) {
    const bytes = new Uint8Array(words.buffer, start, words[at + Address.length]);
    const path = family === AddressFamily.unix ? decodePath(bytes) : decoder.decode(bytes);
    return family === AddressFamily.unix
      ? { transport: isStream ? "unix" : "unix+datagram", family: "unix", host: "", port: 0, path }
      : { transport: "inproc", family: "inproc", host: "", port: 0, path };
  }
  const version = family === AddressFamily.ipv6 ? 6 : 4;
  const bytes = new Uint8Array(words.buffer, start, version === 6 ? 16 : 4);
  return {
    transport: isStream ? "tcp" : "udp",
    port: words[at + Address.port],
    path: "",
    ...describeHost({ family: version, bytes, scope: words[at + Address.scope] }),
  };
}
