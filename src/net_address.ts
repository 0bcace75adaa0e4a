/**
 * Addresses as `node:net` tells them.
 *
 * @module
 */

import type { SocketAddress } from "./socket_address.ts";

/** An address as `node:net` tells it. */
export interface AddressInfo {
  /** The numeric address. */
  address: string;
  /** `IPv4` or `IPv6`. */
  family: string;
  /** The port. */
  port: number;
}

/** What `read` tells; undefined for anything but an IP address, and where it is not known. */
export function describeAddress(read: () => SocketAddress | undefined): AddressInfo | undefined {
  let known: SocketAddress | undefined;
  try {
    known = read();
  } catch {
    return undefined;
  }
  if (known === undefined || known.host === "") return undefined;
  const family = known.family === "ipv6" ? "IPv6" : "IPv4";
  return { address: known.host, family, port: known.port };
}
