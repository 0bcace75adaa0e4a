// Looking names up: hosts file, name servers, time limits and cancellation, and every way in which
// it fails, with its code. The name server is on the tested loop.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import {
  type IoError,
  type Lookup,
  Loop,
  type ResolvedAddress,
  type ResolveOptions,
  useResolverFiles,
} from "../mod.ts";
import { bestBackend, testLoop, withLoop } from "./support/backends.ts";
import { macrotask, turns, turnUntil, within } from "./support/drive.ts";
import { answerTo, nameOf, NameServer, useTexts } from "./support/name_server.ts";

/** What a lookup came to, once. */
class Answer {
  count = 0;
  error: IoError | null = null;
  addresses: readonly ResolvedAddress[] = [];

  readonly handler = (error: IoError | null, addresses: readonly ResolvedAddress[]): void => {
    this.count += 1;
    this.error = error;
    this.addresses = addresses;
  };

  get hosts(): readonly string[] {
    return this.addresses.map(({ host }) => host);
  }
}

/** Looks up until there is an answer. */
function resolve(loop: Loop, name: string, options?: ResolveOptions): Answer {
  const answer = new Answer();
  const lookup = loop.resolve(name, answer.handler, options);
  assert.equal(lookup.name, name);
  assert.ok(lookup.pending);
  turnUntil(loop, () => answer.count > 0, `an answer for ${name}`);
  assert.ok(!lookup.pending);
  return answer;
}

testLoop("names of the hosts file, addresses and localhost ask nobody", (loop) => {
  const hosts = "10.0.0.1 a.test A\n10.0.0.2 a.test\nfe80::1%7 a.test # b.test\n";
  const server = new NameServer(loop, {}, hosts);
  assert.deepEqual(resolve(loop, "a.test").addresses, [
    { family: "ipv6", host: "fe80::1%7" },
    { family: "ipv4", host: "10.0.0.1" },
    { family: "ipv4", host: "10.0.0.2" },
  ]);
  assert.deepEqual(resolve(loop, "A", { family: "ipv4" }).hosts, ["10.0.0.1"]);
  assert.deepEqual(resolve(loop, "localhost").hosts, ["::1", "127.0.0.1"]);
  assert.deepEqual(resolve(loop, "web.localhost", { family: "ipv4" }).hosts, ["127.0.0.1"]);
  assert.deepEqual(resolve(loop, "192.0.2.1").hosts, ["192.0.2.1"]);
  assert.deepEqual(resolve(loop, "2001:db8::1").hosts, ["2001:db8::1"]);
  assert.equal(resolve(loop, "::1", { family: "ipv4" }).error?.code, "NAME_NOT_FOUND");
  assert.deepEqual(server.asked, []);
  server.close();
});

testLoop("name servers tell addresses, in the order in which to try them", (loop) => {
  const server = new NameServer(
    loop,
    {
      "both.test": ["10.0.0.1", "10.0.0.2", "2001:db8::1"],
      "four.test": ["10.0.0.3"],
      "nothing.test": [],
      "broken.test": "failure",
      "short.found.test": ["10.0.0.4"],
    },
    "",
    "\nsearch found.test",
  );
  assert.deepEqual(resolve(loop, "both.test").hosts, ["2001:db8::1", "10.0.0.1", "10.0.0.2"]);
  assert.deepEqual(resolve(loop, "both.test.", { family: "ipv6" }).hosts, ["2001:db8::1"]);
  assert.deepEqual(resolve(loop, "four.test").hosts, ["10.0.0.3"]);
  assert.deepEqual(resolve(loop, "short").hosts, ["10.0.0.4"]);
  for (
    const [name, code] of [
      ["nothing.test", "NAME_NOT_FOUND"],
      ["missing.test", "NAME_NOT_FOUND"],
      ["broken.test", "RESOLVE_FAILED"],
    ] as const
  ) {
    const { error, addresses } = resolve(loop, name);
    assert.equal(error?.code, code);
    assert.match(error!.message, new RegExp(`resolve ${name}`));
    assert.ok(error!.advice.length > 10);
    assert.equal(addresses.length, 0);
  }
  server.close();
});

