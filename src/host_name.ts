/**
 * Host names: which texts are some, and what native code is told of them.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import { parseHost } from "./ip_address.ts";
import { AddressFamily, name_bytes_max } from "./native/abi.ts";
import { choiceOption } from "./options.ts";
import { show } from "./show.ts";

/** Families that a name's addresses can be restricted to. */
const families = { ipv4: AddressFamily.ipv4, ipv6: AddressFamily.ipv6 } as const;

const longestName = 253;
const longestLabel = 63;
const label = /^(?!-)[a-z0-9_-]+(?<!-)$/i;

/** Why `name` is no host name, as the end of a sentence; null when it is one. */
export function wrongName(name: string): string | null {
  const text = name.endsWith(".") ? name.slice(0, -1) : name;
  if (text === "") return "it is empty";
  if (text.length > longestName) {
    return `it has ${text.length} letters, of which ${longestName} are allowed`;
  }
  const labels = text.split(".");
  for (const part of labels) {
    if (part === "") return "two dots have nothing between them";
    if (part.length > longestLabel) {
      return `${show(part)} is longer than ${longestLabel} letters`;
    }
    if (!label.test(part)) return `${show(part)} is not made of letters, digits and hyphens`;
  }
  return /^[0-9]+$/.test(labels[labels.length - 1]) ? "it ends with a number" : null;
}

/** Throws `INVALID_NAME` unless `name` is a host name or an address. */
export function checkName(name: unknown): string {
  const why = typeof name === "string" ? parseHost(name) ? null : wrongName(name) : "no string";
  if (why === null) return name as string;
  throw new IoError("INVALID_NAME", `${show(name)} is no host name: ${why}`);
}

/** The number of a family that an option names, 0 for both. */
export function familyOption(family: unknown): number {
  return family === undefined ? 0 : choiceOption("family", family, families);
}

const encoder = new TextEncoder();

/** Writes a name where native code reads it; `at` in bytes. Its length. */
export function writeName(words: Uint32Array, at: number, name: string): number {
  const room = new Uint8Array(words.buffer, words.byteOffset + at, name_bytes_max);
  return encoder.encodeInto(name, room).written;
}
