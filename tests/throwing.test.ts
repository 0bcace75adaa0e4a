// Handlers that throw: the rest of the turn is dispatched all the same, the first error goes to
// whoever drives the loop, and the connection whose handler threw is aborted.

import assert from "node:assert/strict";
import type { Connection, Lease, Loop } from "../mod.ts";
import { testEach, testLoop } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { turns, turnUntil, within } from "./support/drive.ts";
import { command } from "./support/runtime.ts";
import { anyPort, awaitClosed, listenEcho, openPair, Recorder } from "./support/streams.ts";

/** Takes turns until one throws; the error. */
function errorOfTurns(loop: Loop): unknown {
  for (let turn = 0; turn < 1_000; turn++) {
    try {
      loop.turn(10_000);
    } catch (error) {
      return error;
    }
  }
  return assert.fail("no turn threw");
}

for (const place of ["open", "data", "end", "drain"] as const) {
  testLoop(`an error in ${place} is thrown by turn() and aborts its connection`, (loop) => {
    const error = new Error(`thrown by ${place}`);
    const recorder = new Recorder({
      [place]: (): never => {
        throw error;
      },
    });
    const peer = new Recorder();
    const listener = loop.listen(anyPort, recorder);
    const client = loop.connect(listener.address, peer);
    if (place !== "open") turnUntil(loop, () => recorder.isOpen && peer.isOpen, "both open");
    const server = recorder.conn;
    if (place === "data") client.send("x");
    if (place === "end") client.shutdown();
    if (place === "drain") {
      server!.send(new Uint8Array(server!.highWaterMark));
      assert.equal(server!.send("x"), "full");
    }
    assert.equal(errorOfTurns(loop), error);
    awaitClosed(loop, recorder.conn!, client);
    assert.equal(recorder.events.at(-1), "close:ABORTED");
    assert.equal(recorder.reason!.cause, error);
    assert.match(peer.events.at(-1)!, /^close:(ECONNRESET|null)$/);
    listener.close();
  });
}

testLoop("an error in close is thrown, and the connection is gone", (loop) => {
  const { client, server } = openPair(loop, {
    client: {
      close(): never {
        throw new Error("thrown by close");
      },
    },
  });
  client.close();
  assert.match(String(errorOfTurns(loop)), /thrown by close/);
  assert.equal(client.state, "closed");
  awaitClosed(loop, server);
});

testLoop("an error in a timer or deferral is thrown, and aborts nothing", (loop) => {
  const { client, server } = openPair(loop);
  loop.startTimer(() => {
    throw new Error("thrown by a timer");
  }, { delayUs: 0 });
  assert.match(String(errorOfTurns(loop)), /thrown by a timer/);
  loop.defer(() => {
    throw new Error("thrown by a deferral");
  });
  assert.match(String(errorOfTurns(loop)), /thrown by a deferral/);
  turns(loop, 3);
  assert.equal(client.state, "open");
  assert.equal(server.state, "open");
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("the rest of the turn is dispatched, and the first error counts", (loop) => {
  const received: number[] = [];
  const listener = loop.listen(anyPort, {
    data(conn, lease): void {
      const index = lease.bytes[0];
      received.push(index);
      if (index % 2 === 1) throw new Error(`thrown by ${index}`);
      conn.send(lease);
    },
  });
  let answers = 0;
  const conns = Array.from(
    { length: 10 },
    () => loop.connect(listener.address, { data: () => void (answers += 1) }),
  );
  turnUntil(loop, () => loop.stats().accepted === 10, "ten connections");
  turns(loop, 3);
  const errors: string[] = [];
  conns.forEach((conn, index) => conn.send(new Uint8Array([index])));
  for (let turn = 0; turn < 1_000 && (answers < 5 || received.length < 10); turn++) {
    const before = received.length;
    try {
      loop.turn(10_000);
    } catch (error) {
      const first = received.slice(before).find((index) => index % 2 === 1);
      assert.equal((error as Error).message, `thrown by ${first}`);
      errors.push(String(error));
    }
  }
  assert.deepEqual(received.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(answers, 5);
  assert.ok(errors.length >= 1);
  turnUntil(loop, () => conns.filter((conn) => conn.state === "closed").length === 5, "the aborts");
  for (const conn of conns) conn.close();
  listener.close();
});

testLoop("the lease of a handler that threw is given back, a retained one is not", (loop) => {
  const kept: Lease[] = [];
  const borrowed: Lease[] = [];
  for (let round = 0; round < 20; round++) {
    const { client, server } = openPair(loop, {
      server: {
        data(_, lease): never {
          if (round === 0) kept.push(lease.retain());
          else borrowed.push(lease);
          throw new Error("thrown with a lease");
        },
      },
    });
    client.send("kept");
    assert.match(String(errorOfTurns(loop)), /thrown with a lease/);
    assert.equal(borrowed.at(-1)?.released ?? true, true, "it outlived its handler");
    awaitClosed(loop, client, server);
  }
  assert.equal(new TextDecoder().decode(kept[0].bytes), "kept");
  kept[0].release();
}, { pool: { receiveBuffers: 8 } });

testLoop("run() rejects with the error, and can be called again", async (loop) => {
  let isAngry = true;
  const listener = loop.listen(anyPort, {
    data(conn, lease): void {
      if (isAngry) throw new Error("thrown under run()");
      conn.send(lease);
    },
  });
  const angry = loop.connect(listener.address, { open: (conn) => void conn.send("x") });
  await assert.rejects(within(loop.run(), "run()"), /thrown under run\(\)/);
  isAngry = false;
  let echoed = false;
  const calm = loop.connect(listener.address, {
    open: (conn) => void conn.send("x"),
    data(conn): void {
      echoed = true;
      conn.close();
      listener.close();
    },
  });
  await within(loop.run(), "the second run()");
  assert.equal(echoed, true);
  assert.deepEqual([angry.state, calm.state], ["closed", "closed"]);
});

testLoop("anything can be thrown, also undefined", async (loop) => {
  for (const thrown of [undefined, null, 0, "text", Symbol("symbol")]) {
    loop.defer(() => {
      throw thrown;
    });
    const none = Symbol("nothing was thrown");
    let caught: unknown = none;
    try {
      await within(loop.run(), "run()");
    } catch (error) {
      caught = error;
    }
    assert.equal(caught, thrown);
  }
});

testLoop("a close handler that throws during loop.close() does not keep others from it", (loop) => {
  const listener = listenEcho(loop);
  const closed: number[] = [];
  const conns: Connection[] = [1, 2, 3].map((index) =>
    loop.connect(listener.address, {
      close(): void {
        closed.push(index);
        if (index === 2) throw new Error("thrown by close");
      },
    })
  );
  turnUntil(loop, () => conns.every((conn) => conn.state === "open"), "three connections");
  assert.throws(() => loop.close(), /thrown by close/);
  assert.deepEqual(closed.toSorted(), [1, 2, 3]);
  assert.equal(loop.closed, true);
});

for (const handled of ["handled", "unhandled"]) {
  testEach(`under attach() it is the host's uncaught error, ${handled}`, async (backend) => {
    const program = command("tests/programs/throwing.ts");
    const { code, stdout, stderr } = await runChild([...program, backend, handled]);
    if (handled === "handled") {
      assert.equal(stdout, "uncaught: thrown under attach()\nserved\n");
      assert.equal(code, 0);
    } else {
      assert.notEqual(code, 0);
      assert.match(stderr, /thrown under attach\(\)/);
    }
  });
}
