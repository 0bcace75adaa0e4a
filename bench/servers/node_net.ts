// TCP echo over node:net: write what was read, stop reading while the socket's buffer is full.

import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { announce, portArgument } from "./protocol.ts";

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("data", (bytes) => {
    if (socket.write(bytes)) return;
    socket.pause();
    socket.once("drain", () => socket.resume());
  });
  socket.on("error", () => socket.destroy());
});
server.listen({ host: "127.0.0.1", port: portArgument(), backlog: 4096 }, () => {
  announce((server.address() as AddressInfo).port);
});
