// A handler throws under attach(): `throwing BACKEND handled|unhandled`. Handled, the next client
// is served and the process ends.

import process from "node:process";
import { type BackendName, Loop } from "../../mod.ts";

const [backend, handled] = process.argv.slice(2);
const loop = new Loop({ backend: backend as BackendName });
let isAngry = true;
const listener = loop.listen("tcp://127.0.0.1:0", {
  data(conn, lease): void {
    if (isAngry) throw new Error("thrown under attach()");
    conn.send(lease);
  },
});
loop.connect(listener.address, { open: (conn) => void conn.send("x") });
loop.attach();

if (handled === "handled") {
  process.on("uncaughtException", (error) => {
    console.log(`uncaught: ${error.message}`);
    isAngry = false;
    loop.connect(listener.address, {
      open: (conn) => void conn.send("x"),
      data(conn): void {
        console.log("served");
        conn.close();
        listener.close();
      },
    });
  });
}
