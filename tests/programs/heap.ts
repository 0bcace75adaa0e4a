// A million echoes of 64 bytes with the bare handlers: `heap BACKEND`. Prints how many bytes the
// heap of the script grew by them, after a collection each time, as one JSON object.

import process from "node:process";
import { type BackendName, Loop } from "../../mod.ts";

const echoes = 1_000_000;
const connections = 64;

/** The script's heap after a collection. */
function heapBytes(): number {
  const host = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };
  for (let pass = 0; pass < 3; pass++) {
    if (host.Bun !== undefined) host.Bun.gc(true);
    else host.gc!();
  }
  return process.memoryUsage().heapUsed;
}

const loop = new Loop({ backend: process.argv[2] as BackendName });
let count = 0;
let wanted = 0;

const listener = loop.listen("tcp://127.0.0.1:0", { data: (conn, lease) => void conn.send(lease) });
for (let index = 0; index < connections; index++) {
  loop.connect(listener.address, {
    open: (conn) => void conn.send(new Uint8Array(64)),
    data(conn, lease): void {
      count += 1;
      if (count >= wanted) loop.stop();
      conn.send(lease);
    },
  });
}

/** Runs until `more` further echoes are done. */
async function echo(more: number): Promise<void> {
  wanted = count + more;
  await loop.run();
}

await echo(200_000);
const before = heapBytes();
await echo(echoes);
const after = heapBytes();
console.log(JSON.stringify({ isDone: count >= wanted, grownBytes: after - before }));
loop.close();
