// A worker that rings a doorbell as often as it is told to, without a loop of its own. Each ring is
// counted first. Of ten, eight follow each other, and two wait until the loop has heard them, the
// second of which no other ring of this worker hides.

import { parentPort, workerData } from "node:worker_threads";
import { type DoorbellMessage, ring } from "../../mod.ts";

const { message, times, counts } = workerData as {
  message: DoorbellMessage;
  times: number;
  /** Rings so far, and how many there were when the loop last heard one. */
  counts: Int32Array;
};
const limitMs = 15_000;

function awaitHeard(count: number): void {
  for (;;) {
    const heard = Atomics.load(counts, 1);
    if (heard >= count) return;
    if (Atomics.wait(counts, 1, heard, limitMs) === "timed-out") throw new Error("a ring was lost");
  }
}

let rung = 0;
for (let turn = 1; turn <= times; turn++) {
  const count = Atomics.add(counts, 0, 1) + 1;
  if (ring(message)) rung += 1;
  if (turn % 10 < 2 && turn > 1) awaitHeard(count);
}
parentPort!.postMessage(rung);
