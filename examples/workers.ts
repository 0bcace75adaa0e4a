// One loop accepts, and Workers serve: each connection moves to one of them, round robin, as a
// descriptor and with whatever had arrived. No byte is copied between them.
//
//     deno run --allow-ffi --allow-read examples/workers.ts
//     bun examples/workers.ts

import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type ConnectionMessage, Loop } from "../mod.ts";

const workerCount = 2;
const clientCount = 6;

/** A Worker: a loop of its own, for the connections that it is given. */
function serve(): void {
  const loop = new Loop();
  parentPort!.on("message", (message: ConnectionMessage) => {
    loop.receive(message, {
      data: (conn, lease) => void conn.send([`worker ${workerData} echoes `, lease]),
    });
  });
  loop.attach();
}

/** The main thread: accepts, and is a few clients as well. */
function accept(): void {
  const loop = new Loop();
  const url = new URL(import.meta.url);
  const workers = Array.from({ length: workerCount }, (_, index) => {
    return new Worker(url, { workerData: index });
  });
  let accepted = 0;
  const listener = loop.listen("tcp://127.0.0.1:0", {
    open(conn): void {
      const worker = workers[accepted++ % workerCount];
      conn.handOff((message) => worker.postMessage(message));
    },
  });
  console.log(`listening on ${listener.endpoint}`);
  let served = 0;
  for (let client = 0; client < clientCount; client++) {
    loop.connect(listener.address, {
      open: (conn) => void conn.send(`client ${client}`),
      data(conn, lease): void {
        console.log(new TextDecoder().decode(lease.bytes));
        conn.close();
      },
      close(): void {
        served += 1;
        if (served < clientCount) return;
        listener.close();
        for (const worker of workers) void worker.terminate();
      },
    });
  }
  loop.attach();
}

if (isMainThread) accept();
else serve();
