// Listening: every way in which it fails, what becomes of connections that wait to be accepted, and
// recovery when slots or descriptors run out.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { type Connection, Loop } from "../mod.ts";
import { testEach, testLoop } from "./support/backends.ts";
import { Child, runChild } from "./support/child.ts";
import { drive, Signal, turns, turnUntil } from "./support/drive.ts";
import type { Skip } from "./support/record.ts";
import { command } from "./support/runtime.ts";
import { anyPort, awaitClosed, listenEcho, Recorder } from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

testLoop("listening on an address that is not ours is EADDRNOTAVAIL", (loop) => {
  assert.throws(() => loop.listen("tcp://203.0.113.1:0", {}), {
    code: "EADDRNOTAVAIL",
    syscall: "bind",
  });
  assert.equal(loop.stats().openListeners, 0);
});

testLoop("a port in use is EADDRINUSE, free again once its listener closed", (loop) => {
  const first = loop.listen(anyPort, {});
  assert.throws(() => loop.listen(first.endpoint, {}), { code: "EADDRINUSE" });
  first.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "the listener closed");
  const second = listenEcho(loop, first.endpoint);
  assert.equal(second.endpoint, first.endpoint);
  const conn = loop.connect(second.address, {});
  turnUntil(loop, () => conn.state === "open", "a connection to the second listener");
  conn.close();
  second.close();
});

testLoop("listeners with reusePort share a port", (loop) => {
  const first = loop.listen(anyPort, {}, { reusePort: true });
  const second = loop.listen(first.endpoint, {}, { reusePort: true });
  assert.equal(second.endpoint, first.endpoint);
  assert.throws(() => loop.listen(first.endpoint, {}), { code: "EADDRINUSE" });
  first.close();
  second.close();
});

testLoop("a listener closed with connections in its backlog resets them", (loop) => {
  const opened: Connection[] = [];
  const listener = loop.listen(anyPort, { open: (conn) => void opened.push(conn) });
  const recorders = Array.from({ length: 5 }, () => new Recorder({ end: () => {} }));
  const clients = recorders.map((recorder) => loop.connect(listener.address, recorder));
  listener.close();
  assert.equal(listener.closed, true);
  awaitClosed(loop, ...clients);
  assert.deepEqual(opened, []);
  for (const { events } of recorders) {
    assert.match(events.at(-1)!, /^close:(ECONNRESET|ECONNREFUSED)$/);
  }
});

testLoop("connections and listeners beyond their limits are EXHAUSTED", (loop) => {
  const listener = loop.listen(anyPort, {});
  assert.throws(() => loop.listen(anyPort, {}), { code: "EXHAUSTED" });
  using silence = new Loop({ backend: loop.backend });
  const far = silence.listen(anyPort, {});
  const conns = [0, 1, 2].map(() => loop.connect(far.address, {}));
  assert.throws(() => loop.connect(far.address, {}), { code: "EXHAUSTED" });
  for (const conn of conns) conn.abort();
  awaitClosed(loop, ...conns);
  const again = loop.connect(far.address, {});
  turnUntil(loop, () => again.state === "open", "a connection in a slot that was freed");
  again.abort();
  listener.close();
}, { maxConnections: 3, maxListeners: 1 });

testEach("a listener at its limit of connections serves the rest later", (backend) => {
  using server = new Loop({ backend, maxConnections: 4 });
  using clients = new Loop({ backend });
  const listener = listenEcho(server);
  let served = 0;
  let most = 0;
  const conns = Array.from({ length: 30 }, () =>
    clients.connect(listener.address, {
      open: (conn) => void conn.send("x"),
      data(conn): void {
        served += 1;
        conn.close();
      },
    }));
  turnUntil(clients, () => {
    server.turn();
    most = Math.max(most, server.stats().openConnections);
    return conns.every((conn) => conn.state === "closed");
  }, "all served");
  assert.equal(served, 30);
  assert.ok(most <= 4, `${most} connections were open at once`);
});

