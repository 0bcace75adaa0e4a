// TCP echo over twinpoll: the received buffer itself is sent back. `--backend NAME` chooses how the
// loop waits, `--trigger NAME` when epoll tells; `--attach` lives in the host's event loop instead
// of owning the thread.

import process from "node:process";
import { parseArgs } from "node:util";
import type { Loop, LoopOptions } from "../../mod.ts";
import { openLoop } from "./open_loop.ts";
import { announce, portArgument } from "./protocol.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    backend: { type: "string", default: "auto" },
    trigger: { type: "string" },
    connections: { type: "string" },
    attach: { type: "boolean", default: false },
  },
});

async function serve(loop: Loop): Promise<void> {
  const ended = new AbortController();
  process.once("SIGTERM", () => ended.abort());
  const listener = loop.listen(`tcp://127.0.0.1:${portArgument()}`, {
    data(connection, lease): void {
      connection.send(lease);
    },
  }, { backlog: 4096 });
  announce(listener.address.port);
  if (values.attach) {
    loop.attach();
    await new Promise((resolve) => ended.signal.addEventListener("abort", resolve));
  } else {
    await loop.run({ signal: ended.signal });
  }
}

const loop = openLoop(values.backend, {
  trigger: values.trigger as LoopOptions["trigger"],
  maxConnections: values.connections === undefined ? undefined : Number(values.connections),
});
if (loop !== undefined) {
  try {
    await serve(loop);
  } finally {
    loop.close();
  }
}
