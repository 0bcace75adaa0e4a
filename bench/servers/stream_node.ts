// One-way streams over node:net, as `bench/native/stream.zig` asks for them.

import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { announce, portArgument } from "./protocol.ts";
import { answer, isDownload, pattern } from "./stream_protocol.ts";

const message = pattern();

function pump(socket: Socket): void {
  while (socket.writable && socket.write(message));
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
  let bytes = 0;
  let isKnown = false;
  socket.on("data", (data) => {
    bytes += data.length;
    if (isKnown) return;
    isKnown = true;
    bytes -= 1;
    if (!isDownload(data[0] as number)) return;
    socket.on("drain", () => pump(socket));
    pump(socket);
  });
  socket.on("end", () => socket.end(answer(bytes)));
  socket.on("error", () => socket.destroy());
});
server.listen({ host: "127.0.0.1", port: portArgument(), backlog: 4096 }, () => {
  announce((server.address() as AddressInfo).port);
});
