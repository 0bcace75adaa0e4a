// Watched descriptors: the classic readiness interface, on every backend.

import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IoError, Loop, Ready, type Watch } from "../mod.ts";
import { bestBackend, testEach, testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { Pipe, readDescriptor, writeDescriptor } from "./support/pipe.ts";
import { root } from "./support/runtime.ts";

const bytes = new Uint8Array(4096);

function fails(code: string, body: () => unknown): void {
  assert.throws(body, (error) => error instanceof IoError && error.code === code, code);
}

testLoop("a descriptor is told of as long as it is ready", (loop) => {
  using pipe = new Pipe();
  const told: number[] = [];
  const watch = loop.watch(pipe.read, {}, (same, ready) => {
    assert.equal(same, watch);
    told.push(ready);
  });
  assert.equal(watch.fd, pipe.read);
  for (let turn = 0; turn < 5; turn++) loop.turn();
  assert.deepEqual(told, []);
  writeDescriptor(pipe.write, "hello");
  turnUntil(loop, () => told.length === 3, "told three times");
  assert.ok(told.every((ready) => ready === Ready.readable));
  assert.equal(readDescriptor(pipe.read, bytes), 5);
  loop.turn();
  told.length = 0;
  for (let turn = 0; turn < 5; turn++) loop.turn();
  assert.deepEqual(told, []);
  watch.remove();
  assert.equal(watch.active, false);
});

testLoop("the end of the other side is a hang-up", (loop) => {
  using pipe = new Pipe();
  let last = 0;
  const watch = loop.watch(pipe.read, {}, (_, ready) => {
    last = ready;
  });
  pipe.closeWrite();
  turnUntil(loop, () => last !== 0, "told");
  assert.equal(last & Ready.hangup, Ready.hangup);
  watch.remove();
});

testLoop("what is watched for can be changed", (loop) => {
  using pipe = new Pipe();
  const told: number[] = [];
  const watch = loop.watch(pipe.write, { writable: true }, (_, ready) => {
    told.push(ready);
  });
  turnUntil(loop, () => told.includes(Ready.writable), "writable");
  watch.modify({ readable: true });
  loop.turn();
  told.length = 0;
  for (let turn = 0; turn < 5; turn++) loop.turn();
  assert.equal(told.length, 0, "nothing is readable there");
  watch.modify({ readable: true, writable: true });
  turnUntil(loop, () => told.includes(Ready.writable), "writable again");
  watch.remove();
});

testLoop("with edges a change is told of once", (loop) => {
  using pipe = new Pipe();
  let count = 0;
  const start = (): Watch =>
    loop.watch(pipe.read, { edge: true }, () => {
      count += 1;
    });
  if (loop.backend === "select") return fails("UNSUPPORTED", start);
  const watch = start();
  for (let round = 1; round <= 3; round++) {
    writeDescriptor(pipe.write, "x");
    turnUntil(loop, () => count === round, "told");
    for (let turn = 0; turn < 5; turn++) loop.turn();
    assert.equal(count, round, "once");
    readDescriptor(pipe.read, bytes);
  }
  watch.remove();
});

testLoop("select has no edges to change to", (loop) => {
  using pipe = new Pipe();
  const watch = loop.watch(pipe.read, {}, () => {});
  if (loop.backend === "select") fails("UNSUPPORTED", () => watch.modify({ edge: true }));
  else watch.modify({ edge: true });
  watch.remove();
});

testLoop("errors have the names that people know", (loop) => {
  using pipe = new Pipe();
  const nothing = (): void => {};
  for (const fd of [-1, 1.5, NaN, Infinity, 2 ** 31, 900_000]) {
    fails("EBADF", () => loop.watch(fd, {}, nothing));
  }
  const watch = loop.watch(pipe.read, {}, nothing);
  fails("EEXIST", () => loop.watch(pipe.read, { writable: true }, nothing));
  fails("INVALID_OPTION", () => watch.modify({ readable: false }));
  fails("INVALID_OPTION", () => watch.modify({ readable: 1 as unknown as boolean }));
  fails("INVALID_ARGUMENT", () => loop.watch(pipe.write, {}, null as unknown as () => void));
  fails("INVALID_ARGUMENT", () => loop.watch(pipe.write, null as unknown as object, nothing));
  watch.remove();
  fails("ENOENT", () => watch.remove());
  fails("ENOENT", () => watch.modify({}));
  watch[Symbol.dispose]();
});

testLoop("a regular file and a folder are always ready: EPERM, with what to do", (loop) => {
  for (const path of [join(root, "build.zig"), root]) {
    const descriptor = openSync(path, "r");
    try {
      assert.throws(() => loop.watch(descriptor, {}, () => {}), {
        code: "EPERM",
        errno: 1,
        advice: /regular file/,
      });
    } finally {
      closeSync(descriptor);
    }
  }
});

testLoop("a removed watch is not told of, even in the turn that has it", (loop) => {
  using first = new Pipe();
  using second = new Pipe();
  const watches: Watch[] = [];
  let calls = 0;
  const handler = (): void => {
    calls += 1;
    for (const watch of watches) watch.remove();
    watches.length = 0;
  };
  writeDescriptor(first.write, "x");
  writeDescriptor(second.write, "x");
  watches.push(loop.watch(first.read, {}, handler), loop.watch(second.read, {}, handler));
  turnUntil(loop, () => calls > 0, "one of them is told of");
  for (let turn = 0; turn < 5; turn++) loop.turn();
  assert.equal(calls, 1);
});

testLoop("a watch whose descriptor was closed can be removed", (loop) => {
  using pipe = new Pipe();
  const told: number[] = [];
  const watch = loop.watch(pipe.read, {}, (_, ready) => {
    told.push(ready);
    pipe.closeRead();
  });
  writeDescriptor(pipe.write, "x");
  turnUntil(loop, () => told.length > 0, "told");
  if (loop.backend === "io_uring") {
    turnUntil(loop, () => !watch.active, "its end");
    assert.deepEqual(told, [Ready.readable, Ready.error], "told that it cannot be watched");
    assert.equal(watch.active, false);
    assert.equal(watch.error?.code, "EBADF");
    fails("ENOENT", () => watch.modify({}));
  }
  watch.remove();
  assert.equal(watch.active, false);
});

testLoop("a watch can be removed in the turn that ends it", (loop) => {
  using first = new Pipe();
  using second = new Pipe();
  let calls = 0;
  const steps = [(): void => second.closeRead(), (): void => closed.remove()];
  const watch = loop.watch(first.read, {}, () => steps[calls++]?.());
  const closed = loop.watch(second.read, {}, () => {});
  writeDescriptor(first.write, "x");
  writeDescriptor(second.write, "x");
  turnUntil(loop, () => calls === 2, "told twice");
  assert.equal(closed.active, false);
  watch.remove();
});

testLoop("a number may be closed and watched again at once", (loop) => {
  for (let round = 0; round < 20; round++) {
    using pipe = new Pipe();
    let told = 0;
    using _watch = loop.watch(pipe.read, {}, (_, ready) => {
      told |= ready;
    });
    writeDescriptor(pipe.write, "x");
    turnUntil(loop, () => told === Ready.readable, "told");
  }
}, { maxWatches: 64 });

testLoop("as many as maxWatches can be watched", (loop) => {
  using first = new Pipe();
  using second = new Pipe();
  const nothing = (): void => {};
  using _a = loop.watch(first.read, {}, nothing);
  using _b = loop.watch(first.write, {}, nothing);
  fails("EXHAUSTED", () => loop.watch(second.read, {}, nothing));
}, { maxWatches: 2 });

testEach("a watch keeps run() going until it is removed or unref'd", async (backend) => {
  using loop = new Loop({ backend });
  using pipe = new Pipe();
  let told = 0;
  const watch = loop.watch(pipe.read, {}, (same) => {
    told += 1;
    readDescriptor(pipe.read, bytes);
    if (told === 2) same.remove();
    else setTimeout(() => writeDescriptor(pipe.write, "x"), 1);
  });
  setTimeout(() => writeDescriptor(pipe.write, "x"), 1);
  await loop.run();
  assert.equal(told, 2);
  assert.equal(watch.active, false);
  const idle = loop.watch(pipe.read, {}, () => {});
  idle.unref();
  await loop.run();
  idle.ref();
  idle.remove();
});

testEach("an attached loop is woken for a watched descriptor", async (backend) => {
  using loop = new Loop({ backend });
  using pipe = new Pipe();
  loop.attach();
  for (let round = 0; round < 3; round++) {
    await new Promise<void>((resolve) => {
      const watch = loop.watch(pipe.read, {}, () => {
        readDescriptor(pipe.read, bytes);
        watch.remove();
        resolve();
      });
      setTimeout(() => writeDescriptor(pipe.write, "x"), 5);
    });
  }
  loop.detach();
});

testLoop("what a handler throws leaves its watch as it was", (loop) => {
  using pipe = new Pipe();
  let calls = 0;
  const watch = loop.watch(pipe.read, {}, () => {
    calls += 1;
    if (calls === 1) throw new Error("thrown by a watch");
  });
  writeDescriptor(pipe.write, "x");
  const take = (): void => turnUntil(loop, () => calls === 2, "told again");
  assert.throws(take, /thrown by a watch/);
  assert.equal(watch.active, true);
  take();
  watch.remove();
});

testLoop("a handler may close the loop, and no other is called then", (loop) => {
  using first = new Pipe();
  using second = new Pipe();
  let calls = 0;
  const handler = (): void => {
    calls += 1;
    loop.close();
  };
  const watches = [first, second].map((pipe) => loop.watch(pipe.read, {}, handler));
  for (const pipe of [first, second]) writeDescriptor(pipe.write, "x");
  turnUntil(loop, () => loop.closed, "closed");
  assert.equal(calls, 1);
  assert.ok(watches.every((watch) => !watch.active));
});

testLoop("a watch whose descriptor was closed ends when it is modified", (loop) => {
  const pipe = new Pipe();
  const watch = loop.watch(pipe.read, {}, () => {});
  loop.turn();
  pipe[Symbol.dispose]();
  // Some backends notice by themselves.
  for (let turn = 0; turn < 3; turn++) loop.turn();
  if (watch.active) fails("EBADF", () => watch.modify({ writable: true }));
  assert.equal(watch.active, false);
  assert.equal(watch.error?.code, "EBADF");
  fails("ENOENT", () => watch.modify({}));
  turnUntil(loop, () => loop.stats().openWatches === 0, "the end");
});

testLoop("many descriptors at once", (loop) => {
  const pipes = Array.from({ length: 200 }, () => new Pipe());
  const told = new Set<number>();
  const watches = pipes.map((pipe) =>
    loop.watch(pipe.read, {}, (watch) => {
      readDescriptor(watch.fd, bytes);
      told.add(watch.fd);
    })
  );
  for (const pipe of pipes) writeDescriptor(pipe.write, "x");
  turnUntil(loop, () => told.size === pipes.length, "all told");
  for (const watch of watches) watch.remove();
  for (const pipe of pipes) pipe[Symbol.dispose]();
});

test("what is watched ends with its loop", () => {
  using pipe = new Pipe();
  const loop = new Loop({ backend: bestBackend });
  const watch = loop.watch(pipe.read, {}, () => {});
  loop.close();
  assert.equal(watch.active, false);
  fails("LOOP_CLOSED", () => watch.remove());
  fails("LOOP_CLOSED", () => watch.modify({}));
  watch.ref();
  watch.unref();
  watch[Symbol.dispose]();
  fails("LOOP_CLOSED", () => loop.watch(pipe.read, {}, () => {}));
  using other = new Loop({ backend: bestBackend });
  using _again = other.watch(pipe.read, {}, () => {});
});
