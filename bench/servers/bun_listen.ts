// TCP echo over Bun.listen, as its documentation asks for: what `write` does not take is kept and
// written on `drain`, and no more is read meanwhile. Runs under Bun only.

import { announce, portArgument } from "./protocol.ts";

interface BunSocket {
  data: Uint8Array | undefined;
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  setNoDelay(on: boolean): void;
}

interface BunListenOptions {
  hostname: string;
  port: number;
  socket: {
    open(socket: BunSocket): void;
    data(socket: BunSocket, bytes: Uint8Array): void;
    drain(socket: BunSocket): void;
    error(socket: BunSocket, error: Error): void;
  };
}

declare const Bun: { listen(options: BunListenOptions): { readonly port: number } };

/** Writes what can be written and keeps the rest in `socket.data`. */
function write(socket: BunSocket, bytes: Uint8Array): boolean {
  const written = socket.write(bytes);
  socket.data = written < bytes.length ? bytes.subarray(Math.max(0, written)) : undefined;
  return socket.data === undefined;
}

const server = Bun.listen({
  hostname: "127.0.0.1",
  port: portArgument(),
  socket: {
    open: (socket) => socket.setNoDelay(true),
    data(socket, bytes): void {
      if (socket.data !== undefined) {
        // Read before the pause took effect.
        const joined = new Uint8Array(socket.data.length + bytes.length);
        joined.set(socket.data);
        joined.set(bytes, socket.data.length);
        socket.data = joined;
      } else if (!write(socket, bytes)) {
        socket.pause();
      }
    },
    drain(socket): void {
      if (socket.data !== undefined && write(socket, socket.data)) socket.resume();
    },
    error(): void {
      // The peer is gone; Bun closes the socket.
    },
  },
});
announce(server.port);
