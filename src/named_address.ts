/**
 * Host names in the place of an own address, for what is opened with a promise: a name is looked up
 * beside the loop, and of its addresses the first one that is this machine's is taken.
 *
 * @module
 */

import { type Endpoint, resolveEndpoint } from "./endpoint.ts";
import { familyOption } from "./host_name.ts";
import { IoError } from "./io_error.ts";
import { isLocalhost } from "./ip_address.ts";
import type { Loop } from "./loop.ts";
import { integerOption } from "./options.ts";
import { defaultResolveTimeoutMs } from "./resolve.ts";
import type { Transport } from "./socket_address.ts";
import { maxTimeoutMs } from "./stream_options.ts";

/** How a name in an endpoint is looked up. */
export interface NameOptions {
  /** Of a name's addresses those of one family only. By default both, IPv6 first. */
  family?: "ipv4" | "ipv6";
  /**
   * How long to wait for the addresses of a name, in milliseconds: 1 to 3,600,000. Default 5,000.
   */
  resolveTimeoutMs?: number;
}

/** What is looked up, on which loop and until when. */
export interface Asking extends NameOptions {
  readonly loop: Loop;
  readonly signal?: AbortSignal;
}

/** The endpoints that one stands for: itself, or the addresses of its name. */
export interface Candidates<Where> {
  /** The name as an endpoint; empty when there is none. */
  readonly text: string;
  /** In the order in which to try them, at least one. */
  readonly endpoints: readonly Where[];
}

/** Looks a name up where there is one. Throws as `resolveEndpoint`, rejects as `loop.resolve`. */
export async function candidatesOf<Where>(
  endpoint: Where,
  transports: readonly Transport[],
  { loop, family, resolveTimeoutMs = defaultResolveTimeoutMs, signal }: Asking,
): Promise<Candidates<Where | Endpoint>> {
  familyOption(family);
  const timeoutMs = integerOption("resolveTimeoutMs", resolveTimeoutMs, 1, maxTimeoutMs);
  const { name, text, port } = resolveEndpoint(endpoint as Endpoint, transports, true);
  if (name === "" || isLocalhost(name)) return { text: "", endpoints: [endpoint] };
  const addresses = await loop.resolve(name, { timeoutMs, family, signal });
  const transport = text.startsWith("tcp") ? "tcp" : "udp";
  return { text, endpoints: addresses.map(({ host }) => ({ transport, host, port })) };
}

/** What says that an address is not this machine's, or out of its reach: the next one may be. */
const elsewhere = new Set<string>([
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** Opens at the first candidate that is this machine's; any other error ends the search. */
export function openFirst<Where, Opened>(
  { text, endpoints }: Candidates<Where>,
  open: (endpoint: Where) => Opened,
): Opened {
  const errors: IoError[] = [];
  for (const endpoint of endpoints) {
    try {
      return open(endpoint);
    } catch (error) {
      const goesOn = text !== "" && error instanceof IoError && elsewhere.has(error.code);
      if (!goesOn) throw error;
      errors.push(error);
    }
  }
  const { code, advice, errno, syscall } = errors[0];
  const tried = errors.map(({ message }) => message).join("; ");
  const cause = errors.length === 1 ? errors[0] : new AggregateError(errors, tried);
  throw new IoError(code, `${text}: ${tried}`, { advice, errno, syscall, cause });
}