testLoop("a server that is not there is told", (loop) => {
  useTexts("", "nameserver [127.0.0.1]:9\noptions timeout:30 attempts:1");
  // A server that is only silent would be waited for until the time limit.
  const { error } = resolve(loop, "a.test", { timeoutMs: 10_000 });
  assert.equal(error?.code, "RESOLVE_FAILED");
});

testLoop("a silent server is waited for as long as was asked", (loop) => {
  const server = new NameServer(loop, { "a.test": "silence" });
  const answer = new Answer();
  loop.resolve("a.test", answer.handler, { timeoutMs: 400 });
  turnUntil(loop, () => server.waiting > 0, "the server was asked");
  loop.advance(399_000);
  turns(loop, 3);
  assert.equal(answer.count, 0);
  loop.advance(1_000);
  turnUntil(loop, () => answer.count > 0, "the time limit");
  assert.equal(answer.error?.code, "RESOLVE_TIMEOUT");
  turnUntil(loop, () => server.waiting === 0, "the lookup let go");
  server.close();
}, { clock: "virtual" });

testLoop("a lookup that is cancelled in any state tells so once", (loop) => {
  const server = new NameServer(loop, { "a.test": "silence", "b.test": ["10.0.0.1"] });
  const cancel = (name: string, prepare: (lookup: Lookup) => void): IoError => {
    const answer = new Answer();
    const lookup = loop.resolve(name, answer.handler);
    prepare(lookup);
    lookup.cancel();
    lookup.cancel();
    assert.ok(lookup.pending);
    turnUntil(loop, () => !lookup.pending, "the end");
    lookup.cancel();
    turns(loop, 5);
    assert.equal(answer.count, 1);
    return answer.error!;
  };
  assert.equal(cancel("a.test", () => {}).code, "ABORTED");
  const asking = (): void => turnUntil(loop, () => server.waiting > 0, "the server was asked");
  assert.equal(cancel("a.test", asking).code, "ABORTED");
  assert.equal(cancel("localhost", () => {}).code, "ABORTED");

  const reason = new Error("enough");
  for (const when of ["before", "after"]) {
    const controller = new AbortController();
    if (when === "before") controller.abort(reason);
    const answer = new Answer();
    loop.resolve("a.test", answer.handler, { signal: controller.signal });
    controller.abort(reason);
    turnUntil(loop, () => answer.count > 0, "the end");
    assert.equal(answer.error?.code, "ABORTED");
    assert.equal(answer.error?.cause, reason);
  }
  assert.deepEqual(resolve(loop, "b.test").hosts, ["10.0.0.1"]);
  turnUntil(loop, () => server.waiting === 0, "every lookup let go");
  server.close();
});

testLoop("closing the loop ends lookups in every state", (loop) => {
  const server = new NameServer(loop, { "a.test": "silence" });
  const answers = [0, 1, 2, 3].map(() => new Answer());
  for (const { handler } of answers.slice(0, 2)) loop.resolve("a.test", handler);
  turnUntil(loop, () => server.waiting > 0, "the server was asked");
  loop.resolve("localhost", answers[2].handler);
  loop.resolve("a.test", answers[3].handler).cancel();
  loop.close();
  assert.deepEqual(answers.map(({ count }) => count), [1, 1, 1, 1]);
  for (const { error } of answers) assert.equal(error?.code, "LOOP_CLOSED");
  assert.throws(() => loop.resolve("a.test", () => {}), { code: "LOOP_CLOSED" });
});

