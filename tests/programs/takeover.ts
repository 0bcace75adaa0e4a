// A server that another process takes over from: `takeover.ts serve CONTROL` listens and gives its
// listener to whoever connects to CONTROL; `takeover.ts take CONTROL` waits for a line on standard
// input, takes the listener, and serves until a second line. Each answer begins with the mode.

import process from "node:process";
import { createInterface } from "node:readline";
import { closeDescriptor, type ConnectionHandlers, Loop } from "../../mod.ts";

const [mode, control] = process.argv.slice(2);
const loop = new Loop();
let answered = 0;

const server: ConnectionHandlers = {
  data(conn, lease): void {
    answered += 1;
    conn.send(`${mode} ${new TextDecoder().decode(lease.bytes)}`);
    if (conn.context === "draining") conn.close();
  },
  draining: (conn) => void (conn.context = "draining"),
};

async function finish(): Promise<void> {
  const { aborted } = await loop.shutdown({ timeoutMs: 20_000 });
  loop.detach();
  loop.close();
  console.log(JSON.stringify({ answered, aborted }));
  process.exit(0);
}

function serve(): void {
  const listener = loop.listen("tcp://127.0.0.1:0", server);
  const heirs = loop.listen(control, {
    open(conn): void {
      const descriptor = listener.share();
      conn.send("!", { descriptors: [descriptor] });
      closeDescriptor(descriptor);
    },
    // The other one listens by now.
    data: () => void finish(),
    draining: (conn) => conn.close(),
  }, { descriptors: true });
  console.log(listener.address.port);
  void heirs;
}

function take(): void {
  loop.connect(control, {
    descriptors(conn, [descriptor]): void {
      loop.listen({ descriptor }, server);
      conn.send("!");
      conn.close();
    },
  }, { descriptors: true });
}

loop.attach();
if (mode === "serve") {
  serve();
} else {
  let lines = 0;
  createInterface({ input: process.stdin }).on("line", () => {
    lines += 1;
    if (lines === 1) take();
    else void finish();
  });
  console.log("ready");
}
