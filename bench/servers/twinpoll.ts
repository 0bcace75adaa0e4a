// TCP echo over twinpoll: the received buffer itself is sent back. `--backend NAME` chooses how the
// loop waits, `--trigger NAME` when epoll tells; `--attach` lives in the host's event loop instead
// of owning the thread.

import process from "node:process";
import { parseArgs } from "node:util";
import { IoError, Loop } from "../../mod.ts";
import type { LoopOptions } from "../../mod.ts";
import { announce, announceUnavailable, portArgument } from "./protocol.ts";

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

function open(): Loop | undefined {
  try {
    return new Loop({
      backend: values.backend as LoopOptions["backend"],
      trigger: values.trigger as LoopOptions["trigger"],
      maxConnections: values.connections === undefined ? undefined : Number(values.connections),
    });
  } catch (error) {
    if (!(error instanceof IoError) || error.code !== "BACKEND_UNAVAILABLE") throw error;
    announceUnavailable(error.message);
    return undefined;
  }
}

const loop = open();
if (loop !== undefined) {
  try {
    await serve(loop);
  } finally {
    loop.close();
  }
}
