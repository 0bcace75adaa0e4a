// UDP echo over Bun.udpSocket.

import { announce, portArgument } from "./protocol.ts";

interface BunSocket {
  readonly port: number;
  send(data: Uint8Array, port: number, address: string): boolean;
}

interface BunGlobal {
  udpSocket(options: {
    hostname: string;
    port: number;
    socket: {
      error(error: Error): void;
      data(socket: BunSocket, data: Uint8Array, port: number, address: string): void;
    };
  }): Promise<BunSocket>;
}

const { udpSocket } = (globalThis as unknown as { Bun: BunGlobal }).Bun;
const socket = await udpSocket({
  hostname: "127.0.0.1",
  port: portArgument(),
  socket: {
    error(): void {},
    data(socket, data, port, address): void {
      try {
        socket.send(data, port, address);
      } catch {
        // It tells of receivers that are gone, and goes on.
      }
    },
  },
});
announce(socket.port);