testTransports(
  "a connection that waits for a slot never reaches another listener",
  (clients, { endpoint }) => {
    using server = new Loop({ backend: clients.backend, maxConnections: 1 });
    const first = server.listen(endpoint, {});
    const recorders = [0, 1, 2].map(() => new Recorder());
    const conns = recorders.map((recorder) => clients.connect(first.address, recorder));
    turnUntil(clients, () => conns.every((conn) => conn.state === "open"), "the clients open");
    turnUntil(server, () => server.stats().openConnections === 1, "one accepted");
    turns(server, 3);
    first.close();
    turnUntil(server, () => server.stats().openListeners === 0, "the first listener closed");
    let opened = 0;
    const second = server.listen(endpoint, { open: () => void (opened += 1) });
    turns(server, 3);
    conns[0].close();
    turnUntil(clients, () => {
      server.turn();
      return conns.every((conn) => conn.state === "closed");
    }, "the clients closed");
    assert.equal(opened, 0);
    assert.deepEqual(recorders.map((recorder) => recorder.events.at(-1)), [
      "close:null",
      "close:ECONNRESET",
      "close:ECONNRESET",
    ]);
    second.close();
  },
);

/** Runs a command without the right to use ports below 1024; null where that is not possible. */
function unprivileged(): { readonly prefix: string[]; readonly skip: Skip } {
  const setting = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  if (existsSync(setting) && Number(readFileSync(setting, "utf8")) < 1024) {
    return { prefix: [], skip: "kernel: ip_unprivileged_port_start: every user may use low ports" };
  }
  if (process.getuid?.() !== 0) return { prefix: [], skip: false };
  const setpriv = "/usr/bin/setpriv";
  if (!existsSync(setpriv)) return { prefix: [], skip: "root without setpriv may use low ports" };
  const caps = ["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"];
  return { prefix: [setpriv, ...caps], skip: false };
}

const { prefix, skip: maySkip } = unprivileged();

testEach("a low port without the right to it is EACCES", async () => {
  const { stdout, stderr } = await runChild([
    ...prefix,
    ...command("tests/programs/listen.ts"),
    "tcp://127.0.0.1:1023",
  ]);
  const { code, syscall, advice } = JSON.parse(stdout || JSON.stringify({ stderr }));
  assert.deepEqual([code, syscall], ["EACCES", "bind"]);
  assert.match(advice, /1023|CAP_NET_BIND_SERVICE/);
}, maySkip);

testLoop(
  "out of descriptors the listener says EMFILE, then recovers and serves all",
  async (loop) => {
    const count = 100;
    const limited = ["bash", "-c", 'ulimit -n 64; exec "$@"', "limited"];
    const server = [...command("tests/programs/serve.ts"), loop.backend, String(count)];
    using child = new Child([...limited, ...server]);
    const { port } = await child.json();
    const done = new Signal();
    const served: Connection[] = [];
    let isFull = false;
    let closed = 0;
    for (let index = 0; index < count; index++) {
      loop.connect(`tcp://127.0.0.1:${port}`, {
        open: (conn) => void conn.send("x"),
        data(conn): void {
          served.push(conn);
          if (isFull) conn.close();
        },
        close(_, error): void {
          assert.equal(error, null);
          closed += 1;
          if (closed === count) done.fire();
        },
      });
    }
    void child.json().then((line) => {
      assert.deepEqual(line, { event: "error", code: "EMFILE", errno: 24, syscall: "accept" });
      isFull = true;
      for (const conn of served) conn.close();
    });
    await drive(loop, "run", done);
    assert.equal(served.length, count);
    const { code, stdout } = await child.finished;
    assert.equal(code, 0);
    const { errors, ...end } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    assert.deepEqual(end, { event: "end", closed: count, accepted: count });
    assert.ok(errors < 50, `it tried again at once, ${errors} times`);
  },
);

testLoop("out of descriptors a listener that drains says so, and loses nobody", async (loop) => {
  const count = 100;
  const limited = ["bash", "-c", 'ulimit -n 64; exec "$@"', "limited"];
  using child = new Child([...limited, ...command("tests/programs/drained.ts"), loop.backend]);
  const { port } = await child.json();
  const done = new Signal();
  let opened = 0;
  let closed = 0;
  for (let index = 0; index < count; index++) {
    loop.connect(`tcp://127.0.0.1:${port}`, {
      open(): void {
        opened += 1;
        // All of them wait to be accepted.
        if (opened === count) child.write("drain");
      },
      close(_, error): void {
        assert.equal(error, null);
        closed += 1;
        if (closed === count) done.fire();
      },
    });
  }
  await drive(loop, "run", done);
  assert.deepEqual(await child.json(), { event: "error", code: "EMFILE" });
  assert.deepEqual(await child.json(), { event: "end", opened: count });
  assert.equal((await child.finished).code, 0);
});
