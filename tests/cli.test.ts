// The `twinpoll` command: its output for people and for programs, its exit codes, and that a signal
// ends it in order.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { Loop } from "../mod.ts";
import { bestBackend, testEach } from "./support/backends.ts";
import { Child, type Finished, runChild } from "./support/child.ts";
import { turnUntil, within } from "./support/drive.ts";
import { command, root, runtime } from "./support/runtime.ts";

const cli = command("cli.ts");

/** Runs the command to its end. */
function twinpoll(...args: string[]): Promise<Finished> {
  return runChild([...cli, ...args]);
}

/** One message to an echo server. */
async function echo(port: number, message: string): Promise<void> {
  const socket = net.connect(port, "127.0.0.1", () => void socket.end(message));
  socket.setEncoding("utf8");
  const answer = new Promise<string>((resolve) => socket.once("data", resolve));
  assert.equal(await within(answer, "the echo"), message);
}

test("info says what the machine offers", async () => {
  const { code, stdout, stderr } = await twinpoll("info");
  assert.deepEqual([code, stderr], [0, ""]);
  const memory = ["locked memory", "huge pages", "NUMA nodes", "pool", "pool pages", "pool locked"];
  const backends = ["io_uring", "io_uring features", "epoll"];
  for (const row of ["runtime", "library", "kernel", "CPUs", ...backends, ...memory]) {
    assert.match(stdout, new RegExp(`^${row}  +\\S`, "m"));
  }
  assert.match(stdout, new RegExp(`^runtime +${runtime}$`, "m"));
});

test("info --json is one JSON object", async () => {
  const { code, stdout } = await twinpoll("info", "--json");
  assert.equal(code, 0);
  const machine = JSON.parse(stdout);
  assert.equal(machine.runtime, runtime);
  assert.equal(typeof machine.kernel, "string");
  assert.equal(machine.backends.epoll.available, true);
  assert.equal(machine.backends.select.available, true);
  assert.equal(typeof machine.backends.io_uring.available, "boolean");
  assert.ok(Array.isArray(machine.backends.io_uring.features));
  assert.deepEqual(machine.backends.epoll.features, []);
  assert.equal(typeof machine.hugePages["2MiB"].total, "number");
  assert.equal(typeof machine.numaNodes, "number");
  assert.equal(machine.pool.lock.asked, true);
  assert.equal(typeof machine.pool.lock.granted, "boolean");
});

testEach("echo --json says where it listens, echoes, and ends with SIGTERM", async (backend) => {
  const args = ["echo", "tcp://127.0.0.1:0", "--json", "--backend", backend];
  using child = new Child([...cli, ...args]);
  const line = await child.json();
  const endpoint = String(line.endpoint);
  assert.deepEqual(line, { event: "listening", endpoint, backend });
  const port = Number(/^tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(endpoint)![1]);
  for (const message of ["one", "two"]) await echo(port, message);
  child.kill("SIGTERM");
  const { code, stdout, stderr } = await child.finished;
  assert.deepEqual([code, stderr], [0, ""]);
  const { event, seconds, open, ...totals } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  assert.deepEqual([event, typeof seconds, typeof open], ["end", "number", "number"]);
  assert.deepEqual(totals, { accepted: 2, receivedBytes: 6, sentBytes: 6 });
});

testEach("echo of datagrams, with their number", async (backend) => {
  const args = ["echo", "udp://127.0.0.1:0", "--json", "--backend", backend];
  using child = new Child([...cli, ...args]);
  const { endpoint } = await child.json();
  using loop = new Loop({ backend });
  const answers: string[] = [];
  const socket = loop.bind("udp://127.0.0.1:0", {
    message: (_socket, lease) => void answers.push(new TextDecoder().decode(lease.bytes)),
  }, { remote: String(endpoint) });
  for (const message of ["one", "three"]) {
    const before = answers.length;
    socket.send(message);
    turnUntil(loop, () => answers.length > before, "the answer");
  }
  assert.deepEqual(answers, ["one", "three"]);
  child.kill("SIGTERM");
  const { code, stdout } = await child.finished;
  assert.equal(code, 0);
  const { seconds, ...totals } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  assert.equal(typeof seconds, "number");
  assert.deepEqual(totals, {
    event: "end",
    datagrams: 2,
    dropped: 0,
    receivedBytes: 8,
    sentBytes: 8,
  });
});

