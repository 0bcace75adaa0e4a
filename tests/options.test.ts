// Options: each that is out of its range is refused with its name, before anything is opened; each
// that is granted can be read back.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ConnectOptions,
  IoError,
  type ListenOptions,
  Loop,
  type LoopOptions,
} from "../mod.ts";
import { bestBackend, testEach, testLoop } from "./support/backends.ts";
import { anyPort } from "./support/streams.ts";

const noInteger = [NaN, 1.5, -1, Infinity, -Infinity, "8", null, true, {}, 8n];

/** Throws `INVALID_OPTION` for each value, and the message names the option and the value. */
function refuses(name: string, values: readonly unknown[], use: (value: unknown) => unknown): void {
  for (const value of values) {
    assert.throws(() => use(value), (error) => {
      assert.ok(error instanceof IoError, `${name}: ${String(error)}`);
      assert.equal(error.code, "INVALID_OPTION", error.message);
      assert.ok(error.message.includes(name), `${error.message} does not name ${name}`);
      assert.ok(error.advice.includes(name), `${error.advice} does not name ${name}`);
      return true;
    });
  }
}

test("options of a loop", () => {
  const open = (options: object): void => new Loop({ backend: bestBackend, ...options }).close();
  const integers: [name: string, tooSmall: number, tooLarge: number][] = [
    ["maxConnections", 0, 1_048_577],
    ["maxListeners", 0, 4_097],
    ["maxWatches", 0, 65_537],
    ["maxSockets", 0, 65_537],
    ["maxTimers", 0, 1_048_577],
    ["spinCeilingUs", 0, 1_000_001],
    ["entries", 32, 131_072],
  ];
  for (const [name, small, large] of integers) {
    refuses(name, [...noInteger, small, large], (value) => open({ [name]: value }));
  }
  refuses("entries", [65, 100, 4_097], (entries) => open({ entries }));
  const sizes: [name: string, tooSmall: number, tooLarge: number][] = [
    ["bufferSize", 256, 2_097_152],
    ["receiveBuffers", 4, 65_536],
    ["maxBytes", 65_535, 2 ** 40 + 1],
    ["slabBytes", 32_768, 2 ** 31],
    ["numaNode", -1, 1_024],
  ];
  for (const [name, small, large] of sizes) {
    const use = (value: unknown): void => open({ pool: { [name]: value } });
    const wrong = name === "numaNode" ? noInteger.filter((value) => value !== 0) : noInteger;
    refuses(`pool.${name}`, [...wrong, small, large], use);
  }
  refuses("pool.bufferSize", [513, 10_000], (bufferSize) => open({ pool: { bufferSize } }));
  refuses("pool.receiveBuffers", [9, 100], (count) => open({ pool: { receiveBuffers: count } }));
  refuses("backend", ["poll", "", 1, null, "constructor"], (backend) => open({ backend }));
  refuses("trigger", ["rising", "", 0, null], (trigger) => open({ backend: "epoll", trigger }));
  refuses("trigger", ["edge", "level"], (trigger) => open({ backend: "io_uring", trigger }));
  refuses("mode", ["busy", 0, {}, "toString"], (mode) => open({ mode }));
  refuses("clock", ["wall", 0, false], (clock) => open({ clock }));
  refuses("onLeak", [5, "warn", {}, null], (onLeak) => open({ onLeak }));
  refuses("debug", [1, "yes", null], (debug) => open({ debug }));
  refuses("pool", [null, 5, "large"], (pool) => open({ pool }));
  for (const options of [null, 5, "fast"]) {
    assert.throws(() => new Loop(options as LoopOptions), { code: "INVALID_ARGUMENT" });
  }
});

testEach("what a loop is granted is what it was asked for", (backend) => {
  const options = {
    backend,
    mode: "event",
    clock: "virtual",
    maxConnections: 3,
    maxListeners: 2,
    maxWatches: 4,
    maxSockets: 3,
    maxTimers: 1,
    entries: 64,
  } as const;
  const pool = { bufferSize: 512, receiveBuffers: 8, maxBytes: 131_072, slabBytes: 65_536 };
  using loop = new Loop({ ...options, pool, spinCeilingUs: 1, debug: true });
  const { rung, setupFlags, features, trigger, ...granted } = loop.capabilities;
  assert.deepEqual(granted, { ...options, ...pool });
  assert.ok(Number.isInteger(rung) && rung >= 0);
  assert.equal(setupFlags.length > 0, backend === "io_uring");
  if (backend !== "io_uring") assert.deepEqual(features, []);
  assert.equal(trigger === null, backend === "io_uring");
  assert.deepEqual([loop.backend, loop.mode], [backend, "event"]);
});

