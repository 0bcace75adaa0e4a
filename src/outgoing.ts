/**
 * Bytes of any length on their way into a connection that takes only so many at a time.
 *
 * Invariants: one write waits at most; its bytes are read again while it waits, and must not be
 * changed before its end is told; bytes are sent in order, each once.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { IoError } from "./io_error.ts";

/** What is handed on at once: a buffer of a size class of its own. */
const usualPieceBytes = 65_536;
/** Bytes of UTF-8 that a UTF-16 unit becomes at most. */
const bytesPerUnit = 3;

const encoder = new TextEncoder();

/** Tells the end of a write that had to wait. */
export type WriteEnd = (error: unknown) => void;

/** The writes of one connection. */
export class Outgoing {
  readonly #conn: Connection;
  readonly #pieceBytes: number;
  /** What waits, and how much of it was taken. */
  #rest: Uint8Array | null = null;
  #length = 0;
  #taken = 0;
  #end: WriteEnd | null = null;

  constructor(conn: Connection) {
    this.#conn = conn;
    this.#pieceBytes = Math.min(usualPieceBytes, Math.floor(conn.highWaterMark / 2));
  }

  /** Whether a write waits for room. */
  get isWaiting(): boolean {
    return this.#rest !== null;
  }

  /**
   * Sends all of `data`, now or as room appears.
   *
   * @returns True when everything was taken; otherwise `wait` tells when it is.
   * @throws {IoError} What `send` throws; `BUSY` while an earlier write waits.
   */
  write(data: Uint8Array | string): boolean {
    if (this.isWaiting) {
      throw new IoError("BUSY", "an earlier write waits for room", {
        advice: "Await each write before the next one.",
      });
    }
    if (typeof data === "string") {
      const isShort = data.length * bytesPerUnit <= this.#pieceBytes;
      if (isShort && this.#conn.send(data) !== "full") return true;
      data = encoder.encode(data);
    } else if (!(data instanceof Uint8Array)) {
      throw new IoError("INVALID_ARGUMENT", "only a Uint8Array or a string can be written");
    }
    const taken = this.#send(data, 0);
    if (taken === data.length) return true;
    this.#rest = data;
    this.#length = data.length;
    this.#taken = taken;
    return false;
  }

  /** Has `end` called once the write that waits has ended, with null or what went wrong. */
  wait(end: WriteEnd): void {
    this.#end = end;
  }

  /** There is room again. */
  drained(): void {
    const rest = this.#rest;
    if (rest === null) return;
    try {
      if (rest.length !== this.#length) {
        throw new IoError("INVALID_ARGUMENT", "bytes were transferred away while they waited");
      }
      this.#taken = this.#send(rest, this.#taken);
      if (this.#taken === this.#length) this.fail(null);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Ends the write that waits, if one does. */
  fail(error: unknown): void {
    const end = this.#end;
    this.#rest = null;
    this.#end = null;
    end?.(error);
  }

  /** Sends from byte `taken` on; how many are taken then. */
  #send(data: Uint8Array, taken: number): number {
    const pieceBytes = this.#pieceBytes;
    if (data.length <= pieceBytes && taken === 0) {
      return this.#conn.send(data) === "full" ? 0 : data.length;
    }
    while (taken < data.length) {
      const piece = data.subarray(taken, taken + pieceBytes);
      if (this.#conn.send(piece) === "full") break;
      taken += piece.length;
    }
    return taken;
  }
}
