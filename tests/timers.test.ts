// Timers on a virtual clock: order, exactness to the microsecond, the beat of periodic ones, what a
// handler may do to them, their limit, and refusal of values that are no time.

import assert from "node:assert/strict";
import type { Loop, Timer, TimerOptions } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turnUntil, within } from "./support/drive.ts";

const virtual = { clock: "virtual" } as const;

/** Moves the clock and takes one turn. */
function advance(loop: Loop, us: number): void {
  loop.advance(us);
  loop.turn();
}

testLoop("timers fire in the order of their deadlines, equal ones as they were started", (loop) => {
  const fired: string[] = [];
  for (const [name, delayUs] of [["c", 30], ["a", 10], ["b1", 20], ["b2", 20], ["z", 0]] as const) {
    loop.startTimer(() => void fired.push(name), { delayUs });
  }
  advance(loop, 30);
  assert.deepEqual(fired, ["z", "a", "b1", "b2", "c"]);
}, virtual);

testLoop("a timer fires at its microsecond, not before and not again", (loop) => {
  let fired = 0;
  const timer = loop.startTimer(() => void (fired += 1), { delayUs: 1_000 });
  const other = loop.startTimer(() => void (fired += 10), { delayUs: 1_001 });
  assert.equal(timer.active, true);
  loop.turn();
  advance(loop, 999);
  assert.equal(fired, 0);
  advance(loop, 1);
  assert.equal(fired, 1);
  assert.equal(timer.active, false);
  assert.equal(other.active, true);
  advance(loop, 1);
  assert.equal(fired, 11);
  advance(loop, 1_000_000);
  assert.equal(fired, 11);
}, virtual);

testLoop("the clock stands still by itself and moves by what it is told", (loop) => {
  const start = loop.now();
  let fired = 0;
  loop.startTimer(() => void (fired += 1), { delayUs: 2 ** 40 });
  for (let turn = 0; turn < 5; turn++) loop.turn(1_000);
  assert.equal(loop.now(), start);
  loop.advance(2 ** 40 - 1);
  loop.turn();
  assert.equal(loop.now(), start + 2 ** 40 - 1);
  assert.equal(fired, 0);
  advance(loop, 1);
  assert.equal(loop.now(), start + 2 ** 40);
  assert.equal(fired, 1);
  for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(() => loop.advance(bad), { code: "INVALID_ARGUMENT" });
  }
}, virtual);

testLoop("only a virtual clock can be advanced", (loop) => {
  assert.throws(() => loop.advance(1), { code: "INVALID_ARGUMENT" });
});

testLoop("a periodic timer keeps its beat, also after a late turn", (loop) => {
  const start = loop.now();
  const at: number[] = [];
  const options = { delayUs: 5, periodUs: 10 };
  const timer = loop.startTimer(() => void at.push(loop.now() - start), options);
  for (let now = 0; now < 40; now++) advance(loop, 1);
  assert.deepEqual(at, [5, 15, 25, 35]);
  assert.equal(timer.active, true);
  // Late: it fires once and skips what it missed.
  advance(loop, 38);
  assert.deepEqual(at.splice(4), [78]);
  for (let now = 78; now < 98; now++) advance(loop, 1);
  assert.deepEqual(at.splice(4), [85, 95]);
  timer.cancel();
  advance(loop, 100);
  assert.equal(at.length, 4);
}, virtual);

testLoop("a cancelled timer does not fire", (loop) => {
  let fired = 0;
  const timer = loop.startTimer(() => void (fired += 1), { delayUs: 10 });
  timer.cancel();
  timer.cancel();
  assert.equal(timer.active, false);
  {
    using scoped = loop.startTimer(() => void (fired += 1), { delayUs: 10, periodUs: 10 });
    assert.equal(scoped.active, true);
  }
  advance(loop, 100);
  assert.equal(fired, 0);
}, virtual);

