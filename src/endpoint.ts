/**
 * Endpoints: where to listen and what to connect to.
 *
 * A string such as `tcp://[::1]:7000` and an object say the same. Addresses are numeric, so nothing
 * here waits; the only name is `localhost`, which is 127.0.0.1.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import { Address } from "./native/abi.ts";
import { show } from "./show.ts";

/** The object form of an endpoint: `{ transport: "tcp", host: "127.0.0.1", port: 7000 }`. */
export interface Endpoint {
  /** What the connection speaks. */
  readonly transport: "tcp";
  /**
   * An IPv4 address, an IPv6 address without brackets (`fe80::1%2` with a numeric scope), or
   * `localhost`, which is 127.0.0.1.
   */
  readonly host: string;
  /** 0 to 65,535; 0 listens on a free port and cannot be connected to. */
  readonly port: number;
}

/** A numeric socket address. It is an {@linkcode Endpoint} as well. */
export interface SocketAddress extends Endpoint {
  /** Which kind of address `host` is. */
  readonly family: "ipv4" | "ipv6";
}

/** An endpoint as native code takes it. */
export interface ResolvedEndpoint {
  /** Canonical text, for error messages. */
  readonly text: string;
  readonly family: 4 | 6;
  readonly port: number;
  readonly scope: number;
  /** Network order; an IPv4 address uses the first four. */
  readonly bytes: Uint8Array;
}

/** Reads either form. Throws `INVALID_ENDPOINT` or `UNKNOWN_SCHEME`. */
export function resolveEndpoint(endpoint: string | Endpoint): ResolvedEndpoint {
  const { transport, host, port } = typeof endpoint === "string"
    ? splitEndpoint(endpoint)
    : checkObjectForm(endpoint);
  if (transport !== "tcp") {
    throw new IoError(
      "UNKNOWN_SCHEME",
      `endpoint ${showEndpoint(endpoint)}: no transport ${transport}`,
      {
        advice: "Use tcp://host:port.",
      },
    );
  }
  const address = parseHost(host);
  if (address === null) {
    const isName = /^[a-z0-9._-]*[a-z_-][a-z0-9._-]*$/i.test(host);
    const advice = isName
      ? "Resolve the name first (node:dns/promises lookup) and pass the address."
      : "Use an address such as 127.0.0.1 or [::1].";
    throw invalid(endpoint, `${JSON.stringify(host)} is not an address`, advice);
  }
  const text = formatAddress({ transport, port, ...describe(address) });
  return { text, port, ...address };
}

/** `tcp://127.0.0.1:7000`, `tcp://[::1]:7000`. */
export function formatAddress(address: SocketAddress): string {
  const host = address.family === "ipv6" ? `[${address.host}]` : address.host;
  return `${address.transport}://${host}:${address.port}`;
}

/** Writes `endpoint` into the `Address` at word `at`. */
export function writeAddress(words: Uint32Array, at: number, endpoint: ResolvedEndpoint): void {
  words[at + Address.family] = endpoint.family;
  words[at + Address.port] = endpoint.port;
  words[at + Address.scope] = endpoint.scope;
  const bytes = new Uint8Array(words.buffer, words.byteOffset + at * 4 + Address.bytes, 16);
  bytes.fill(0);
  bytes.set(endpoint.bytes);
}

/** Reads the `Address` at word `at`. */
export function readAddress(words: Uint32Array, at: number): SocketAddress {
  const family = words[at + Address.family] === 6 ? 6 : 4;
  const start = words.byteOffset + at * 4 + Address.bytes;
  const bytes = new Uint8Array(words.buffer, start, family === 6 ? 16 : 4);
  return {
    transport: "tcp",
    port: words[at + Address.port],
    ...describe({ family, bytes, scope: words[at + Address.scope] }),
  };
}

interface HostAddress {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
  readonly scope: number;
}

