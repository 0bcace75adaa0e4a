/**
 * A stream's two directions as web streams.
 *
 * The readable keeps nothing: its high-water mark is 0, so it asks for bytes only when a reader
 * waits, and gets them straight from where they lie. Invariant: it counts as the stream's reader
 * from a pull that found nothing until it was given something.
 *
 * @module
 */

import type { IoError } from "./io_error.ts";
import type { Reader, StreamHandle } from "./stream_handle.ts";

type Chunk = Uint8Array<ArrayBuffer>;

/** Bytes that may wait in a writable, beside those that wait in its connection. */
const writableBytes = 65_536;

/** A readable and the way to end it. */
export interface ReadableEnd {
  readonly stream: ReadableStream<Chunk>;
  /** Nothing more will come, because of `error` unless it is null. */
  end(error: IoError | null): void;
}

/** A writable and the way to end it. */
export interface WritableEnd {
  readonly stream: WritableStream<Uint8Array | string>;
  /** Nothing more can be written. Does nothing when it was closed. */
  end(error: IoError): void;
}

/** What arrives on `stream`. */
export function makeReadable(stream: StreamHandle): ReadableEnd {
  return new ReadableSource(stream);
}

class ReadableSource implements ReadableEnd, Reader {
  readonly stream: ReadableStream<Chunk>;
  readonly #handle: StreamHandle;
  #controller!: ReadableByteStreamController;
  #isOver = false;
  /** A pull found nothing and was not answered yet. */
  #isAsking = false;
  /** A reader that asked may have left: the memory that it wanted filled is nobody's then. */
  #isDoubtful = false;

  constructor(handle: StreamHandle) {
    this.#handle = handle;
    this.stream = new ReadableStream({
      type: "bytes",
      start: (controller: ReadableByteStreamController): void => this.#start(controller),
      pull: (): void => this.#pull(),
      cancel: (): void => this.#cancel(),
    }, { highWaterMark: 0 });
  }

  take(bytes: Uint8Array): number {
    this.#handle.reader = null;
    // Its reader has left. The next one pulls again.
    if (!this.stream.locked) return 0;
    const view = this.#wantedView();
    this.#isAsking = false;
    if (view === null) {
      this.#controller.enqueue(bytes.slice());
      return bytes.length;
    }
    const count = Math.min(bytes.length, view.length);
    view.set(count === bytes.length ? bytes : bytes.subarray(0, count));
    this.#controller.byobRequest!.respond(count);
    return count;
  }

  end(error: IoError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#handle.reader === this) this.#handle.reader = null;
    const controller = this.#controller;
    if (error !== null) return controller.error(error);
    try {
      controller.close();
      // A BYOB read that waits ends with its own memory, empty.
      controller.byobRequest?.respond(0);
    } catch {
      // A view of larger elements was filled to the middle of one; its reader hears of it.
    }
  }

  #start(controller: ReadableByteStreamController): void {
    this.#controller = controller;
    const { incoming, isReadOver, readFailure } = this.#handle;
    if (incoming.bytes === 0 && isReadOver) this.end(readFailure);
  }

  #pull(): void {
    const handle = this.#handle;
    const { incoming } = handle;
    if (this.#isAsking) this.#isDoubtful = true;
    if (incoming.bytes > 0) {
      const view = this.#wantedView();
      this.#isAsking = false;
      if (view === null) this.#controller.enqueue(incoming.take());
      else this.#controller.byobRequest!.respond(incoming.readInto(view));
    } else if (!handle.isReadOver) {
      this.#isAsking = true;
      handle.reader = this;
    }
    if (incoming.bytes === 0 && handle.isReadOver) this.end(handle.readFailure);
  }

  #cancel(): void {
    this.#isOver = true;
    if (this.#handle.reader === this) this.#handle.reader = null;
    this.#handle.cancelRead();
  }

  /** The memory of the BYOB reader that waits, or null where a chunk has to be made. */
  #wantedView(): Chunk | null {
    const view = this.#controller.byobRequest?.view ?? null;
    if (view === null) this.#isDoubtful = false;
    if (view === null || this.#isDoubtful) return null;
    return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
  }
}

/** What `stream` sends. */
export function makeWritable(stream: StreamHandle): WritableEnd {
  return new WritableSink(stream);
}

class WritableSink implements WritableEnd {
  readonly stream: WritableStream<Uint8Array | string>;
  readonly #handle: StreamHandle;
  #controller!: WritableStreamDefaultController;
  /** An abort ends the writable by itself. */
  #isAborted = false;
  /** Whoever aborts it now, as a pipe does, aborts nothing. */
  #isOver = false;

  constructor(handle: StreamHandle) {
    this.#handle = handle;
    this.stream = new WritableStream<Uint8Array | string>({
      start: (controller): void => this.#start(controller),
      write: (chunk): Promise<void> | undefined => handle.writeChunk(chunk),
      close: (): void => handle.endWriting(),
    }, { highWaterMark: writableBytes, size: (chunk): number => chunk?.length ?? 1 });
  }

  end(error: IoError): void {
    this.#isOver = true;
    if (!this.#isAborted) this.#controller.error(error);
  }

  #start(controller: WritableStreamDefaultController): void {
    this.#controller = controller;
    const { signal } = controller;
    // Not as the sink's abort, which would wait for a write that waits for the peer.
    signal.addEventListener("abort", () => {
      if (this.#isOver) return;
      this.#isAborted = true;
      this.#handle.abort(signal.reason);
    });
  }
}
