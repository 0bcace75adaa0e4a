/**
 * Datagrams that are sent as a list of parts: checked before anything is taken.
 *
 * @module
 */

import { checkAttached, wrongPart } from "./gather.ts";
import { IoError, meaningOf } from "./io_error.ts";
import { LeaseHandle, staleLease } from "./lease.ts";
import type { PoolHandle } from "./pool.ts";

/** Most parts of one datagram. */
const maxParts = 1_024;

const encoder = new TextEncoder();

/** A part of a datagram. */
export type Part = LeaseHandle | Uint8Array;

/** Throws when a part cannot be sent. */
export function partsOf(pool: PoolHandle, list: readonly unknown[]): readonly Part[] {
  if (list.length > maxParts) {
    throw new IoError("INVALID_ARGUMENT", `a datagram of ${list.length} parts`, {
      advice: `Send at most ${maxParts} parts at once.`,
    });
  }
  const listed = new Map<LeaseHandle, number>();
  // A getter of the list may end leases: all of it is read before anything is checked.
  return Array.from(list).map((part) => {
    if (part instanceof LeaseHandle) {
      checkLease(pool, part, listed);
      return part;
    }
    const bytes = typeof part === "string" ? encoder.encode(part) : part;
    if (!(bytes instanceof Uint8Array)) throw wrongPart();
    if (bytes.length === 0) checkAttached(bytes);
    return bytes;
  });
}

function checkLease(pool: PoolHandle, lease: LeaseHandle, listed: Map<LeaseHandle, number>): void {
  if (lease.pool !== pool) throw new IoError("WRONG_LOOP", meaningOf("WRONG_LOOP"));
  const times = (listed.get(lease) ?? 0) + 1;
  if (!lease.isLive || times > lease.rights) throw staleLease();
  listed.set(lease, times);
}

/** Bytes of all parts. */
export function totalOf(parts: readonly Part[]): number {
  return parts.reduce((total, part) => total + (lengthOf(part)), 0);
}

function lengthOf(part: Part): number {
  return part instanceof LeaseHandle ? part.size : part.length;
}