function splitEndpoint(endpoint: string): { transport: string; host: string; port: number } {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(endpoint);
  if (scheme === null) throw invalid(endpoint, "it has no scheme", "Write tcp://host:port.");
  const transport = scheme[1].toLowerCase();
  // Endpoints of other transports need not have a port.
  if (transport !== "tcp") return { transport, host: "", port: 0 };
  const authority = /^(?:\[([^\]]*)\]|([^:[\]/]*)):([0-9]{1,5})$/.exec(scheme[2]);
  if (authority === null) {
    throw invalid(
      endpoint,
      "it is not of the form tcp://host:port",
      "Give host and port and nothing after them; put an IPv6 address in brackets.",
    );
  }
  const [, bracketed, plain, port] = authority;
  if (bracketed !== undefined && !bracketed.includes(":")) {
    throw invalid(endpoint, "only IPv6 addresses stand in brackets", "Leave the brackets out.");
  }
  if (Number(port) > 65_535) {
    throw invalid(endpoint, `port ${port} is too large`, "Use a port from 0 to 65535.");
  }
  return { transport, host: bracketed ?? plain, port: Number(port) };
}

function checkObjectForm(endpoint: Endpoint): { transport: string; host: string; port: number } {
  if (typeof endpoint !== "object" || endpoint === null) {
    throw new IoError("INVALID_ENDPOINT", `an endpoint cannot be ${show(endpoint)}`, {
      advice: 'Pass "tcp://host:port" or { transport: "tcp", host, port }.',
    });
  }
  const { transport, host, port } = endpoint;
  if (typeof transport !== "string" || typeof host !== "string") {
    throw invalid(endpoint, "transport and host must be strings", "Give both as strings.");
  }
  if (transport === "tcp" && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    throw invalid(endpoint, `port ${show(port)} is not a port`, "Use an integer from 0 to 65535.");
  }
  return { transport, host, port };
}

function parseHost(host: string): HostAddress | null {
  if (host.toLowerCase() === "localhost") {
    return { family: 4, bytes: Uint8Array.of(127, 0, 0, 1), scope: 0 };
  }
  if (!host.includes(":")) {
    const bytes = parseIpv4(host);
    return bytes === null ? null : { family: 4, bytes, scope: 0 };
  }
  const [text, scopeText, ...rest] = host.split("%");
  if (rest.length > 0) return null;
  const scope = scopeText === undefined ? 0 : parseDecimal(scopeText, 0xffff_ffff);
  const bytes = parseIpv6(text);
  return bytes === null || scope === null ? null : { family: 6, bytes, scope };
}

/** Four decimal parts without leading zeros, which some readers take for octal. */
function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (let index = 0; index < 4; index++) {
    const value = parseDecimal(parts[index], 255);
    if (value === null) return null;
    bytes[index] = value;
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0], halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1], true) : [];
  if (head === null || tail === null) return null;
  const given = head.length + tail.length;
  if (halves.length === 1 ? given !== 16 : given > 14) return null;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of groups between colons; the last may be an IPv4 address if `isEnd`. */
function parseGroups(text: string, isEnd: boolean): number[] | null {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (isEnd && index === groups.length - 1 && group.includes(".")) {
      const embedded = parseIpv4(group);
      if (embedded === null) return null;
      bytes.push(...embedded);
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return null;
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function parseDecimal(text: string, maximum: number): number | null {
  if (!/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return null;
  const value = Number(text);
  return value <= maximum ? value : null;
}

function describe(address: HostAddress): { family: "ipv4" | "ipv6"; host: string } {
  if (address.family === 4) return { family: "ipv4", host: address.bytes.join(".") };
  const host = formatIpv6(address.bytes);
  return { family: "ipv6", host: address.scope === 0 ? host : `${host}%${address.scope}` };
}

/** The canonical text of RFC 5952. */
function formatIpv6(bytes: Uint8Array): string {
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) groups.push(bytes[index] << 8 | bytes[index + 1]);
  const isMapped = groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
  if (isMapped) return `::ffff:${bytes.slice(12).join(".")}`;
  let start = 0;
  let length = 1;
  for (let from = 0; from < 8; from++) {
    let to = from;
    while (to < 8 && groups[to] === 0) to++;
    if (to - from > length) [start, length] = [from, to - from];
  }
  const hex = groups.map((group) => group.toString(16));
  if (length === 1) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

function invalid(endpoint: string | Endpoint, why: string, advice: string): IoError {
  return new IoError("INVALID_ENDPOINT", `endpoint ${showEndpoint(endpoint)}: ${why}`, { advice });
}

function showEndpoint(endpoint: unknown): string {
  if (typeof endpoint !== "object" || endpoint === null) return show(endpoint);
  const { transport, host, port } = endpoint as Partial<Record<keyof Endpoint, unknown>>;
  return `{ transport: ${show(transport)}, host: ${show(host)}, port: ${show(port)} }`;
}
