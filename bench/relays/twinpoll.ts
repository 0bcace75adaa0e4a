// A TCP relay over twinpoll: each accepted connection is joined with one to the target, and native
// code carries. `--backend NAME` chooses how the loop waits.

import process from "node:process";
import { parseArgs } from "node:util";
import type { Loop } from "../../mod.ts";
import { openLoop } from "../servers/open_loop.ts";
import { announce, portArgument } from "../servers/protocol.ts";
import { targetArgument } from "./arguments.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    target: { type: "string" },
    backend: { type: "string", default: "auto" },
  },
});

async function serve(loop: Loop): Promise<void> {
  const ended = new AbortController();
  process.once("SIGTERM", () => ended.abort());
  const target = `tcp://127.0.0.1:${targetArgument()}`;
  const listener = loop.listen(`tcp://127.0.0.1:${portArgument()}`, {
    open: (client) => void loop.relay(client, loop.connect(target, {})),
  }, { backlog: 4096 });
  announce(listener.address.port);
  await loop.run({ signal: ended.signal });
}

const loop = openLoop(values.backend, {
  // Room for the largest message of the comparison and more, as HAProxy is given.
  pool: { bufferSize: 32_768 },
  // What it takes is what the work takes: nobody else here polls.
  mode: "event",
});
if (loop !== undefined) {
  try {
    await serve(loop);
  } finally {
    loop.close();
  }
}
