// 256 MiB through one connection in both directions at once, both ends slow: `stream_256 BACKEND`.
// Every byte is compared. Prints what arrived and how memory grew, as one JSON object.

import { readFileSync } from "node:fs";
import process from "node:process";
import { type BackendName, type ConnectionHandlers, Loop } from "../../mod.ts";
import { ContentReader, ContentWriter } from "../support/streams.ts";

const total = 256 << 20;
/** From here on memory must not grow: every buffer was used once. */
const warm = 64 << 20;

/** The process's resident bytes. */
function residentBytes(): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))!;
  return Number(kilobytes) * 1024;
}

const loop = new Loop({ backend: process.argv[2] as BackendName });
const readers: ContentReader[] = [];
let mostQueued = 0;
let warmBytes = 0;
let peakBytes = 0;
let deliveries = 0;

function handlers(): ConnectionHandlers {
  const writer = new ContentWriter(total, 50_000);
  const reader = new ContentReader();
  readers.push(reader);
  return {
    open: (conn) => writer.write(conn),
    drain(conn): void {
      writer.write(conn);
      if (writer.isDone) conn.shutdown();
    },
    data(conn, lease): void {
      reader.read(lease.bytes);
      mostQueued = Math.max(mostQueued, conn.queuedBytes);
      deliveries += 1;
      if (deliveries % 1_024 === 0) measure();
      if (deliveries % 64 !== 0) return;
      conn.pause();
      loop.defer(() => loop.defer(() => conn.state === "open" && conn.resume()));
    },
    end(): void {},
  };
}

function measure(): void {
  const bytes = residentBytes();
  if (readers[0].received < warm) warmBytes = Math.max(warmBytes, bytes);
  else peakBytes = Math.max(peakBytes, bytes);
}

const listener = loop.listen("tcp://127.0.0.1:0", {
  ...handlers(),
  close: () => listener.close(),
});
const { highWaterMark } = loop.connect(listener.address, handlers());
await loop.run();
loop.turn();
const { buffersInUse, openConnections } = loop.stats();
console.log(JSON.stringify({
  received: readers.map((reader) => reader.received),
  grownBytes: peakBytes - warmBytes,
  isQueueBounded: mostQueued <= highWaterMark,
  lostBuffers: buffersInUse,
  openConnections,
}));
loop.close();
