// One-way streams over Bun.listen, as `bench/native/stream.zig` asks for them. Runs under Bun only.

import { announce, portArgument } from "./protocol.ts";
import { answer, isDownload, pattern } from "./stream_protocol.ts";

interface State {
  bytes: number;
  isKnown: boolean;
  isDownload: boolean;
}

interface BunSocket {
  data: State;
  write(bytes: Uint8Array): number;
  end(bytes?: Uint8Array): number;
  setNoDelay(on: boolean): void;
}

interface BunListenOptions {
  hostname: string;
  port: number;
  allowHalfOpen: boolean;
  socket: {
    open(socket: BunSocket): void;
    data(socket: BunSocket, bytes: Uint8Array): void;
    drain(socket: BunSocket): void;
    end(socket: BunSocket): void;
    error(socket: BunSocket, error: Error): void;
  };
}

declare const Bun: { listen(options: BunListenOptions): { readonly port: number } };

// Longer by a period, so that a stream goes on wherever a write ended.
const message = pattern();
const longer = new Uint8Array(message.length + 256);
longer.set(message);
longer.set(message.subarray(0, 256), message.length);

function pump(socket: BunSocket): void {
  for (;;) {
    const start = socket.data.bytes % 256;
    const written = socket.write(longer.subarray(start, start + message.length));
    if (written > 0) socket.data.bytes += written;
    if (written < message.length) return;
  }
}

const server = Bun.listen({
  hostname: "127.0.0.1",
  port: portArgument(),
  allowHalfOpen: true,
  socket: {
    open(socket): void {
      socket.data = { bytes: 0, isKnown: false, isDownload: false };
      socket.setNoDelay(true);
    },
    data(socket, bytes): void {
      const state = socket.data;
      if (state.isKnown) {
        state.bytes += bytes.length;
        return;
      }
      state.isKnown = true;
      state.isDownload = isDownload(bytes[0]);
      if (state.isDownload) pump(socket);
      else state.bytes += bytes.length - 1;
    },
    drain(socket): void {
      if (socket.data.isDownload) pump(socket);
    },
    end(socket): void {
      if (socket.data.isDownload) socket.end();
      else socket.end(answer(socket.data.bytes));
    },
    error(): void {
      // The peer is gone; Bun closes the socket.
    },
  },
});
announce(server.port);
