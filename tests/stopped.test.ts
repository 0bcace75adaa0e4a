// A process that is stopped and goes on, as by job control or a debugger: what the kernel does for
// it is interrupted, and the program must hear nothing of that.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { Loop } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { macrotask, turnUntil } from "./support/drive.ts";
import { awaitClosed, content, openPair, Recorder } from "./support/streams.ts";
import { unixPath } from "./support/transports.ts";

const times = 5;

/** Has this process stopped and continued some times, and turns `loop` meanwhile. */
async function stopAndGoOn(loop: Loop, between: () => void): Promise<void> {
  const { pid } = process;
  const stop = `kill -STOP ${pid}; sleep 0.005; kill -CONT ${pid}; sleep 0.005`;
  const child = spawn("sh", ["-c", `${`${stop}; `.repeat(times)}kill -CONT ${pid}`], {
    stdio: "ignore",
  });
  let code: number | null | undefined;
  child.once("exit", (value) => code = value);
  for (let tick = 0; code === undefined; tick++) {
    assert.ok(tick < 100_000, "the child stays");
    loop.turn(1_000);
    between();
    await macrotask();
  }
  assert.equal(code, 0);
}

testLoop("what is under way goes on", async (loop) => {
  using place = unixPath();
  using silent = new Loop({ backend: loop.backend });
  silent.listen(place.endpoint, { end: (conn) => conn.close() }, { backlog: 1 });
  const fill = [0, 1].map(() => loop.connect(place.endpoint, {}));
  turnUntil(loop, () => fill.every((conn) => conn.state === "open"), "a full backlog");
  // This one waits for room, and the kernel with it.
  const waiting = new Recorder();
  const late = loop.connect(place.endpoint, waiting, { timeoutMs: 0 });
  waiting.conn = late;
  let received = 0;
  const { client, server } = openPair(loop, {
    server: { data: (_conn, lease) => void (received += lease.length) },
  });
  const bytes = content(65_536);
  let sent = 0;
  await stopAndGoOn(loop, () => {
    if (client.send(bytes) !== "full") sent += bytes.length;
  });
  assert.deepEqual([late.state, client.state, server.state], ["connecting", "open", "open"]);
  turnUntil(loop, () => received === sent, "everything that was sent");
  turnUntil(loop, () => {
    silent.turn();
    return late.state === "open";
  }, "the late one");
  assert.deepEqual(waiting.events, ["open"]);
  for (const conn of [...fill, late, client]) conn.abort();
  awaitClosed(loop, ...fill, late, client, server);
});

testLoop("a loop that is opened meanwhile is what was asked for", async (loop) => {
  const { backend, capabilities } = loop;
  const sqpoll = capabilities.features.includes("sqpoll");
  const options = sqpoll ? { backend, ioUring: { sqpoll: { idleMs: 1 } } } : { backend };
  await stopAndGoOn(loop, () => {
    for (let count = 0; count < 5; count++) new Loop(options).close();
  });
});
