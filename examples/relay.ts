// A TCP proxy with a target for each client, in turns: native code carries the bytes, this program
// only chooses. Two clients are served here and end it; a real one would run until SIGTERM.

import { Loop } from "../mod.ts";

const loop = new Loop();

/** A server that says its name to each client, and echoes what the client says. */
function startServer(name: string): ReturnType<Loop["listen"]> {
  return loop.listen("tcp://127.0.0.1:0", {
    open: (conn) => void conn.send(`${name}: `),
    data: (conn, lease) => void conn.send(lease),
  });
}

const servers = [startServer("red"), startServer("blue")];
let clients = 0;
let ended = 0;

const proxy = loop.listen("tcp://127.0.0.1:0", {
  open(client): void {
    const target = servers[clients++ % servers.length];
    // At once: what the client sends before the target answers waits, up to the mark.
    loop.relay(client, loop.connect(target.address, {}), {
      idleTimeoutMs: 60_000,
      end(_relay, error, totals): void {
        const reason = error === null ? "in order" : error.message;
        console.log(`${totals.firstToSecond} bytes up, ${totals.secondToFirst} down, ${reason}`);
        if (++ended < 2) return;
        for (const listener of [proxy, ...servers]) listener.close();
      },
    });
  },
});

for (const word of ["hello", "world"]) {
  let text = "";
  loop.connect(proxy.address, {
    open: (conn) => void conn.send(word),
    data(conn, lease): void {
      text += new TextDecoder().decode(lease.bytes);
      if (!text.endsWith(word)) return;
      console.log(text);
      conn.close();
    },
  });
}

await loop.run();
loop.close();
