// Received bytes go to a Worker and come back without a copy: only a few numbers move.
//
//     deno run --allow-ffi --allow-read examples/worker_leases.ts
//     bun examples/worker_leases.ts
//
// The main thread echoes in upper case; the work on the bytes is done by the Worker, in place.

import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { type Connection, Lease, type LeaseMessage, Loop } from "../mod.ts";

interface Work {
  readonly connection: number;
  readonly message: LeaseMessage;
}

/** The Worker: changes bytes where they are. */
function work(): void {
  const loop = new Loop();
  parentPort!.on("message", ({ connection, message }: Work) => {
    const lease = Lease.receive(loop, message);
    const { bytes } = lease;
    for (let index = 0; index < bytes.length; index++) {
      if (bytes[index] >= 97 && bytes[index] <= 122) bytes[index] -= 32;
    }
    parentPort!.postMessage({ connection, message: lease.transfer() });
  });
}

/** The main thread: sockets, and a connection by number for the answers. */
function serve(): void {
  const loop = new Loop();
  const worker = new Worker(new URL(import.meta.url));
  const connections = new Map<number, Connection>();
  let last = 0;
  worker.on("message", ({ connection, message }: Work) => {
    using lease = Lease.receive(loop, message);
    const conn = connections.get(connection);
    if (conn?.state === "open") conn.send(lease);
  });
  const listener = loop.listen("tcp://127.0.0.1:0", {
    open(conn): void {
      conn.context = ++last;
      connections.set(last, conn);
    },
    data(conn, lease): void {
      worker.postMessage({ connection: conn.context, message: lease.transfer() });
    },
    close: (conn) => void connections.delete(conn.context as number),
  });
  console.log(`listening on ${listener.endpoint}`);
  loop.connect(listener.address, {
    open: (conn) => void conn.send("shout"),
    data(conn, lease): void {
      console.log(`answered ${new TextDecoder().decode(lease.bytes)}`);
      conn.close();
      listener.close();
      void worker.terminate();
    },
  });
  loop.attach();
}

if (isMainThread) serve();
else work();
