// A Worker whose loop serves the connections that are handed to it: an echo.

import { parentPort } from "node:worker_threads";
import { type ConnectionMessage, Loop } from "../../mod.ts";

const loop = new Loop();
parentPort!.on("message", (message: ConnectionMessage) => {
  loop.receive(message, { data: (conn, lease) => void conn.send(lease) });
});
loop.attach();
parentPort!.postMessage("ready");
