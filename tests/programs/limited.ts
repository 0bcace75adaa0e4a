// Opens a loop where the limit on locked memory is low, or what the options ask for is not to be
// had, uses it, and prints what its memory was granted.

import process from "node:process";
import { Loop, type PoolOptions } from "../../mod.ts";

const options: PoolOptions = JSON.parse(process.argv[2]);
const loop = new Loop({ pool: options });
let echoed = "";
const listener = loop.listen("tcp://127.0.0.1:0", { data: (conn, lease) => void conn.send(lease) });
loop.connect(listener.address, {
  open: (conn) => void conn.send("through limited memory"),
  data(conn, lease): void {
    echoed += new TextDecoder().decode(lease.bytes);
    if (echoed.length < 22) return;
    conn.close();
    listener.close();
  },
});
await loop.run();
const { pages, lock, prefault, numa, fixed } = loop.pool.stats();
loop.close();
console.log(JSON.stringify({ echoed, pages, lock, prefault, numa, fixed }));
