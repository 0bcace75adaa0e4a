// One-way streams over twinpoll, as `bench/native/stream.zig` asks for them: what arrives is
// counted where it lies; what is sent is one buffer, again and again, without being copied.

import process from "node:process";
import { parseArgs } from "node:util";
import type { Connection, Lease, Loop } from "../../mod.ts";
import { openLoop } from "./open_loop.ts";
import { announce, portArgument } from "./protocol.ts";
import { answer, isDownload, messageBytes, pattern } from "./stream_protocol.ts";

const { values } = parseArgs({
  options: { port: { type: "string" }, backend: { type: "string", default: "auto" } },
});

/** What a connection has done so far. */
class State {
  bytes = 0;
  isDownload = false;
  isKnown = false;
}

function pump(conn: Connection, message: Lease): void {
  // What was taken of the buffer is one of its references.
  for (;;) {
    message.retain();
    if (conn.send(message) !== "full") continue;
    message.release();
    return;
  }
}

async function serve(loop: Loop): Promise<void> {
  const ended = new AbortController();
  process.once("SIGTERM", () => ended.abort());
  const message = loop.allocate(messageBytes)!;
  message.bytes.set(pattern());
  message.length = messageBytes;
  const listener = loop.listen(`tcp://127.0.0.1:${portArgument()}`, {
    open(conn): void {
      conn.context = new State();
    },
    data(conn, lease): void {
      const state = conn.context as State;
      let length = lease.length;
      if (!state.isKnown) {
        state.isKnown = true;
        state.isDownload = isDownload(lease.bytes[0]);
        length -= 1;
        if (state.isDownload) pump(conn, message);
      }
      state.bytes += length;
    },
    drain(conn): void {
      pump(conn, message);
    },
    end(conn): void {
      const state = conn.context as State;
      if (!state.isDownload) conn.send(answer(state.bytes));
      conn.close();
    },
  });
  announce(listener.address.port);
  await loop.run({ signal: ended.signal });
}

const loop = openLoop(values.backend);
if (loop !== undefined) {
  try {
    await serve(loop);
  } finally {
    loop.close();
  }
}
