// A worker that rings a doorbell as often as it is told to, without a loop of its own.

import { parentPort, workerData } from "node:worker_threads";
import { type DoorbellMessage, ring } from "../../mod.ts";

const { message, times } = workerData as { message: DoorbellMessage; times: number };
let rung = 0;
for (let count = 0; count < times; count++) {
  if (ring(message)) rung += 1;
}
parentPort!.postMessage(rung);
