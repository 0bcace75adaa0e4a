// run(): what ends it, and that the host's promises, timers and I/O get their turn meanwhile, under
// load as well as when idle.

import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import type { Loop } from "../mod.ts";
import { backends, testEach, testLoop, unavailable } from "./support/backends.ts";
import { Child } from "./support/child.ts";
import { macrotask, Signal, untilQuiet, within } from "./support/drive.ts";
import { command } from "./support/runtime.ts";
import { anyPort, awaitClosed, listenEcho, openPair } from "./support/streams.ts";

/** Keeps a message going round until `isEnough`, then closes everything. */
function keepBusy(loop: Loop, isEnough: () => boolean): void {
  const listener = listenEcho(loop);
  let rounds = 0;
  loop.connect(listener.address, {
    open: (conn) => void conn.send("round and round"),
    data(conn, lease): void {
      rounds += 1;
      assert.ok(rounds < 1_000_000, "the host never got its turn");
      if (isEnough()) {
        conn.close();
        listener.close();
      } else {
        conn.send(lease);
      }
    },
  });
}

testLoop("run() of a loop with nothing to do ends at once", async (loop) => {
  await within(loop.run(), "run()");
  await within(loop.run({ signal: new AbortController().signal }), "run()");
});

testLoop("run() ends with the last ref'd handle", async (loop) => {
  const listener = listenEcho(loop);
  listener.unref();
  await within(loop.run(), "run() with an unref'd listener");
  listener.ref();
  loop.startTimer(() => listener.close(), { delayUs: 0 });
  await within(loop.run(), "run() until the listener closed");
  assert.equal(listener.closed, true);
  const { client, server } = openPair(loop);
  client.unref();
  server.unref();
  const timer = loop.startTimer(() => assert.fail("never due"), { delayUs: 2 ** 50 });
  timer.unref();
  await within(loop.run(), "run() with unref'd connections and timer");
  assert.equal(client.state, "open");
  timer.cancel();
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("run() takes what was submitted before it ends", async (loop) => {
  const { client, server } = openPair(loop);
  client.unref();
  server.unref();
  client.abort();
  let ran = false;
  loop.defer(() => void (ran = true));
  await within(loop.run(), "run()");
  assert.equal(ran, true);
  awaitClosed(loop, client, server);
});

testLoop("a signal that is aborted already ends run() before it begins", async (loop) => {
  const listener = loop.listen(anyPort, {});
  const { turns } = loop.stats();
  await within(loop.run({ signal: AbortSignal.abort() }), "run()");
  assert.equal(loop.stats().turns, turns);
  listener.close();
});

testLoop("a signal ends run(), which resolves and leaves everything open", async (loop) => {
  const listener = listenEcho(loop);
  for (const when of ["in a handler", "in the host", "asleep"]) {
    const controller = new AbortController();
    if (when === "in a handler") loop.defer(() => controller.abort());
    if (when === "in the host") setTimeout(() => controller.abort(), 0);
    const running = loop.run({ signal: controller.signal });
    if (when === "asleep") void untilQuiet(loop).then(() => controller.abort());
    await within(running, `run() aborted ${when}`);
    assert.equal(listener.closed, false);
  }
  listener.close();
});

testLoop("stop() ends run(), from a handler and from the host", async (loop) => {
  loop.stop();
  const listener = listenEcho(loop);
  loop.startTimer(() => loop.stop(), { delayUs: 100 });
  await within(loop.run(), "run() stopped by a handler");
  const running = loop.run();
  await untilQuiet(loop);
  loop.stop();
  await within(running, "run() stopped by the host");
  assert.equal(listener.closed, false);
  loop.stop();
  listener.close();
});

testLoop("closing the loop ends run()", async (loop) => {
  listenEcho(loop);
  loop.startTimer(() => loop.close(), { delayUs: 100 });
  await within(loop.run(), "run() closed by a handler");
  await assert.rejects(loop.run(), { code: "LOOP_CLOSED" });
});

testLoop("closing the loop from the host ends run()", async (loop) => {
  listenEcho(loop);
  const running = loop.run();
  await untilQuiet(loop);
  loop.close();
  await within(running, "run() closed by the host");
});

testLoop("a loop is driven from one place only", async (loop) => {
  const listener = listenEcho(loop);
  const running = loop.run();
  await assert.rejects(loop.run(), { code: "BUSY" });
  assert.throws(() => loop.attach(), { code: "BUSY" });
  loop.detach();
  loop.stop();
  await within(running, "run()");
  loop.attach();
  assert.throws(() => loop.attach(), { code: "BUSY" });
  await assert.rejects(loop.run(), { code: "BUSY" });
  loop.stop();
  await macrotask();
  loop.detach();
  let code: string | undefined;
  loop.defer(() => {
    try {
      loop.turn();
    } catch (error) {
      ({ code } = error as { code: string });
    }
  });
  loop.turn();
  assert.equal(code, "BUSY");
  listener.close();
});

testLoop("run() inside a handler waits for the turn to end", async (loop) => {
  const ended = new Signal();
  loop.defer(() => void loop.run().then(() => ended.fire()));
  loop.turn();
  await within(ended.promise, "the run() that a handler began");
});

testLoop("under load promises, timers and immediates get their turn", async (loop) => {
  let timeouts = 0;
  let immediates = 0;
  let promises = 0;
  const countTimeouts = (): void => {
    timeouts += 1;
    if (timeouts < 5) setTimeout(countTimeouts, 0);
  };
  setTimeout(countTimeouts, 0);
  const asynchronous = async (): Promise<void> => {
    for (; promises < 100; promises++) await null;
    for (; immediates < 5; immediates++) await macrotask();
  };
  const other = asynchronous();
  keepBusy(loop, () => timeouts === 5 && immediates === 5);
  await within(loop.run(), "run()");
  await other;
  assert.deepEqual([timeouts, immediates, promises], [5, 5, 100]);
});

testLoop("microtasks of a turn are done before the next turn begins", async (loop) => {
  let rounds = 0;
  let pendingSince = 0;
  const listener = listenEcho(loop);
  loop.connect(listener.address, {
    open: (conn) => void conn.send("round and round"),
    data(conn, lease): void {
      const { turns } = loop.stats();
      assert.ok(pendingSince === 0 || pendingSince === turns, "a microtask had to wait");
      pendingSince = turns;
      queueMicrotask(() => pendingSince = 0);
      rounds += 1;
      if (rounds < 5_000) return void conn.send(lease);
      conn.close();
      listener.close();
    },
  });
  await within(loop.run(), "run()");
  assert.equal(rounds, 5_000);
});

testLoop("when idle the host's own I/O goes on", async (loop) => {
  const server = http.createServer((_, response) => void response.end("from the host"));
  const listening = new Signal();
  server.listen(0, "127.0.0.1", () => listening.fire());
  await within(listening.promise, "the host's server");
  const { port } = server.address() as net.AddressInfo;
  const listener = listenEcho(loop);
  const running = loop.run();
  for (let round = 0; round < 3; round++) {
    const response = await within(fetch(`http://127.0.0.1:${port}`), "fetch");
    assert.equal(await response.text(), "from the host");
  }
  listener.close();
  await within(running, "run()");
  const closed = new Signal();
  server.closeAllConnections();
  server.close(() => closed.fire());
  await within(closed.promise, "the host's server closed");
});

testLoop(
  "asleep in the host it wakes for what arrives, and makes no turns meanwhile",
  async (loop) => {
    const listener = listenEcho(loop);
    const running = loop.run();
    await untilQuiet(loop);
    for (const message of ["one", "two"]) {
      const socket = net.connect(
        listener.address.port,
        "127.0.0.1",
        () => void socket.end(message),
      );
      socket.setEncoding("utf8");
      const echo = new Promise<string>((resolve) => socket.once("data", resolve));
      assert.equal(await within(echo, "the echo"), message);
    }
    listener.close();
    await within(running, "run()");
  },
);

for (const load of ["idle", "busy"] as const) {
  for (const driver of ["run", "attach"] as const) {
    testEach(`signals reach a process whose loop is ${load} in ${driver}()`, async (backend) => {
      const program = command("tests/programs/signalled.ts");
      using child = new Child([...program, backend, driver, load]);
      assert.equal(await child.line(), "ready");
      child.kill("SIGTERM");
      assert.equal(await child.line(), "SIGTERM");
      const { code, stderr } = await child.finished;
      assert.deepEqual([code, stderr], [0, ""]);
    });
  }
}

assert.ok(backends.some((backend) => unavailable(backend) === false), "no backend to test with");
