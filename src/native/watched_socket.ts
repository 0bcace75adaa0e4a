/**
 * A `node:net` socket as wake source, for the runtimes whose sockets deliver from a descriptor.
 *
 * @module
 */

import { Socket } from "node:net";
import type { WakeSource } from "./adapter.ts";

/** Watches `descriptor` and takes it over. */
export function watchSocket(descriptor: number, onWake: () => void): WakeSource {
  const socket = new Socket({ fd: descriptor, readable: true, writable: false });
  socket.on("data", onWake);
  // The other end is native: it closes with the loop, and there is nobody to tell.
  socket.on("error", () => {});
  socket.unref();
  return {
    ref: (): void => void socket.ref(),
    unref: (): void => void socket.unref(),
    close: (): void => void socket.destroy(),
  };
}
