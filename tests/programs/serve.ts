// Echoes COUNT connections and ends: `serve BACKEND COUNT`. One JSON object per line: where it
// listens, each failure to accept, and what it did in the end.

import process from "node:process";
import { type BackendName, Loop } from "../../mod.ts";

const [backend, count] = process.argv.slice(2);
const loop = new Loop({ backend: backend as BackendName });
let closed = 0;
let errors = 0;
const listener = loop.listen("tcp://127.0.0.1:0", {
  data: (conn, lease) => void conn.send(lease),
  error(_, { code, errno, syscall }): void {
    errors += 1;
    console.log(JSON.stringify({ event: "error", code, errno, syscall }));
  },
  close(): void {
    closed += 1;
    if (closed === Number(count)) listener.close();
  },
});
console.log(JSON.stringify({ event: "listening", port: listener.address.port }));
await loop.run();
const { accepted } = loop.stats();
console.log(JSON.stringify({ event: "end", closed, accepted, errors }));
loop.close();
