// UDP echo over node:dgram, with the largest receive buffer that the system gives it.

import { createSocket } from "node:dgram";
import { announce, portArgument } from "./protocol.ts";

const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
socket.on("message", (message, { port, address }) => socket.send(message, port, address));
socket.bind(portArgument(), "127.0.0.1", () => announce(socket.address().port));