testLoop("what is no name or no option is refused at once", (loop) => {
  const long = `${"a.".repeat(126)}ab`;
  for (const name of ["", ".", "a..b", "-a", "a-", "a b", "bücher.de", "1.2.3.256", long]) {
    assert.throws(() => loop.resolve(name, () => {}), { code: "INVALID_NAME" }, name);
  }
  assert.throws(() => loop.resolve(`${"a".repeat(64)}.test`, () => {}), /longer than 63/);
  assert.throws(() => loop.resolve(5 as unknown as string, () => {}), { code: "INVALID_NAME" });
  const options = [{ timeoutMs: 0 }, { timeoutMs: 3_600_001 }, { timeoutMs: NaN }, { family: "x" }];
  for (const option of options as ResolveOptions[]) {
    assert.throws(() => loop.resolve("a.test", () => {}, option), { code: "INVALID_OPTION" });
  }
  for (const path of ["", "x".repeat(256), "a\0b", 7 as unknown as string]) {
    assert.throws(() => useResolverFiles({ hosts: path }), { code: "INVALID_OPTION" });
  }
  assert.equal(turns(loop, 2), 0);
});

test("a thousand at once are all answered, and there is a limit", async () => {
  await withLoop({ backend: bestBackend }, (loop) => {
    useTexts("10.0.0.1 a.test\n", "nameserver [127.0.0.1]:9");
    const answers = Array.from({ length: 1_000 }, () => new Answer());
    for (const { handler } of answers) loop.resolve("a.test", handler);
    turnUntil(loop, () => answers.every(({ count }) => count === 1), "a thousand answers");
    for (const answer of answers) assert.deepEqual(answer.hosts, ["10.0.0.1"]);

    const server = new NameServer(loop, { "b.test": "silence" });
    const lookups: Lookup[] = [];
    const start = (): void => void lookups.push(loop.resolve("b.test", () => {}));
    assert.throws(() => {
      for (let count = 0; count < 3_000; count++) start();
    }, { code: "EXHAUSTED" });
    assert.equal(lookups.length, 2_048);
    for (const lookup of lookups) lookup.cancel();
    turnUntil(loop, () => lookups.every(({ pending }) => !pending), "all are cancelled");
    assert.equal(resolve(loop, "localhost").error, null);
    turnUntil(loop, () => server.waiting === 0, "every lookup let go");
    server.close();
  });
});

test("promises, datagrams, and a loop that sleeps until the answer comes", async () => {
  const socket = createSocket("udp4");
  socket.on("message", (question, { port, address }) => {
    const reply = nameOf(question) === "a.test" ? ["10.0.0.1", "::1"] : "no such name";
    socket.send(answerTo(question, question[question.length - 3], reply), port, address);
  });
  await new Promise<void>((resolve) => void socket.bind(0, "127.0.0.1", resolve));
  const loop = new Loop({ backend: bestBackend });
  try {
    useTexts("", `nameserver [127.0.0.1]:${socket.address().port}\n`);
    loop.attach();
    const addresses = await within(loop.resolve("a.test"), "the addresses");
    assert.deepEqual(addresses.map(({ host }) => host), ["::1", "10.0.0.1"]);
    const only = await within(loop.resolve("a.test", { family: "ipv4" }), "one of them");
    assert.deepEqual(only, [{ family: "ipv4", host: "10.0.0.1" }]);
    await assert.rejects(within(loop.resolve("b.test"), "a refusal"), { code: "NAME_NOT_FOUND" });
    await assert.rejects(loop.resolve("not a name"), { code: "INVALID_NAME" });
    loop.detach();
    // A lookup keeps `run()` going, one that is unref'd does not.
    let isOver = false;
    const lookup = loop.resolve("a.test", () => isOver = true);
    await within(loop.run(), "run()");
    assert.ok(isOver && !lookup.pending);
    loop.resolve("a.test", () => {}).unref();
    await within(loop.run(), "run() without a ref");
    await macrotask();
  } finally {
    loop.close();
    socket.close();
  }
});
