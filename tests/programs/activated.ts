// A program that is started with listening sockets: tells of them, and echoes on each until it was
// connected to as often as there are of them.

import process from "node:process";
import { listenDescriptors, Loop } from "../../mod.ts";

const inherited = listenDescriptors();
const left = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"].filter((name) => name in process.env);
console.log(JSON.stringify({ inherited, again: listenDescriptors(), left }));
const loop = new Loop();
let closed = 0;
const listeners = inherited.map(({ descriptor, name }) =>
  loop.listen({ descriptor }, {
    data: (conn, lease) => void conn.send([`${name}: `, lease]),
    close(): void {
      closed += 1;
      if (closed === listeners.length) { for (const listener of listeners) listener.close(); }
    },
  })
);
await loop.run();
loop.close();
