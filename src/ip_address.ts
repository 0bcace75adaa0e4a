/**
 * Numeric IP addresses: from text to bytes and back.
 *
 * @module
 */

/** An IP address. */
export interface HostAddress {
  readonly family: 4 | 6;
  /** Network order, 4 or 16 bytes. */
  readonly bytes: Uint8Array;
  /** IPv6: an interface's index, 0 for none. */
  readonly scope: number;
}

/** Whether it is the name that every machine has for itself. */
export function isLocalhost(host: string): boolean {
  return host.toLowerCase() === "localhost";
}

/** An address as people write it; null when it is none. `localhost` is 127.0.0.1. */
export function parseHost(host: string): HostAddress | null {
  if (isLocalhost(host)) {
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

/** The canonical text of an address, and which kind it is. */
export function describeHost(address: HostAddress): { family: "ipv4" | "ipv6"; host: string } {
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
