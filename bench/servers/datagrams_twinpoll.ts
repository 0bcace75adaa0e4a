// UDP echo over twinpoll: the received buffer itself goes back to its sender. `--backend NAME`
// chooses how the loop waits; `--no-gso` gives each datagram to the kernel by itself.

import process from "node:process";
import { parseArgs } from "node:util";
import { openLoop } from "./open_loop.ts";
import { announce, portArgument } from "./protocol.ts";

const { values } = parseArgs({
  options: {
    "port": { type: "string" },
    "backend": { type: "string", default: "auto" },
    "buffer": { type: "string", default: "2048" },
    "no-gso": { type: "boolean", default: false },
  },
});

const loop = openLoop(values.backend, { pool: { bufferSize: Number(values.buffer) } });
if (loop !== undefined) {
  const ended = new AbortController();
  process.once("SIGTERM", () => ended.abort());
  const socket = loop.bind(`udp://127.0.0.1:${portArgument()}`, {
    message(socket, lease, source): void {
      socket.send(lease, source);
    },
  }, { receiveBufferBytes: 1 << 20, gso: !values["no-gso"] });
  announce(socket.localAddress.port);
  await loop.run({ signal: ended.signal });
  loop.close();
}
