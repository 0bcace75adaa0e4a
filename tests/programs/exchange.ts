// A worker that receives leases, adds one to each byte in place, and sends them back.

import { parentPort, workerData } from "node:worker_threads";
import { type BackendName, Lease, type LeaseMessage, Loop } from "../../mod.ts";

const { backend } = workerData as { backend: BackendName };
const loop = new Loop({ backend });
parentPort!.on("message", (message: LeaseMessage) => {
  const lease = Lease.receive(loop, message);
  const { bytes } = lease;
  for (let index = 0; index < bytes.length; index++) bytes[index] += 1;
  parentPort!.postMessage(lease.transfer());
});
