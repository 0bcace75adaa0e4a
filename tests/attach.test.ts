// attach(): the loop lives in the host's event loop beside everything else, sleeps when there is
// nothing to do, wakes for what happens, and lets the process end.

import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import { Loop } from "../mod.ts";
import { testEach, testLoop } from "./support/backends.ts";
import { Child, runChild } from "./support/child.ts";
import { macrotask, Signal, turns, untilQuiet, within } from "./support/drive.ts";
import { command } from "./support/runtime.ts";
import { anyPort, listenEcho } from "./support/streams.ts";

/** One message to an echo server through the host's own sockets. */
async function echoByHost(port: number, message: string): Promise<void> {
  const socket = net.connect(port, "127.0.0.1", () => void socket.end(message));
  socket.setEncoding("utf8");
  const echo = new Promise<string>((resolve) => socket.once("data", resolve));
  assert.equal(await within(echo, "the echo"), message);
}

testLoop("fetch, timers and promises of the host go on beside the loop", async (loop) => {
  const server = http.createServer((_, response) => void response.end("from the host"));
  const listening = new Signal();
  server.listen(0, "127.0.0.1", () => listening.fire());
  await within(listening.promise, "the host's server");
  const { port } = server.address() as net.AddressInfo;
  loop.attach();
  const listener = listenEcho(loop);
  let ticks = 0;
  const ticker = setInterval(() => ticks += 1, 1);
  for (let round = 0; round < 3; round++) {
    const response = await within(fetch(`http://127.0.0.1:${port}`), "fetch");
    assert.equal(await response.text(), "from the host");
    await echoByHost(listener.address.port, `round ${round}`);
  }
  for (let tick = 0; ticks < 3 && tick < 10_000; tick++) await macrotask();
  clearInterval(ticker);
  assert.ok(ticks >= 3);
  loop.detach();
  listener.close();
  const closed = new Signal();
  server.closeAllConnections();
  server.close(() => closed.fire());
  await within(closed.promise, "the host's server closed");
});

for (const mode of ["adaptive", "event"] as const) {
  testLoop(
    `an idle loop in ${mode} mode makes no turns, and wakes for what arrives`,
    async (loop) => {
      loop.attach();
      const listener = listenEcho(loop);
      await untilQuiet(loop);
      const before = loop.stats().turns;
      for (let timer = 0; timer < 10; timer++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assert.equal(loop.stats().turns, before, "turns without anything to do");
      for (const message of ["one", "two", "three"]) {
        await echoByHost(listener.address.port, message);
        await untilQuiet(loop);
      }
      assert.ok(loop.stats().turns > before);
      listener.close();
      await untilQuiet(loop);
      loop.detach();
    },
    { mode },
  );
}

testLoop("what the program submits wakes a sleeping loop", async (loop) => {
  loop.attach();
  const listener = listenEcho(loop);
  await untilQuiet(loop);
  const deferred = new Signal();
  loop.defer(() => deferred.fire());
  await within(deferred.promise, "a deferral");
  await untilQuiet(loop);
  const opened = new Signal();
  const conn = loop.connect(listener.address, {
    open: () => opened.fire(),
    data: () => answered.fire(),
    close: () => closed.fire(),
  });
  const answered = new Signal();
  const closed = new Signal();
  await within(opened.promise, "a connect");
  await untilQuiet(loop);
  conn.send("x");
  await within(answered.promise, "a send");
  await untilQuiet(loop);
  conn.close();
  await within(closed.promise, "a close");
  await untilQuiet(loop);
  listener.close();
  for (let tick = 0; loop.stats().openListeners > 0 && tick < 10_000; tick++) await macrotask();
  assert.equal(loop.stats().openListeners, 0, "a listener's close");
  loop.detach();
});

testLoop("after detach() nothing is dispatched until the loop is driven again", async (loop) => {
  let opened = 0;
  const listener = loop.listen(anyPort, { open: (conn) => (opened += 1, conn.close()) });
  loop.attach();
  await untilQuiet(loop);
  loop.detach();
  loop.detach();
  const first = net.connect(listener.address.port, "127.0.0.1");
  await within(new Promise<void>((resolve) => first.once("connect", resolve)), "the connect");
  const { turns: before } = loop.stats();
  await untilQuiet(loop);
  assert.equal(loop.stats().turns, before);
  assert.equal(opened, 0);
  turns(loop, 3);
  assert.equal(opened, 1);
  loop.attach();
  await within(new Promise<void>((resolve) => first.once("end", resolve).resume()), "the end");
  first.destroy();
  loop.detach();
  listener.close();
});

testEach("closing an attached loop detaches it", async (backend) => {
  for (let round = 0; round < 20; round++) {
    const loop = new Loop({ backend });
    loop.attach();
    listenEcho(loop);
    if (round % 2 === 0) await untilQuiet(loop);
    loop.close();
    assert.throws(() => loop.attach(), { code: "LOOP_CLOSED" });
  }
  await macrotask();
});

for (const how of ["close", "unref loop", "unref listener", "detach", "close loop"]) {
  testEach(`a process ends by itself after: ${how}`, async (backend) => {
    const program = command("tests/programs/attached.ts");
    const { code, stdout, stderr } = await runChild([...program, backend, how]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^listening \d+\nechoed hello\n$/);
  });
}

testEach("an open listener keeps the process alive", async (backend) => {
  using child = new Child([...command("tests/programs/attached.ts"), backend, "stay"]);
  const [, port] = (await child.line()).split(" ");
  assert.equal(await child.line(), "echoed hello");
  // Its main program ended before that; it still serves.
  for (const message of ["one", "two"]) await echoByHost(Number(port), message);
  child.kill("SIGTERM");
  const { signal } = await child.finished;
  assert.equal(signal, "SIGTERM");
});