testLoop("restart begins anew, with its last options or others", (loop) => {
  let fired = 0;
  const timer = loop.startTimer(() => void (fired += 1), { delayUs: 10 });
  advance(loop, 9);
  timer.restart();
  advance(loop, 9);
  assert.equal(fired, 0, "the first start was still running");
  advance(loop, 1);
  assert.equal(fired, 1);
  timer.restart();
  assert.equal(timer.active, true);
  advance(loop, 10);
  assert.equal(fired, 2);
  timer.restart({ delayUs: 3, periodUs: 4 });
  for (let now = 0; now < 11; now++) advance(loop, 1);
  assert.equal(fired, 5);
  timer.restart({ delayUs: 2 });
  advance(loop, 100);
  assert.equal(fired, 6, "the period was left out");
  assert.throws(() => timer.restart({ delayUs: -1 }), { code: "INVALID_OPTION" });
  assert.equal(timer.active, false);
}, virtual);

testLoop("a handler may cancel and restart its own timer", (loop) => {
  const fired: string[] = [];
  loop.startTimer((timer) => {
    fired.push("periodic");
    if (fired.length === 3) timer.cancel();
  }, { delayUs: 1, periodUs: 1 });
  for (let now = 0; now < 10; now++) advance(loop, 1);
  assert.deepEqual(fired, ["periodic", "periodic", "periodic"]);
  let rounds = 0;
  const again = loop.startTimer((timer) => {
    assert.equal(timer, again);
    assert.equal(timer.active, false, "a one-shot has fired for the last time");
    rounds += 1;
    if (rounds < 4) timer.restart();
  }, { delayUs: 0 });
  for (let turn = 0; turn < 10; turn++) loop.turn();
  assert.equal(rounds, 4);
  loop.startTimer((timer) => timer.cancel(), { delayUs: 0 });
  loop.turn();
}, virtual);

testLoop("a timer cancelled by another in the same turn does not fire", (loop) => {
  const fired: string[] = [];
  const timers: Timer[] = [];
  timers.push(loop.startTimer(() => {
    fired.push("first");
    timers[1].cancel();
    timers[2].restart({ delayUs: 5 });
  }, { delayUs: 10 }));
  timers.push(loop.startTimer(() => void fired.push("second"), { delayUs: 10 }));
  timers.push(loop.startTimer(() => void fired.push("third"), { delayUs: 10 }));
  advance(loop, 10);
  assert.deepEqual(fired, ["first"]);
  advance(loop, 4);
  assert.deepEqual(fired, ["first"]);
  advance(loop, 1);
  assert.deepEqual(fired, ["first", "third"]);
}, virtual);

testLoop("a slot that was freed does not let an old firing through", (loop) => {
  const fired: string[] = [];
  const doomed = { timer: null as Timer | null };
  loop.startTimer(() => {
    doomed.timer!.cancel();
    // Takes the slot of the one that was cancelled, whose completion is already there.
    loop.startTimer(() => void fired.push("new"), { delayUs: 1_000 });
  }, { delayUs: 1 });
  doomed.timer = loop.startTimer(() => void fired.push("old"), { delayUs: 1 });
  advance(loop, 1);
  assert.deepEqual(fired, []);
  advance(loop, 1_000);
  assert.deepEqual(fired, ["new"]);
}, virtual);

testLoop("10,000 timers fire in order, each once", (loop) => {
  const count = 10_000;
  const start = loop.now();
  const fired = new Uint8Array(count);
  let latest = 0;
  let total = 0;
  for (let index = 0; index < count; index++) {
    const delayUs = Math.imul(index, 2_654_435_761) >>> 12;
    loop.startTimer(() => {
      assert.ok(delayUs >= latest, "out of order");
      latest = delayUs;
      fired[index] += 1;
      total += 1;
    }, { delayUs });
  }
  turnUntil(loop, () => {
    if (total > 0) assert.ok(loop.now() - start >= latest, "fired early");
    loop.advance(10_000);
    return total === count;
  }, "all timers");
  assert.ok(fired.every((times) => times === 1));
}, virtual);

testLoop("more timers than maxTimers are EXHAUSTED, until one ends", (loop) => {
  const start = (delayUs: number): Timer => loop.startTimer(() => {}, { delayUs });
  const timers = [1, 2, 3, 4].map(start);
  assert.throws(() => start(5), { code: "EXHAUSTED" });
  timers[2].cancel();
  const fifth = start(5);
  assert.throws(() => timers[2].restart(), { code: "EXHAUSTED" });
  assert.equal(timers[2].active, false);
  advance(loop, 5);
  assert.equal(fifth.active, false);
  [1, 2, 3, 4].map(start).forEach((timer) => timer.cancel());
}, { ...virtual, maxTimers: 4 });

