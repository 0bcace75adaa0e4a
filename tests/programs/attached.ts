// Serves itself one client in the host's event loop, then ends by itself or stays:
// `attached BACKEND close|close loop|unref loop|unref listener|detach|stay`.

import process from "node:process";
import { type BackendName, Loop } from "../../mod.ts";

const [backend, how] = process.argv.slice(2);
const loop = new Loop({ backend: backend as BackendName });
const listener = loop.listen("tcp://127.0.0.1:0", { data: (conn, lease) => void conn.send(lease) });
console.log(`listening ${listener.address.port}`);
loop.connect(listener.address, {
  open: (conn) => void conn.send("hello"),
  data(conn, lease): void {
    console.log(`echoed ${new TextDecoder().decode(lease.bytes)}`);
    conn.close();
    if (how === "close") listener.close();
    if (how === "close loop") loop.close();
    if (how === "unref loop") loop.unref();
    if (how === "unref listener") listener.unref();
    if (how === "detach") loop.detach();
  },
});
loop.attach();
