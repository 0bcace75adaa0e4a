// Deferrals: in order, at the end of the turn, and bounded: one that defers again waits for the
// next turn and starves nobody.

import assert from "node:assert/strict";
import type { Loop } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { macrotask, turnUntil, within } from "./support/drive.ts";
import { awaitClosed, content, ContentReader, listenEcho, openPair } from "./support/streams.ts";

testLoop("deferrals run in order at the end of the turn, after its completions", (loop) => {
  const events: string[] = [];
  const { client, server } = openPair(loop, {
    server: {
      data(): void {
        events.push("data");
        loop.defer(() => events.push("deferred by data"));
      },
    },
  });
  loop.defer(() => events.push("first"));
  loop.defer(() => events.push("second"));
  loop.turn();
  assert.deepEqual(events, ["first", "second"]);
  events.length = 0;
  loop.startTimer(() => events.push("timer"), { delayUs: 0 });
  client.send("x");
  turnUntil(loop, () => events.length === 3, "data, timer and deferral");
  assert.equal(events.at(-1), "deferred by data");
  client.close();
  awaitClosed(loop, client, server);
}, { clock: "virtual" });

testLoop("one that is added while deferrals run waits for the next turn", (loop) => {
  const events: number[] = [];
  const again = (): void => {
    events.push(events.length);
    if (events.length < 5) loop.defer(again);
  };
  loop.defer(again);
  for (let turn = 1; turn <= 5; turn++) {
    loop.turn();
    assert.equal(events.length, turn);
  }
  loop.turn();
  assert.equal(events.length, 5);
});

testLoop("a waiting turn does not wait while there are deferrals", (loop) => {
  let ran = false;
  loop.defer(() => void (ran = true));
  loop.turn(Infinity);
  assert.equal(ran, true);
});

testLoop("a deferral that throws does not keep the others from running", (loop) => {
  const events: string[] = [];
  loop.defer(() => events.push("before"));
  loop.defer(() => {
    throw new Error("deferred");
  });
  loop.defer(() => {
    throw new Error("the first is the one that counts");
  });
  loop.defer(() => events.push("after"));
  assert.throws(() => loop.turn(), /deferred/);
  assert.deepEqual(events, ["before", "after"]);
  loop.turn();
});

/** Echoes a message while a deferral rearms itself in each turn. */
function echoBeside(loop: Loop, done: () => void): { turns: () => number } {
  let turns = 0;
  let isDone = false;
  const rearm = (): void => {
    turns += 1;
    if (!isDone) loop.defer(rearm);
  };
  loop.defer(rearm);
  const reader = new ContentReader();
  const listener = listenEcho(loop);
  loop.connect(listener.address, {
    open: (conn) => void conn.send(content(500_000)),
    data(conn, lease): void {
      reader.read(lease.bytes);
      if (reader.received < 500_000) return;
      conn.close();
      listener.close();
    },
    close(): void {
      isDone = true;
      done();
    },
  });
  return { turns: () => turns };
}

testLoop("a deferral that rearms itself does not starve I/O", (loop) => {
  let isDone = false;
  const beside = echoBeside(loop, () => void (isDone = true));
  turnUntil(loop, () => isDone, "the echo");
  assert.ok(beside.turns() > 1);
});

testLoop("nor does it starve the host under run()", async (loop) => {
  let isStopped = false;
  const rearm = (): void => {
    if (!isStopped) loop.defer(rearm);
  };
  loop.defer(rearm);
  setTimeout(() => void (isStopped = true), 0);
  await within(loop.run(), "run()");
  assert.equal(isStopped, true);
});

testLoop("nor under attach()", async (loop) => {
  let isDone = false;
  const done = new Promise<void>((resolve) => {
    echoBeside(loop, () => {
      isDone = true;
      resolve();
    });
  });
  loop.attach();
  await within(done, "the echo");
  await macrotask();
  loop.detach();
  assert.equal(isDone, true);
});

testLoop("closing the loop forgets what is deferred", (loop) => {
  loop.defer(() => assert.fail("after close"));
  loop.close();
  assert.throws(() => loop.defer(() => {}), { code: "LOOP_CLOSED" });
});

testLoop("closing the loop inside a deferral forgets the rest", (loop) => {
  loop.defer(() => loop.close());
  loop.defer(() => assert.fail("after close"));
  loop.turn();
  assert.equal(loop.closed, true);
});

testLoop("only a function can be deferred", (loop) => {
  for (const bad of [undefined, null, 1, "f", {}]) {
    assert.throws(() => loop.defer(bad as unknown as () => void), { code: "INVALID_ARGUMENT" });
  }
});