testLoop("what is no time is refused with the name of the option", (loop) => {
  const bad = [NaN, -1, -0.001, Infinity, -Infinity, 2 ** 53 + 2, "5", null, 1n];
  for (const value of [...bad, undefined]) {
    const options = { delayUs: value } as unknown as TimerOptions;
    assert.throws(() => loop.startTimer(() => {}, options), {
      code: "INVALID_OPTION",
      message: /delayUs/,
    });
  }
  for (const value of [...bad, 0, 0.5]) {
    const options = { delayUs: 1, periodUs: value } as unknown as TimerOptions;
    assert.throws(() => loop.startTimer(() => {}, options), {
      code: "INVALID_OPTION",
      message: /periodUs/,
    });
  }
  for (const callback of [undefined, null, "f", {}]) {
    assert.throws(() => loop.startTimer(callback as unknown as () => void, { delayUs: 1 }), {
      code: "INVALID_ARGUMENT",
    });
  }
  assert.throws(() => loop.startTimer(() => {}, undefined as unknown as TimerOptions), {
    code: "INVALID_ARGUMENT",
  });
  const longest = loop.startTimer(() => assert.fail("early"), { delayUs: 2 ** 53 });
  advance(loop, 2 ** 52);
  longest.cancel();
  assert.equal(loop.turn(), 0, "a refused timer was started");
}, virtual);

testLoop("closing the loop ends its timers", (loop) => {
  const timer = loop.startTimer(() => assert.fail("after close"), { delayUs: 0 });
  loop.close();
  assert.equal(timer.active, false);
  timer.cancel();
  assert.throws(() => timer.restart(), { code: "LOOP_CLOSED" });
  assert.throws(() => loop.startTimer(() => {}, { delayUs: 1 }), { code: "LOOP_CLOSED" });
  assert.throws(() => loop.advance(1), { code: "LOOP_CLOSED" });
}, virtual);

testLoop("on the monotonic clock a timer ends a turn's wait and lies not in the future", (loop) => {
  const before = loop.now();
  let firedAt = 0;
  loop.startTimer(() => void (firedAt = loop.now()), { delayUs: 3_000 });
  turnUntil(loop, () => firedAt > 0, "the timer");
  assert.ok(firedAt >= before + 3_000, "early by the loop's own clock");
});

for (const mode of ["adaptive", "event", "poll"] as const) {
  testLoop(`run() in ${mode} mode fires timers and ends with the last`, async (loop) => {
    const fired: number[] = [];
    loop.startTimer((timer) => {
      fired.push(fired.length);
      if (fired.length < 3) return;
      timer.cancel();
      loop.startTimer(() => void fired.push(-1), { delayUs: 30_000 });
    }, { delayUs: 100, periodUs: 2_000 });
    await within(loop.run(), "run()");
    assert.deepEqual(fired, [0, 1, 2, -1]);
  }, { mode });
}

testLoop("timers of an attached loop wake the host", async (loop) => {
  loop.attach();
  let fired = 0;
  await within(
    new Promise<void>((resolve) => {
      loop.startTimer((timer) => {
        fired += 1;
        if (fired < 3) return;
        timer.cancel();
        resolve();
      }, { delayUs: 1_000, periodUs: 1_000 });
    }),
    "three ticks",
  );
  loop.detach();
  assert.equal(fired, 3);
});

testLoop("a virtual clock has an end, and a time limit there is still to come", (loop) => {
  let isReset = false;
  const listener = loop.listen("tcp://127.0.0.1:0", {});
  const conn = loop.connect(listener.endpoint, {
    close: () => void (isReset = true),
  }, { idleTimeoutMs: 1 });
  turnUntil(loop, () => conn.state === "open", "the connection");
  // It does not read, so that it is looked at from time to time.
  conn.pause();
  loop.advance(Number.MAX_SAFE_INTEGER);
  for (const us of [Number.MAX_SAFE_INTEGER, 2 ** 48]) {
    assert.throws(() => loop.advance(us), { code: "INVALID_ARGUMENT" });
  }
  const late = loop.startTimer(() => assert.fail("it is later"), { delayUs: 2 ** 50 });
  turnUntil(loop, () => isReset, "the limit of before the end");
  late.cancel();
  listener.close();
}, virtual);
