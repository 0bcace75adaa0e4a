// Many connections on one loop, both ends of each: idle ones, or reading ones, all of which get a
// message at the same time from both sides.

import process from "node:process";
import { type BackendName, type Connection, type ConnectionHandlers, Loop } from "../../mod.ts";

const [backend, idleText, readingText] = process.argv.slice(2);
const idle = Number(idleText);
const reading = Number(readingText);
const maxBytes = 16 << 20;
const loop = new Loop({
  backend: backend as BackendName,
  maxConnections: 2 * Math.max(idle, reading) + 8,
  pool: { maxBytes, slabBytes: 4 << 20, lock: false },
});

const conns: Connection[] = [];
let isOpen = 0;
let heldBytesMost = 0;
let echoed = 0;
let wrong = 0;
const text = "x".repeat(300);

/** Both ends say the same at once; whoever has heard it all is done. */
function talker(): ConnectionHandlers {
  let heard = 0;
  return {
    open: () => void (isOpen += 1),
    data(_, lease): void {
      heard += lease.length;
      if (!lease.bytes.every((byte) => byte === 120)) wrong += 1;
      if (heard === text.length) echoed += 1;
      heldBytesMost = Math.max(heldBytesMost, loop.pool.stats().heldBytes);
    },
  };
}

function until(done: () => boolean): void {
  for (let quiet = 0; !done(); quiet++) {
    if (quiet > 2_000) throw new Error("nothing moves any more");
    if (loop.turn(10_000) > 0) quiet = 0;
  }
}

const listener = loop.listen("tcp://127.0.0.1:0", {
  open(conn): void {
    isOpen += 1;
    conns.push(conn);
    conn.context = 0;
  },
  data(conn, lease): void {
    conn.context = (conn.context as number) + lease.length;
    if (conn.context === text.length) echoed += 1;
    heldBytesMost = Math.max(heldBytesMost, loop.pool.stats().heldBytes);
  },
});

function connect(count: number): void {
  for (let index = 0; index < count; index += 100) {
    for (let one = index; one < Math.min(count, index + 100); one++) {
      conns.push(loop.connect(listener.address, talker()));
    }
    until(() => isOpen >= 2 * Math.min(count, index + 100));
  }
}

let inUseWhileIdle = 0;
if (idle > 0) {
  connect(idle);
  loop.turn();
  inUseWhileIdle = loop.stats().buffersInUse;
} else {
  connect(reading);
  for (const conn of conns) {
    if (conn.send(text) === "full") wrong += 1;
  }
  until(() => echoed === 2 * reading);
}
console.log(JSON.stringify({ inUseWhileIdle, heldBytesMost, maxBytes, echoed, wrong }));
loop.close();
