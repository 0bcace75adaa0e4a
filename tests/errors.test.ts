// Errors: each is an IoError that says what was attempted, what happened and what to do; misuse of
// what is gone is one too.

import assert from "node:assert/strict";
import { constants } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { IoError, type IoErrorCode, type LibraryErrorCode, Loop } from "../mod.ts";
import { errnoName } from "../src/error_numbers.ts";
import { errorOfStatus } from "../src/io_error.ts";
import { Status, Syscall } from "../src/native/abi.ts";
import { testLoop } from "./support/backends.ts";
import { testUnless } from "./support/record.ts";
import { anyPort, openPair } from "./support/streams.ts";

/** Every code of the library; the type makes sure that none is missing. */
const libraryCodes: Record<LibraryErrorCode, true> = {
  ABI_MISMATCH: true,
  ABORTED: true,
  BACKEND_UNAVAILABLE: true,
  BUSY: true,
  CONNECT_TIMEOUT: true,
  DESCRIPTOR_LIMIT: true,
  EXHAUSTED: true,
  FORKED: true,
  IDLE_TIMEOUT: true,
  INVALID_ARGUMENT: true,
  INVALID_ENDPOINT: true,
  INVALID_MESSAGE: true,
  INVALID_NAME: true,
  INVALID_OPTION: true,
  LIBRARY_NOT_FOUND: true,
  LOOP_CLOSED: true,
  MESSAGE_TOO_LARGE: true,
  NAME_NOT_FOUND: true,
  NOT_GRANTED: true,
  NO_THREADS: true,
  PERMISSION_DENIED: true,
  RESOLVE_FAILED: true,
  RESOLVE_TIMEOUT: true,
  SHUT_DOWN: true,
  STALE_HANDLE: true,
  STALE_LEASE: true,
  TRUNCATED_MESSAGE: true,
  UNKNOWN_SCHEME: true,
  UNSUPPORTED: true,
  UNSUPPORTED_RUNTIME: true,
  WRONG_LOOP: true,
  WRONG_THREAD: true,
};

/** Codes whose advice depends on the place that throws them. */
const advisedInPlace = new Set<string>([
  "INVALID_ENDPOINT",
  "LIBRARY_NOT_FOUND",
  "PERMISSION_DENIED",
  "UNKNOWN_SCHEME",
  "UNSUPPORTED_RUNTIME",
]);

test("an IoError is an Error with code, advice and cause", () => {
  const cause = new Error("underneath");
  const error = new IoError("EXHAUSTED", "too many", { errno: 24, syscall: "accept", cause });
  assert.ok(error instanceof Error);
  assert.equal(error.name, "IoError");
  assert.equal(error.message, "too many");
  assert.match(String(error), /IoError: too many/);
  assert.match(error.stack ?? "", /too many/);
  const { code, errno, syscall } = error;
  assert.deepEqual({ code, errno, syscall, cause: error.cause }, {
    code: "EXHAUSTED",
    errno: 24,
    syscall: "accept",
    cause,
  });
  const own = new IoError("EPROTO", "of a program", { advice: "Do this." });
  assert.equal(own.advice, "Do this.");
  assert.equal("cause" in own, false);
});

test("every code of the library has advice of its own", () => {
  const unknown = new IoError("EWHATEVER", "x").advice;
  for (const code of Object.keys(libraryCodes) as IoErrorCode[]) {
    const { advice } = new IoError(code, "x");
    assert.match(advice, /^[A-Z].*\.$/, `${code}: advice is a sentence`);
    if (!advisedInPlace.has(code)) assert.notEqual(advice, unknown, code);
  }
});

test("every status of native code becomes an error with a code of the library", () => {
  for (const [name, status] of Object.entries(Status)) {
    if (status === Status.ok) continue;
    const { code, message } = errorOfStatus(status, "attempt");
    assert.ok(Object.hasOwn(libraryCodes, code), `${name} is ${code}`);
    assert.match(message, /^attempt: ./);
  }
  assert.equal(errorOfStatus(-2_000_000, "attempt").code, "INVALID_ARGUMENT");
});

