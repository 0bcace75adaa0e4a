// Descriptors of every kind, which no runtime gives out, from a native tool.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { loadLibrary } from "../../src/native/library.ts";
import { root } from "./runtime.ts";

const kinds = { stream: 0, datagram: 1, blocking: 2, nonblocking: 3 } as const;

/** Two sockets of a kind: unconnected ones of TCP or UDP, or a connected pair of Unix sockets. */
export function makeSockets(kind: keyof typeof kinds): [number, number] {
  const ends = new Int32Array(2);
  assert.equal(tools().tp_listen(kinds[kind], new Uint8Array(ends.buffer), ends.byteLength), 0);
  return [ends[0], ends[1]];
}

/** Makes a stream socket of TCP one that listens, on a free port. */
export function makeListening(descriptor: number): void {
  assert.equal(tools().tp_watch_remove(descriptor, 64, 0), 0);
}

/** Another descriptor of the same thing. */
export function duplicate(descriptor: number): number {
  const copy = tools().tp_loop_arm(descriptor);
  assert.ok(copy >= 0);
  return copy;
}

/** Sends a byte over a Unix socket with `count` times the same descriptor. */
export function sendMany(socket: number, descriptor: number, count: number): void {
  assert.equal(tools().tp_listener_address(socket, descriptor, count), 1);
}

/** Closes descriptors; each must be open. */
export function closeAll(...descriptors: number[]): void {
  for (const descriptor of descriptors) assert.equal(tools().tp_loop_close(descriptor), 0);
}

/** How many descriptors this process has open. */
export function countDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

type Functions = ReturnType<typeof loadLibrary>["functions"];
const names = [
  "tp_listen",
  "tp_watch_remove",
  "tp_loop_arm",
  "tp_listener_address",
  "tp_loop_close",
] as const;
type Tools = Pick<Functions, typeof names[number]>;

let bound: Tools | null = null;

function tools(): Tools {
  const path = join(root, "zig-out", "tools", "libdescriptors.so");
  bound ??= loadLibrary().adapter.bind(path, names);
  return bound;
}
