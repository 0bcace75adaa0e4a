// UDP echo over twinpoll: the received buffer itself goes back to its sender. `--backend NAME`
// chooses how the loop waits; `--no-gso` gives each datagram to the kernel by itself, `--gro` takes
// those that came as one from it as one, which goes back as one.

import process from "node:process";
import { parseArgs } from "node:util";
import type { DatagramSocket, DatagramSource, Lease } from "../../mod.ts";
import { openLoop } from "./open_loop.ts";
import { announce, portArgument } from "./protocol.ts";

const { values } = parseArgs({
  options: {
    "port": { type: "string" },
    "backend": { type: "string", default: "auto" },
    "buffer": { type: "string", default: "2048" },
    "no-gso": { type: "boolean", default: false },
    "gro": { type: "boolean", default: false },
  },
});

/** Fits all that the kernel joins. */
const joinedBytes = 131_072;
const bufferSize = values.gro ? joinedBytes : Number(values.buffer);
const loop = openLoop(values.backend, { pool: { bufferSize } });
if (loop !== undefined) {
  const ended = new AbortController();
  process.once("SIGTERM", () => ended.abort());
  const socket = loop.bind(`udp://127.0.0.1:${portArgument()}`, {
    message: values.gro ? echoJoined : echo,
  }, { receiveBufferBytes: 1 << 20, gso: !values["no-gso"], gro: values.gro });
  announce(socket.localAddress.port);
  await loop.run({ signal: ended.signal });
  loop.close();
}

function echo(socket: DatagramSocket, lease: Lease, source: DatagramSource): void {
  socket.send(lease, source);
}

function echoJoined(socket: DatagramSocket, lease: Lease, source: DatagramSource): void {
  const { segmentSize } = source;
  if (segmentSize === 0) return echo(socket, lease, source);
  socket.send(lease, source, { segmentSize });
}
