// A server that ends in order: after SIGTERM it accepts nothing new, finishes the requests that are
// under way, and is gone within five seconds whatever its clients do.
//
//     deno run --allow-ffi examples/shutdown.ts
//     bun examples/shutdown.ts
//
// With --once it is its own client, and sends itself the signal in the middle of a request.

import process from "node:process";
import { type Connection, Loop } from "../mod.ts";

interface Request {
  text: string;
  isLast: boolean;
}

const loop = new Loop();
const listener = loop.listen("tcp://127.0.0.1:0", {
  open(conn): void {
    conn.context = { text: "", isLast: false } satisfies Request;
  },
  data(conn, lease): void {
    const request = conn.context as Request;
    request.text += new TextDecoder().decode(lease.bytes);
    if (!request.text.endsWith("\n")) return;
    conn.send(`answer to ${request.text}`);
    request.text = "";
    if (request.isLast) conn.close();
  },
  draining(conn): void {
    const request = conn.context as Request;
    // Nothing is under way: there is nothing to wait for.
    if (request.text === "") conn.close();
    else request.isLast = true;
  },
});
console.log(`listening on ${listener.endpoint}`);

async function end(): Promise<void> {
  console.log("shutting down");
  const { closed, aborted } = await loop.shutdown({ timeoutMs: 5_000 });
  console.log(`${closed} connections ended, ${aborted} were aborted`);
  loop.close();
}

process.once("SIGTERM", () => void end());
loop.attach();

/** The rest of the request follows the signal. */
function finish(conn: Connection): void {
  setTimeout(() => conn.send("of a request\n"), 50);
}

if (process.argv.includes("--once")) {
  loop.connect(listener.address, {
    open(conn): void {
      conn.send("half ");
      setTimeout(() => process.kill(process.pid, "SIGTERM"), 50);
    },
    draining: finish,
    data: (_, lease) => console.log(new TextDecoder().decode(lease.bytes).trim()),
  });
}
