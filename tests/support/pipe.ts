// Pipes with the system's own descriptors, which no runtime gives out, from a native tool.

import assert from "node:assert/strict";
import { join } from "node:path";
import { loadLibrary } from "../../src/native/library.ts";
import { root } from "./runtime.ts";

/** A pipe that does not block. `using` closes both ends. */
export class Pipe implements Disposable {
  readonly read: number;
  readonly write: number;
  #readIsOpen = true;
  #writeIsOpen = true;

  constructor() {
    const ends = new Int32Array(2);
    assert.equal(tools().tp_probe(new Uint8Array(ends.buffer), ends.byteLength), 0);
    [this.read, this.write] = ends;
  }

  closeRead(): void {
    if (this.#readIsOpen) assert.equal(tools().tp_loop_close(this.read), 0);
    this.#readIsOpen = false;
  }

  closeWrite(): void {
    if (this.#writeIsOpen) assert.equal(tools().tp_loop_close(this.write), 0);
    this.#writeIsOpen = false;
  }

  [Symbol.dispose](): void {
    this.closeRead();
    this.closeWrite();
  }
}

/** Bytes read, or a negated error number. */
export function readDescriptor(descriptor: number, bytes: Uint8Array<ArrayBuffer>): number {
  return tools().tp_listen(descriptor, bytes, bytes.length);
}

/** Bytes written, or a negated error number. */
export function writeDescriptor(descriptor: number, text: string): number {
  const bytes = new TextEncoder().encode(text);
  return tools().tp_connect(descriptor, bytes, bytes.length);
}

function tools(): Tools {
  const path = join(root, "zig-out", "tools", "libpipes.so");
  bound ??= loadLibrary().adapter.bind(path, [
    "tp_probe",
    "tp_loop_close",
    "tp_listen",
    "tp_connect",
  ]);
  return bound;
}

type Tools = Pick<
  ReturnType<typeof loadLibrary>["functions"],
  "tp_probe" | "tp_loop_close" | "tp_listen" | "tp_connect"
>;

let bound: Tools | null = null;
