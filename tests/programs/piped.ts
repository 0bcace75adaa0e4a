// A worker whose loop listens on an in-process name and echoes, driven as it is told: says when it
// listens, and what its loop has left once it is told to stop.

import { parentPort, workerData } from "node:worker_threads";
import { type BackendName, Loop } from "../../mod.ts";

interface Task {
  readonly backend: BackendName;
  readonly name: string;
  readonly driver: "run" | "attach";
}

const { backend, name, driver } = workerData as Task;
const loop = new Loop({ backend });
const listener = loop.listen(name, { data: (conn, lease) => void conn.send(lease) });
parentPort!.on("message", () => {
  listener.close();
  const poll = setInterval(() => {
    if (loop.stats().openConnections > 0) return;
    clearInterval(poll);
    loop.detach();
    loop.turn();
    const { buffersInUse } = loop.stats();
    loop.close();
    parentPort!.postMessage({ buffersInUse });
    parentPort!.close();
  }, 1);
});
if (driver === "attach") loop.attach();
else void loop.run();
parentPort!.postMessage("listening");
