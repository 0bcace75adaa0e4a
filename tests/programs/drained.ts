// Listens, and drains once it was written to: `drained BACKEND`. One JSON object per line: where it
// listens, the first failure to accept, after which it closes what it has accepted, and the end.

import { once } from "node:events";
import process from "node:process";
import { type BackendName, type Connection, Loop } from "../../mod.ts";

const [backend] = process.argv.slice(2);
const loop = new Loop({ backend: backend as BackendName });
const open: Connection[] = [];
let opened = 0;
let errors = 0;
const listener = loop.listen("tcp://127.0.0.1:0", {
  open(conn): void {
    opened += 1;
    if (errors === 0) open.push(conn);
    else conn.close();
  },
  error(_, { code }): void {
    if (errors === 0) console.log(JSON.stringify({ event: "error", code }));
    errors += 1;
    for (const conn of open.splice(0)) conn.close();
  },
});
console.log(JSON.stringify({ event: "listening", port: listener.address.port }));
await once(process.stdin, "data");
process.stdin.destroy();
listener.close({ drain: true });
await loop.run();
console.log(JSON.stringify({ event: "end", opened }));
loop.close();
