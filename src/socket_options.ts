/**
 * Options of the kernel's sockets, on their way to native code.
 *
 * @module
 */

import { option_unset, socket_option_count, SocketOption } from "./native/abi.ts";
import { booleanOption } from "./options.ts";

/** Options of the socket under a connection. */
export interface StreamSocketOptions {
  /** Small messages leave at once (`TCP_NODELAY`). Default true. */
  noDelay?: boolean;
}

/** Options of a listening socket alone. */
export interface ListenerSocketOptions {
  /** Lets several listeners share the port (`SO_REUSEPORT`). Default false. */
  reusePort?: boolean;
  /** Keeps an IPv6 listener from accepting IPv4 (`IPV6_V6ONLY`). Default false. */
  ipv6Only?: boolean;
}

/** Writes the `SocketOptions` at word `at` of a connection, or of those of a listener. */
export function writeStreamSocketOptions(
  words: Uint32Array,
  at: number,
  options: StreamSocketOptions,
): void {
  const { noDelay = true } = options;
  words.fill(option_unset, at, at + socket_option_count);
  words[at + SocketOption.no_delay] = Number(booleanOption("noDelay", noDelay));
}

/** Adds what only listeners have. */
export function writeListenerOptions(
  words: Uint32Array,
  at: number,
  options: ListenerSocketOptions,
): void {
  const { reusePort = false, ipv6Only = false } = options;
  words[at + SocketOption.reuse_address] = 1;
  if (booleanOption("reusePort", reusePort)) words[at + SocketOption.reuse_port] = 1;
  words[at + SocketOption.ipv6_only] = Number(booleanOption("ipv6Only", ipv6Only));
}
