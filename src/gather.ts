/**
 * Messages of several parts, and long ones that are copied to several buffers: all of it is taken,
 * or nothing.
 *
 * First everything is checked, then buffers for what has to be copied are taken, and only then is
 * anything submitted.
 *
 * @module
 */

import { IoError, meaningOf } from "./io_error.ts";
import { LeaseHandle, staleLease } from "./lease.ts";
import type { PoolHandle } from "./pool.ts";

/** Most parts of one message. */
const maxParts = 1_024;
const maxMessageBytes = 2 ** 30;

const encoder = new TextEncoder();

/** Neighbouring bytes, which are copied together. */
interface Run {
  readonly parts: Uint8Array[];
  length: number;
}

/** A buffer that was taken for a copy. */
interface Taken {
  readonly buffer: number;
  readonly generation: number;
  readonly length: number;
}

/** A message of several parts, checked. */
export class Gather {
  /** Bytes of the message. */
  length = 0;
  /** Places in the send queue that it needs. */
  places = 0;
  /** Bytes of buffers that it needs. */
  bufferBytes = 0;

  readonly #pool: PoolHandle;
  readonly #pieces: (LeaseHandle | Run)[] = [];
  readonly #taken: Taken[] = [];
  /** How often a lease stands in the list. */
  readonly #listed = new Map<LeaseHandle, number>();

  /** Throws, with nothing taken, when a part cannot be sent. */
  constructor(pool: PoolHandle, list: readonly unknown[]) {
    this.#pool = pool;
    if (list.length > maxParts) {
      throw new IoError("INVALID_ARGUMENT", `a message of ${list.length} parts`, {
        advice: `Send at most ${maxParts} parts at once.`,
      });
    }
    // A getter of the list may end leases: all of it is read before anything is checked.
    for (const part of Array.from(list)) this.#add(part);
    this.#measure();
  }

  /** Takes buffers and copies what has to be copied; false, with nothing taken, when it cannot. */
  take(): boolean {
    let isWhole = false;
    try {
      isWhole = this.#pieces.every((piece) => piece instanceof LeaseHandle || this.#copy(piece));
    } finally {
      // Also when a part cannot be read any more.
      if (!isWhole) this.#giveBack();
    }
    return isWhole;
  }

  #giveBack(): void {
    for (const { buffer, generation } of this.#taken) this.#pool.giveBack(buffer, generation);
  }

  /** Submits every part in order. */
  submit(
    lease: (lease: LeaseHandle) => void,
    copy: (buffer: number, generation: number, length: number) => void,
  ): void {
    let next = 0;
    for (const piece of this.#pieces) {
      if (piece instanceof LeaseHandle) {
        lease(piece);
        continue;
      }
      for (let left = piece.length; left > 0; next++) {
        const { buffer, generation, length } = this.#taken[next];
        copy(buffer, generation, length);
        left -= length;
      }
    }
  }

  #add(part: unknown): void {
    if (part instanceof LeaseHandle) {
      if (part.pool !== this.#pool) throw new IoError("WRONG_LOOP", meaningOf("WRONG_LOOP"));
      const listed = (this.#listed.get(part) ?? 0) + 1;
      if (!part.isLive || listed > part.rights) throw staleLease();
      this.#listed.set(part, listed);
      this.#pieces.push(part);
      this.length += part.size;
      return;
    }
    const bytes = typeof part === "string" ? encoder.encode(part) : part;
    if (!(bytes instanceof Uint8Array)) throw wrongPart();
    if (bytes.length === 0) return checkAttached(bytes);
    const last = this.#pieces.at(-1);
    if (last === undefined || last instanceof LeaseHandle) {
      this.#pieces.push({ parts: [bytes], length: bytes.length });
    } else {
      last.parts.push(bytes);
      last.length += bytes.length;
    }
    this.length += bytes.length;
  }

  #measure(): void {
    const pool = this.#pool;
    for (const piece of this.#pieces) {
      if (piece instanceof LeaseHandle) {
        if (piece.size > 0) this.places += 1;
      } else {
        this.places += Math.ceil(piece.length / pool.partBytes);
        this.bufferBytes += pool.copyBytes(piece.length);
      }
    }
    const { length, places, bufferBytes } = this;
    if (length > maxMessageBytes) {
      throw tooLarge(length, `a message has ${maxMessageBytes} at most`);
    }
    if (bufferBytes > pool.scriptBytes) {
      throw tooLarge(length, `the pool has ${pool.scriptBytes} for messages`);
    }
    if (places > pool.maxSends) {
      const limit = `${places} sends, and the loop queues ${pool.maxSends}`;
      throw tooLarge(length, limit, "Send it in parts, or raise the loop's entries.");
    }
  }

  #copy(run: Run): boolean {
    const pool = this.#pool;
    let part = 0;
    let from = 0;
    for (let left = run.length; left > 0;) {
      const length = Math.min(left, pool.partBytes);
      const buffer = pool.take(length);
      if (buffer < 0) return false;
      this.#taken.push({ buffer, generation: pool.takenGeneration, length });
      for (let at = 0; at < length;) {
        const bytes = run.parts[part].subarray(from, from + length - at);
        pool.fill(buffer, at, bytes);
        at += bytes.length;
        from += bytes.length;
        if (from < run.parts[part].length) continue;
        part += 1;
        from = 0;
      }
      left -= length;
    }
    return true;
  }
}

/** The error for a message that would never be taken. */
function tooLarge(length: number, limit: string, advice?: string): IoError {
  return new IoError("MESSAGE_TOO_LARGE", `a message of ${length} bytes: ${limit}`, { advice });
}

/** The error for something that cannot be sent. */
export function wrongPart(): IoError {
  return new IoError(
    "INVALID_ARGUMENT",
    "only a lease, a Uint8Array, a string or a list of these can be sent",
    { advice: "Pass a view: new Uint8Array(buffer)." },
  );
}

/** A detached view is empty, but it is a mistake and no empty message. */
export function checkAttached(data: Uint8Array): void {
  try {
    // Throws over a detached buffer; `detached` itself is younger than Node 20.
    new Uint8Array(data.buffer);
  } catch (error) {
    throw new IoError("INVALID_ARGUMENT", "the bytes were transferred away", {
      advice: "Send before the transfer, or send a copy.",
      cause: error,
    });
  }
}
