/**
 * From completions of segmented connections to their `message` handlers.
 *
 * A message within one buffer costs what `data` costs. Where the segmenter is a function it is
 * asked here, over bytes that native code lends, and native code is told where messages end.
 *
 * @module
 */

import type { ConnectionHandle } from "./connection_handle.ts";
import { IoError } from "./io_error.ts";
import type { Lease, LeaseHandle } from "./lease.ts";
import type { LoopState } from "./loop_state.ts";
import { Completion, segment_flag_invalid } from "./native/abi.ts";
import type { CheckedSegmenter, SegmentFunction } from "./segmenter.ts";
import { show } from "./show.ts";

/** Words of a completion. */
export const completionWords: number = Completion.byte_length / 4;
const maxNeeded = 0xffff_ffff;

/** What follows the first part of a message that has only one. */
const noRest: readonly Lease[] = Object.freeze([]);

/** A message whose first part is at `at` and that has `more` parts after it. */
export function message(loop: LoopState, conn: ConnectionHandle, at: number, more: number): void {
  if (more > 0) return scatteredMessage(loop, conn, at, more);
  const { words } = loop;
  deliver(
    loop,
    conn,
    words[at + Completion.buffer],
    words[at + Completion.buffer_generation],
    words[at + Completion.offset],
    words[at + Completion.length],
  );
}

function deliver(
  loop: LoopState,
  conn: ConnectionHandle,
  buffer: number,
  bufferGeneration: number,
  offset: number,
  length: number,
): void {
  const lease = loop.pool.borrow(buffer, bufferGeneration, offset, length);
  loop.currentLease = lease;
  loop.answering = conn;
  conn.handlers.message?.(conn, lease, noRest);
  loop.answering = null;
  lease.expire();
}

function scatteredMessage(
  loop: LoopState,
  conn: ConnectionHandle,
  at: number,
  more: number,
): void {
  const leases = borrowParts(loop, at, more + 1);
  const [first, ...rest] = leases;
  loop.answering = conn;
  try {
    conn.handlers.message?.(conn, first, rest);
  } finally {
    loop.answering = null;
    for (const lease of leases) lease.expire();
  }
}

/** A lease for each part that has bytes, or one for a message without any. */
function borrowParts(loop: LoopState, at: number, count: number): LeaseHandle[] {
  const { words, pool } = loop;
  const leases: LeaseHandle[] = [];
  for (let part = 0; part < count; part++) {
    const place = at + part * completionWords;
    const length = words[place + Completion.length];
    if (length === 0 && (leases.length > 0 || part + 1 < count)) continue;
    leases.push(pool.borrowApart(
      words[place + Completion.buffer],
      words[place + Completion.buffer_generation],
      words[place + Completion.offset],
      length,
    ));
  }
  return leases;
}

/** Bytes of which the connection's function tells where messages end. */
export function unsegmented(loop: LoopState, conn: ConnectionHandle, at: number): void {
  const { words, pool } = loop;
  const { segmenter } = conn;
  if (segmenter === null || segmenter.segment === null) return;
  const buffer = words[at + Completion.buffer];
  const bufferGeneration = words[at + Completion.buffer_generation];
  const offset = words[at + Completion.offset];
  const length = words[at + Completion.length];
  let needed = 0;
  conn.consumed = 0;
  try {
    while (conn.consumed < length) {
      const from = offset + conn.consumed;
      const left = length - conn.consumed;
      needed = ask(segmenter, pool.view(buffer, from, left));
      if (needed <= 0 || needed > left) break;
      // A handler that sets another segmenter goes on behind this message.
      conn.consumed += needed;
      deliver(loop, conn, buffer, bufferGeneration, from, needed);
      needed = 0;
      if (conn.state !== "open" || conn.segmenter !== segmenter) return;
    }
    const flags = needed < 0 ? segment_flag_invalid : 0;
    const { slot, generation, consumed } = conn;
    loop.queue.segment(slot, generation, consumed, Math.max(0, needed), flags);
  } finally {
    conn.consumed = 0;
  }
}

/** The message's length, at most what native code refuses as too large; 0 or negative for none. */
function ask(segmenter: CheckedSegmenter, bytes: Uint8Array): number {
  const length = checkLength((segmenter.segment as SegmentFunction)(bytes));
  return length > segmenter.maxLength ? maxNeeded : length;
}

function checkLength(length: unknown): number {
  if (typeof length === "number" && Number.isInteger(length)) return length;
  throw new IoError("INVALID_ARGUMENT", `a segmenter answered ${show(length)}`, {
    advice: "Answer the message's length in bytes, Segment.needMore or Segment.invalid.",
  });
}