test("echo says for people where it listens, and ends with SIGINT", async () => {
  for (const mode of ["adaptive", "event"]) {
    using child = new Child([...cli, "echo", "tcp://127.0.0.1:0", "--mode", mode]);
    const line = await child.line();
    const found = /^listening on tcp:\/\/127\.0\.0\.1:(\d+) \((io_uring|epoll)\)$/.exec(line);
    assert.ok(found !== null, line);
    assert.equal(found[2], bestBackend);
    await echo(Number(found[1]), "hello");
    child.kill("SIGINT");
    const { code, stdout, stderr } = await child.finished;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(
      stdout,
      /\nended after [\d.]+ s: \d open, 1 accepted, 5 bytes received, 5 b.* sent\n$/,
    );
  }
});

test("a wrong command line is exit code 2, with the usage on standard error", async () => {
  const wrong: [args: string[], complaint: RegExp][] = [
    [[], /^twinpoll: no command\n/],
    [["frobnicate"], /^twinpoll: there is no command frobnicate\n/],
    [["info", "extra"], /^twinpoll: info takes no operand\n/],
    [["info", "--frobnicate"], /^twinpoll: .*--frobnicate/],
    [["echo"], /^twinpoll: echo takes an ENDPOINT\n/],
    [["echo", "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"], /^twinpoll: echo takes an ENDPOINT\n/],
    [["relay", "tcp://127.0.0.1:0"], /^twinpoll: relay takes LISTEN and TARGET\n/],
    [["echo", "tcp://127.0.0.1:0", "--backend"], /^twinpoll: \S/],
  ];
  const ends = await Promise.all(wrong.map(([args]) => twinpoll(...args)));
  for (const [index, { code, stdout, stderr }] of ends.entries()) {
    const [args, complaint] = wrong[index];
    assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    assert.match(stderr, complaint);
    assert.match(stderr, /usage: twinpoll/);
  }
});

test("what cannot be done is exit code 1, with advice", async () => {
  using loop = new Loop({ backend: bestBackend });
  const { endpoint } = loop.listen("tcp://127.0.0.1:0", {});
  const failing: [args: string[], message: RegExp][] = [
    [["echo", "127.0.0.1:7000"], /tcp:\/\/host:port/],
    [["echo", "udp://127.0.0.1"], /udp/],
    [["echo", endpoint], /EADDRINUSE/],
    [["echo", "tcp://127.0.0.1:0", "--backend", "kevent"], /backend/],
    [["echo", "tcp://127.0.0.1:0", "--mode", "fast"], /mode/],
  ];
  const ends = await Promise.all(failing.map(([args]) => twinpoll(...args)));
  for (const [index, { code, stdout, stderr }] of ends.entries()) {
    assert.deepEqual([code, stdout], [1, ""], failing[index][0].join(" "));
    assert.match(stderr, /^twinpoll: .*\.\n$/);
    assert.match(stderr, failing[index][1]);
  }
});

test("--help and --version", async () => {
  for (const flag of ["--help", "-h"]) {
    const { code, stdout, stderr } = await twinpoll(flag);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^usage: twinpoll/);
    for (
      const word of ["info", "echo", "pipe", "--backend", "--trigger", "--json", "--idle-timeout"]
    ) {
      assert.ok(stdout.includes(word));
    }
  }
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const { code, stdout } = await twinpoll("--version");
  assert.deepEqual([code, stdout], [0, `${version}\n`]);
  assert.equal(JSON.parse(readFileSync(join(root, "deno.json"), "utf8")).version, version);
});