const otherNumbers = process.platform !== "linux" && "kernel: it numbers errors otherwise";

testUnless(otherNumbers, "every error number of Linux becomes an error with its name", () => {
  for (const [name, errno] of Object.entries(constants.errno)) {
    const error = errorOfStatus(-errno, "connect tcp://127.0.0.1:1", Syscall.connect);
    // Some numbers have two names.
    assert.equal(constants.errno[error.code as "EPERM"], constants.errno[name as "EPERM"]);
    assert.equal(error.errno, errno);
    assert.equal(error.syscall, "connect");
    assert.ok(error.message.includes(error.code), error.message);
    assert.match(error.advice, /\.$/);
  }
});

test("error numbers are Linux's on every system, and what has no name keeps its number", () => {
  assert.equal(errnoName(11), "EAGAIN");
  assert.equal(errnoName(111), "ECONNREFUSED");
  assert.equal(errnoName(133), "EHWPOISON");
  for (const errno of [0, 41, 58, 134, 2_127, 4_000]) {
    assert.equal(errnoName(errno), `ERRNO_${errno}`);
  }
});

testLoop("everything on a closed loop says LOOP_CLOSED or STALE", async (loop) => {
  const { client } = openPair(loop);
  const listener = loop.listen(anyPort, {});
  const timer = loop.startTimer(() => {}, { delayUs: 1e6 });
  const lease = loop.allocate()!;
  loop.close();
  const uses: [code: string, use: () => unknown][] = [
    ["LOOP_CLOSED", () => loop.turn()],
    ["LOOP_CLOSED", () => loop.listen(anyPort, {})],
    ["LOOP_CLOSED", () => loop.connect("tcp://127.0.0.1:1", {})],
    ["LOOP_CLOSED", () => loop.allocate()],
    ["LOOP_CLOSED", () => loop.startTimer(() => {}, { delayUs: 1 })],
    ["LOOP_CLOSED", () => loop.defer(() => {})],
    ["LOOP_CLOSED", () => loop.advance(1)],
    ["LOOP_CLOSED", () => loop.attach()],
    ["LOOP_CLOSED", () => timer.restart()],
    ["STALE_HANDLE", () => client.send("x")],
    ["STALE_HANDLE", () => client.pause()],
    ["STALE_HANDLE", () => client.shutdown()],
    ["STALE_HANDLE", () => client.localAddress],
    ["STALE_LEASE", () => lease.bytes],
    ["STALE_LEASE", () => lease.retain()],
  ];
  for (const [code, use] of uses) {
    assert.throws(use, (error) => {
      assert.ok(error instanceof IoError, String(error));
      assert.equal(error.code, code, use.toString());
      assert.ok(error.message.length > 0 && error.advice.length > 0);
      return true;
    });
  }
  await assert.rejects(loop.run(), { code: "LOOP_CLOSED" });
  // What only ends or reads something is harmless.
  loop.close();
  loop.stop();
  loop.detach();
  loop.ref();
  loop.unref();
  listener.close();
  listener.ref();
  client.close();
  client.abort();
  timer.cancel();
  assert.equal(typeof loop.stats().turns, "number");
  assert.equal(typeof loop.now(), "number");
  assert.equal(listener.closed, true);
  assert.match(listener.endpoint, /^tcp:/);
});

testLoop("loops and handles cannot be cloned into something that works", (loop) => {
  const { client, server } = openPair(loop);
  const lease = loop.allocate()!;
  for (const [original, verb] of [[loop, "turn"], [client, "send"], [lease, "release"]] as const) {
    let clone: Record<string, unknown> = {};
    try {
      clone = structuredClone(original) as unknown as Record<string, unknown>;
    } catch (error) {
      assert.equal((error as Error).name, "DataCloneError");
    }
    assert.equal(clone[verb], undefined);
  }
  assert.equal(structuredClone(loop) instanceof Loop, false);
  lease.release();
  client.abort();
  server.abort();
});
