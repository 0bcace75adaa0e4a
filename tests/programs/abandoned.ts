// A worker that opens a loop, listens, says where and with what it can be rung, and is then
// terminated with everything open.

import { parentPort, workerData } from "node:worker_threads";
import { type BackendName, Loop } from "../../mod.ts";

const { backend } = workerData as { backend: BackendName };
const loop = new Loop({ backend });
const listener = loop.listen("tcp://127.0.0.1:0", { data: (conn, lease) => void conn.send(lease) });
loop.attach();
const doorbell = loop.doorbell(() => {});
parentPort!.postMessage({ port: listener.address.port, doorbell: doorbell.message });
