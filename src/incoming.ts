/**
 * Bytes of a connection that arrived before somebody asked for them.
 *
 * They stay in the pool's buffers, as leases, until they are copied out, once. Invariants: bytes
 * leave in the order in which they came; beyond `readAhead` bytes the connection is paused, and it
 * goes on at half of that; once the connection has ended nothing here is in the pool any more, so
 * that a stream that is forgotten costs no buffer.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import type { ConnectionHandle } from "./connection_handle.ts";
import type { Lease } from "./lease.ts";

/** A connection with many short messages is paused at so many of them. */
const mostPieces = 64;
/** The longest chunk that is made of what has come together. */
const mostChunkBytes = 65_536;

/** What one connection has received and nobody has taken. */
export class Incoming {
  /** Bytes that wait. */
  bytes = 0;
  readonly #conn: Connection;
  readonly #readAhead: number;
  readonly #pieces: (Lease | Uint8Array)[] = [];
  /** Bytes of the first piece that were taken already. */
  #taken = 0;
  /** Nothing is to be read for now, whatever waits. */
  #isHeld = false;

  constructor(conn: Connection, readAhead: number) {
    this.#conn = conn;
    this.#readAhead = readAhead;
  }

  /** Keeps a delivery of which the first `taken` bytes were taken; more than 0 only when empty. */
  keep(lease: Lease, taken: number): void {
    if (this.bytes === 0) this.#taken = taken;
    this.#pieces.push(lease.retain());
    this.bytes += lease.length - taken;
    this.#pauseOrResume();
  }

  /** Moves bytes to `target` as far as they go; their number. */
  readInto(target: Uint8Array): number {
    let count = 0;
    while (count < target.length && this.bytes > 0) {
      const piece = this.#pieces[0];
      const bytes = piece instanceof Uint8Array ? piece : piece.bytes;
      const length = Math.min(target.length - count, bytes.length - this.#taken);
      const isWhole = length === bytes.length;
      target.set(isWhole ? bytes : bytes.subarray(this.#taken, this.#taken + length), count);
      count += length;
      this.bytes -= length;
      this.#taken += length;
      if (this.#taken === bytes.length) this.#dropFirst();
    }
    this.#pauseOrResume();
    return count;
  }

  /** What waits, in memory of its own; at most 64 KiB. */
  take(): Uint8Array<ArrayBuffer> {
    const chunk = new Uint8Array(Math.min(this.bytes, mostChunkBytes));
    this.readInto(chunk);
    return chunk;
  }

  /** Reads nothing, or goes on. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#pauseOrResume();
  }

  /** The connection has ended: what waits moves to memory of its own. */
  detach(): void {
    for (const [index, piece] of this.#pieces.entries()) {
      if (piece instanceof Uint8Array) continue;
      // The loop was closed, and its buffers are gone.
      if (piece.released) return this.drop();
      this.#pieces[index] = piece.copy();
      piece.release();
    }
  }

  /** Nobody will ask for anything any more. */
  drop(): void {
    while (this.#pieces.length > 0) this.#dropFirst();
    this.bytes = 0;
    this.#isHeld = false;
    this.#pauseOrResume();
  }

  #dropFirst(): void {
    const piece = this.#pieces.shift();
    if (piece !== undefined && !(piece instanceof Uint8Array)) piece[Symbol.dispose]();
    this.#taken = 0;
  }

  #pauseOrResume(): void {
    const conn = this.#conn as ConnectionHandle;
    // What a relay has, it reads.
    if (conn.state !== "open" || conn.relay !== null) return;
    const limit = conn.paused ? 2 : 1;
    const isFull = this.bytes >= this.#readAhead / limit ||
      this.#pieces.length >= mostPieces / limit;
    if (this.#isHeld || isFull) conn.pause();
    else conn.resume();
  }
}
