// Serves until SIGTERM: `signalled BACKEND run|attach idle|busy`. Busy, it sends itself a message
// round and round.

import process from "node:process";
import { type BackendName, Loop } from "../../mod.ts";

const [backend, driver, load] = process.argv.slice(2);
const loop = new Loop({ backend: backend as BackendName });
const listener = loop.listen("tcp://127.0.0.1:0", { data: (conn, lease) => void conn.send(lease) });
if (load === "busy") {
  loop.connect(listener.address, {
    open: (conn) => void conn.send("round and round"),
    data: (conn, lease) => void conn.send(lease),
  });
}
process.once("SIGTERM", () => {
  console.log("SIGTERM");
  loop.close();
});
setTimeout(() => console.log("ready"), 20);
if (driver === "run") await loop.run();
else loop.attach();
