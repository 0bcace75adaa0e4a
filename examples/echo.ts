// An echo server that owns the thread. With --once it serves itself one client and ends.
import process from "node:process";
import { Loop } from "../mod.ts";

const once = process.argv.includes("--once");
const loop = new Loop();
const listener = loop.listen(once ? "tcp://127.0.0.1:0" : "tcp://127.0.0.1:7000", {
  data: (conn, lease) => void conn.send(lease), // the lease moves: nothing is copied
});
console.log(`listening on ${listener.endpoint} (${loop.backend})`);

if (once) {
  loop.connect(listener.address, {
    open: (conn) => void conn.send("hello"),
    data(conn, lease): void {
      console.log(`echoed ${new TextDecoder().decode(lease.bytes)}`);
      conn.close();
      listener.close();
    },
  });
}
await loop.run(); // ends with the last handle
loop.close();
