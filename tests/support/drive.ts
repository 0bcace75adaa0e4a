// Driving a loop to a certain point: bounded in turns or by an overall limit, never by sleeping.

import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import type { Loop } from "../../mod.ts";

/** How long a turn by hand waits for work at most. */
const waitUs = 10_000;
/** Turns in a row without a completion after which nothing will come any more. */
const maxIdleTurns = 500;
/** For so long they must be, too: a thread of the kernel may be what has to come first. */
const maxIdleMs = 5_000;
/** The overall limit of what is waited for as a promise. */
const limitMs = 20_000;

/** The ways to drive a loop. */
export type Driver = "turn" | "run" | "attach";

/** Every way to drive a loop. */
export const drivers: readonly Driver[] = ["turn", "run", "attach"];

/** Something that happens once. */
export class Signal {
  fired = false;
  readonly promise: Promise<void>;
  #resolve: () => void = () => {};

  constructor() {
    this.promise = new Promise((resolve) => this.#resolve = resolve);
  }

  fire(): void {
    this.fired = true;
    this.#resolve();
  }
}

/** Takes turns by hand until `done`; both ends must be on this loop, or need no host. */
export function turnUntil(loop: Loop, done: () => boolean, what: string): void {
  let since = performance.now();
  for (let idle = 0; idle < maxIdleTurns || performance.now() - since < maxIdleMs; idle++) {
    if (done()) return;
    if (loop.turn(waitUs) === 0) continue;
    idle = 0;
    since = performance.now();
  }
  assert.fail(`${what}: ${maxIdleTurns} turns without anything`);
}

/** Takes turns by hand, with the host's own events between them, until `done`. */
export async function turnBesideHost(
  loop: Loop,
  done: () => boolean,
  what: string,
): Promise<void> {
  for (let idle = 0; idle < maxIdleTurns * 10; idle++) {
    if (done()) return;
    if (loop.turn() > 0) idle = 0;
    else loop.turn(waitUs / 10);
    await macrotask();
  }
  assert.fail(`${what}: ${maxIdleTurns * 10} turns without anything`);
}

/** Takes a few turns in which nothing is expected to happen. */
export function turns(loop: Loop, count = 10, wait = 1_000): number {
  let completions = 0;
  for (let turn = 0; turn < count; turn++) completions += loop.turn(wait);
  return completions;
}

/** Drives `loop` in one of the three ways until `done` fires. */
export async function drive(loop: Loop, driver: Driver, done: Signal): Promise<void> {
  if (driver === "turn") {
    turnUntil(loop, () => done.fired, "the scenario");
  } else if (driver === "run") {
    void done.promise.then(() => loop.stop());
    await within(loop.run(), "run()");
    assert.ok(done.fired, "run() ended before the scenario");
  } else {
    loop.attach();
    try {
      await within(done.promise, "the scenario under attach()");
    } finally {
      loop.detach();
    }
  }
}

/** Waits until a driven loop sleeps: it makes no turn during several of the host's timers. */
export async function untilQuiet(loop: Loop): Promise<void> {
  for (let quiet = 0, tick = 0; quiet < 5; tick++) {
    assert.ok(tick < 500, "the loop goes on turning");
    const { turns } = loop.stats();
    await new Promise((resolve) => setTimeout(resolve, 5));
    quiet = loop.stats().turns === turns ? quiet + 1 : 0;
  }
}

/** `promise`, or a failure after an overall limit. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits in the host's event loop until `done`, or fails after an overall limit. */
export async function eventually(done: () => boolean, what: string): Promise<void> {
  for (let tick = 0; !done(); tick++) {
    assert.ok(tick * 2 < limitMs, `${what}: not within about ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Lets the host handle its own events. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
