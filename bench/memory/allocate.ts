// What a buffer costs a program: taking one from the loop's pool and giving it back, and a new
// Uint8Array for comparison. Prints one line of JSON per figure; times are this process's own
// processor time, which the turns that take the releases are part of.

import process from "node:process";
import { Loop } from "../../mod.ts";

const [seconds = "0.05"] = process.argv.slice(2);
const visitMs = Number(seconds) * 1000;
const sizes = [512, 4096, 16_384, 65_536, 1 << 20];
const rounds = 7;
const batch = 1024;
/** Buffers from one turn to the next, less one. Under Node releases wait for the turn. */
const turnMask = 63;

/** What was made last: without it a compiler could leave out the making. */
let sink = 0;

function takeFromPool(loop: Loop, bytes: number): void {
  for (let count = 0; count < batch; count++) {
    const lease = loop.allocate(bytes);
    if (lease === undefined) throw new Error("no buffer");
    sink += lease.length;
    lease.release();
    if ((count & turnMask) === turnMask) loop.turn();
  }
}

function makeArrays(bytes: number): void {
  for (let count = 0; count < batch; count++) sink += new Uint8Array(bytes).length;
}

/** Nanoseconds of processor time per buffer. */
function visit(work: () => void): number {
  const start = process.cpuUsage();
  for (let count = batch;; count += batch) {
    work();
    const { user, system } = process.cpuUsage(start);
    if (user + system >= visitMs * 1000) return (user + system) * 1000 / count;
  }
}

function median(values: number[]): number {
  return values.sort((left, right) => left - right)[values.length >> 1];
}

const loop = new Loop({ maxConnections: 64 });
for (const bytes of sizes) {
  const pool: number[] = [];
  const array: number[] = [];
  visit(() => takeFromPool(loop, bytes));
  for (let round = 0; round < rounds; round++) {
    pool.push(visit(() => takeFromPool(loop, bytes)));
    array.push(visit(() => makeArrays(bytes)));
  }
  console.log(JSON.stringify({ contestant: "loop.allocate", bytes, ns: median(pool) }));
  console.log(JSON.stringify({ contestant: "new Uint8Array", bytes, ns: median(array) }));
}
loop.close();
if (sink === 0) throw new Error("nothing was made");