testEach("the defaults are as documented", (backend) => {
  using loop = new Loop({ backend });
  const { rung: _, setupFlags: __, features: ___, trigger, ...granted } = loop.capabilities;
  const byDefault = backend === "io_uring" ? null : backend === "select" ? "level" : "edge";
  assert.equal(trigger, byDefault);
  assert.deepEqual(granted, {
    backend,
    mode: "adaptive",
    clock: "monotonic",
    bufferSize: 16_384,
    receiveBuffers: 1_024,
    maxBytes: 268_435_456,
    slabBytes: 8_388_608,
    maxConnections: 65_536,
    maxListeners: 64,
    maxWatches: 1_024,
    maxSockets: 1_024,
    maxTimers: 65_536,
    entries: 4_096,
  });
});

test("a trigger is what was asked for, or refused with the reason", () => {
  for (const backend of ["epoll", "kqueue"] as const) {
    for (const trigger of ["edge", "level"] as const) {
      using loop = new Loop({ backend, trigger });
      assert.equal(loop.capabilities.trigger, trigger);
    }
  }
  using level = new Loop({ backend: "select", trigger: "level" });
  assert.equal(level.capabilities.trigger, "level");
  assert.throws(() => new Loop({ backend: "select", trigger: "edge" }), {
    code: "BACKEND_UNAVAILABLE",
    message: /changes only/,
    advice: /level/,
  });
});

/** The options that listening and connecting share. */
function checkStreamOptions(use: (options: object) => unknown): void {
  const bufferSize = 16_384;
  const marks = [...noInteger, 2 * bufferSize - 1, 2 ** 30 + 1];
  refuses("highWaterMark", marks, (highWaterMark) => use({ highWaterMark }));
  const limits = [...noInteger, 0, 3_600_001];
  refuses("lingerTimeoutMs", limits, (lingerTimeoutMs) => use({ lingerTimeoutMs }));
  refuses("receiveCredits", [...noInteger, 0, 65_537], (receiveCredits) => use({ receiveCredits }));
  refuses("noDelay", [0, "no", null], (noDelay) => use({ noDelay }));
}

testLoop("options of listening", (loop) => {
  const listen = (options: ListenOptions): void => loop.listen(anyPort, {}, options).close();
  checkStreamOptions(listen);
  refuses("backlog", [...noInteger, 0, 65_536], (value) => listen({ backlog: value as number }));
  refuses("reusePort", [1, "yes", null], (value) => listen({ reusePort: value as boolean }));
  refuses("ipv6Only", [0, "yes", null], (value) => listen({ ipv6Only: value as boolean }));
  assert.equal(loop.stats().openListeners, 0);
  listen({ backlog: 65_535, highWaterMark: 32_768, lingerTimeoutMs: 3_600_000, noDelay: false });
  listen({ backlog: 1, highWaterMark: 2 ** 30, lingerTimeoutMs: 1 });
});

testLoop("options of connecting", (loop) => {
  const listener = loop.listen(anyPort, {});
  const connect = (options: ConnectOptions): void =>
    loop.connect(listener.address, {}, options).abort();
  checkStreamOptions(connect);
  const limits = [...noInteger, 3_600_001];
  refuses("timeoutMs", limits, (value) => connect({ timeoutMs: value as number }));
  assert.equal(loop.stats().openConnections, 0);
  connect({ timeoutMs: 3_600_000, noDelay: false });
  listener.close();
});

testLoop("handlers must be functions", (loop) => {
  for (const handlers of [null, undefined, 5, "data"]) {
    const use = handlers as unknown as object;
    assert.throws(() => loop.listen(anyPort, use), { code: "INVALID_ARGUMENT" });
    assert.throws(() => loop.connect("tcp://127.0.0.1:1", use), { code: "INVALID_ARGUMENT" });
  }
  for (const name of ["open", "data", "end", "drain", "close", "error"]) {
    const use = { [name]: "no function" } as object;
    const expected = { code: "INVALID_ARGUMENT", message: new RegExp(name) };
    assert.throws(() => loop.listen(anyPort, use), expected);
    if (name === "error") continue;
    assert.throws(() => loop.connect("tcp://127.0.0.1:1", use), expected);
  }
  assert.equal(loop.stats().openListeners + loop.stats().openConnections, 0);
});

testLoop("a turn waits a time that is one", (loop) => {
  for (const wait of [NaN, -1, -Infinity, 2 ** 32, "1" as unknown as number]) {
    assert.throws(() => loop.turn(wait), { code: "INVALID_ARGUMENT" });
  }
  assert.equal(loop.turn(0.5), 0);
});
