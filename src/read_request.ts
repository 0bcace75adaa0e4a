/**
 * A direct read of a stream that waits for bytes.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import type { Reader, StreamHandle } from "./stream_handle.ts";

type Chunk = Uint8Array<ArrayBuffer>;

/** One call of `stream.read`. */
export class ReadRequest implements Reader {
  readonly promise: Promise<Chunk | null>;
  readonly #stream: StreamHandle;
  readonly #into: Chunk | undefined;
  #resolve!: (chunk: Chunk | null) => void;
  #reject!: (error: unknown) => void;

  constructor(stream: StreamHandle, into: Chunk | undefined) {
    this.#stream = stream;
    this.#into = into;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  take(bytes: Uint8Array): number {
    this.#stream.reader = null;
    const into = this.#into;
    if (into === undefined) {
      this.#resolve(bytes.slice());
      return bytes.length;
    }
    if (into.length === 0) {
      const message = "read: the memory was transferred away while the read waited";
      this.#reject(new IoError("INVALID_ARGUMENT", message));
      return 0;
    }
    const count = Math.min(bytes.length, into.length);
    into.set(count === bytes.length ? bytes : bytes.subarray(0, count));
    this.#resolve(into.subarray(0, count));
    return count;
  }

  end(error: IoError | null): void {
    if (error === null) this.#resolve(null);
    else this.#reject(error);
  }
}
