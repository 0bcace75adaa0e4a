// An orderly end of everything that is open: what was accepted is served, and it takes no longer
// than it may.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Connection, type ConnectionHandlers, IoError, Loop } from "../mod.ts";
import { bestBackend, testLoop } from "./support/backends.ts";
import { turnUntil, within } from "./support/drive.ts";
import { anyPort, openPair, Recorder } from "./support/streams.ts";

function fails(code: string, body: () => unknown): void {
  assert.throws(body, (error) => error instanceof IoError && error.code === code, code);
}

/** A server that answers each request of one line, and ends a connection between two of them. */
function lineServer(served: string[]): ConnectionHandlers {
  return {
    open: (conn) => void (conn.context = { text: "", isDraining: false }),
    data(conn, lease): void {
      const state = conn.context as { text: string; isDraining: boolean };
      state.text += new TextDecoder().decode(lease.bytes);
      if (!state.text.endsWith("\n")) return;
      served.push(state.text);
      conn.send(state.text);
      state.text = "";
      if (state.isDraining) conn.close();
    },
    draining(conn): void {
      (conn.context as { isDraining: boolean }).isDraining = true;
    },
  };
}

testLoop("requests that are under way or wait in the backlog are answered", async (loop) => {
  using peers = new Loop({ backend: bestBackend });
  const served: string[] = [];
  const listener = loop.listen(anyPort, lineServer(served));
  const answers: string[] = [];
  const ask = (text: string): Connection =>
    peers.connect(listener.address, {
      open: (conn) => void conn.send(text),
      data: (_, lease) => void answers.push(new TextDecoder().decode(lease.bytes)),
      close: (_, error) => assert.equal(error, null),
    });
  const half = ask("half a ");
  turnUntil(loop, () => {
    peers.turn();
    return loop.stats().accepted === 1 && loop.stats().receivedBytes === 7;
  }, "half a request");
  const waiting = Array.from({ length: 10 }, (_, index) => ask(`request ${index}\n`));
  turnUntil(peers, () => waiting.every(({ state }) => state === "open"), "in the backlog");
  const done = loop.shutdown({ timeoutMs: 60_000 });
  assert.equal(loop.shutdown(), done);
  assert.equal(listener.closed, true);
  fails("LOOP_CLOSED", () => loop.listen(anyPort, {}));
  for (let turn = 0; turn < 20; turn++) {
    loop.turn(100);
    peers.turn();
  }
  half.send("request\n");
  turnUntil(loop, () => {
    peers.turn();
    return loop.stats().openConnections === 0 && answers.length === 11;
  }, "all answers");
  assert.deepEqual(await within(done, "the shutdown"), { closed: 11, aborted: 0 });
  assert.ok(answers.includes("half a request\n"));
  assert.equal(served.length, 11);
});

testLoop("what does not end in time is aborted", async (loop) => {
  const stubborn = new Recorder({ end: () => {} });
  const handlers = { ...lineServer([]), end: (): void => {} };
  const { server, client } = openPair(loop, { server: handlers, client: stubborn });
  const draining: Connection[] = [];
  const unwilling = openPair(loop, {
    server: { draining: (conn) => void draining.push(conn) },
    client: { draining: () => {} },
  });
  const listener = loop.listen(anyPort, {});
  const done = loop.shutdown({ timeoutMs: 1_000 });
  for (let turn = 0; turn < 5; turn++) loop.turn();
  assert.deepEqual(draining, [unwilling.server]);
  assert.equal(server.state, "open");
  loop.advance(999_000);
  for (let turn = 0; turn < 5; turn++) loop.turn();
  assert.equal(server.state, "open");
  loop.advance(2_000);
  turnUntil(loop, () => loop.stats().openConnections === 0, "all aborted");
  // The one without a handler was closed, and waits for its peer.
  const { closed, aborted } = await within(done, "the shutdown");
  assert.equal(closed + aborted, 4);
  assert.ok(aborted >= 3, `${aborted} aborted`);
  assert.equal(listener.closed, true);
  assert.equal(client.state, "closed");
  // It may begin anew.
  loop.listen(anyPort, {}).close();
}, { clock: "virtual" });

testLoop("with nothing open it is over in a turn", async (loop) => {
  const done = loop.shutdown();
  loop.turn();
  assert.deepEqual(await within(done, "the shutdown"), { closed: 0, aborted: 0 });
  for (const timeoutMs of [0, -1, 1.5, NaN, Infinity, 3_600_001, "1" as unknown as number]) {
    fails("INVALID_OPTION", () => loop.shutdown({ timeoutMs }));
  }
});

test("it ends under run(), and with the loop", async () => {
  using loop = new Loop({ backend: bestBackend });
  const { server, client } = openPair(loop);
  let result = {};
  void loop.shutdown().then((value) => result = value);
  await within(loop.run(), "run()");
  assert.deepEqual(result, { closed: 2, aborted: 0 });
  assert.deepEqual([server.state, client.state], ["closed", "closed"]);
  openPair(loop, { server: { draining: () => {} }, client: { draining: () => {} } });
  const done = loop.shutdown();
  loop.turn();
  loop.close();
  assert.deepEqual(await within(done, "the shutdown"), { closed: 0, aborted: 2 });
  fails("LOOP_CLOSED", () => loop.shutdown());
});

test("a handler that throws ends its connection, and no other", async () => {
  using loop = new Loop({ backend: bestBackend });
  const { client } = openPair(loop, {
    server: {
      draining(): void {
        throw new Error("thrown while draining");
      },
    },
  });
  const done = loop.shutdown();
  assert.throws(() => loop.turn(), /thrown while draining/);
  turnUntil(loop, () => client.state === "closed", "the end");
  assert.deepEqual(await within(done, "the shutdown"), { closed: 2, aborted: 0 });
});
