// Two Workers talk through an in-process connection: what one sends is the memory that the other
// gets, and while both are busy no system call is made.
//
//     deno run --allow-ffi --allow-read examples/inproc_workers.ts
//     bun examples/inproc_workers.ts
//
// One Worker counts the letters of what it is sent and answers; the other asks. The code of both is
// what it would be over `tcp:`.

import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Loop } from "../mod.ts";

const endpoint = "inproc://letters";
const questions = ["one", "two", "three", "four"];

/** Counts letters until there is nobody left who asks. */
async function answer(): Promise<void> {
  const loop = new Loop();
  const listener = loop.listen(endpoint, {
    data(conn, lease): void {
      conn.send(`${lease.length} letters`);
    },
    close: () => listener.close(),
  });
  parentPort!.postMessage("listening");
  await loop.run();
  loop.close();
}

/** Asks one question after the other. */
async function ask(): Promise<void> {
  const loop = new Loop();
  let asked = 0;
  loop.connect(endpoint, {
    open: (conn) => void conn.send(questions[asked]),
    data(conn, lease): void {
      console.log(`${questions[asked]}: ${new TextDecoder().decode(lease.bytes)}`);
      asked += 1;
      if (asked === questions.length) conn.close();
      else conn.send(questions[asked]);
    },
  });
  await loop.run();
  loop.close();
}

if (isMainThread) {
  const start = (role: string): Worker =>
    new Worker(new URL(import.meta.url), { workerData: { role } });
  start("answer").once("message", () => start("ask"));
} else {
  await (workerData.role === "answer" ? answer() : ask());
}
