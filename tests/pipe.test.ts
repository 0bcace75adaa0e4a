// `twinpoll pipe`: bytes from standard input and to standard output, the ends of both directions,
// and exit codes.

import assert from "node:assert/strict";
import net from "node:net";
import process from "node:process";
import { test } from "node:test";
import { type Connection, Loop } from "../mod.ts";
import { bestBackend, testEach } from "./support/backends.ts";
import { Child, runChild } from "./support/child.ts";
import { eventually, within } from "./support/drive.ts";
import { command } from "./support/runtime.ts";
import { listenEcho } from "./support/streams.ts";

const cli = command("cli.ts");

/** Text that shows what is missing. */
function lines(count: number): string {
  return Array.from({ length: count }, (_, line) => `line ${line}\n`).join("");
}

/** Runs `body` beside a loop in this process's event loop. */
async function withServer(body: (loop: Loop) => Promise<void>): Promise<void> {
  using loop = new Loop({ backend: bestBackend });
  loop.attach();
  await body(loop);
}

testEach("pipe passes on its input and prints the answer", async (backend) => {
  await withServer(async (loop) => {
    const { endpoint } = listenEcho(loop);
    using child = new Child([...cli, "pipe", endpoint, "--backend", backend]);
    const text = lines(50_000);
    child.input(text);
    child.input(null);
    const { code, stdout, stderr } = await child.finished;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.ok(stdout === text, `${stdout.length} of ${text.length} bytes`);
  });
});

test("pipe over a Unix socket, with totals as JSON", async () => {
  await withServer(async (loop) => {
    const { endpoint } = listenEcho(loop, `unix:@twinpoll-pipe-${process.pid}`);
    using child = new Child([...cli, "pipe", endpoint, "--json"]);
    child.input("twelve bytes");
    child.input(null);
    const { code, stdout, stderr } = await child.finished;
    assert.deepEqual([code, stdout], [0, "twelve bytes"]);
    const { event, seconds, ...totals } = JSON.parse(stderr.trimEnd().split("\n").at(-1)!);
    assert.deepEqual([event, typeof seconds], ["end", "number"]);
    assert.deepEqual(totals, { receivedBytes: 12, sentBytes: 12 });
  });
});

test("the end of the input is passed on, and what comes after it is printed", async () => {
  await withServer(async (loop) => {
    const { endpoint } = loop.listen("tcp://127.0.0.1:0", {
      data: () => {},
      end(conn): void {
        conn.send("only now");
        conn.close();
      },
    });
    using child = new Child([...cli, "pipe", endpoint]);
    child.input("question");
    child.input(null);
    const { code, stdout, stderr } = await child.finished;
    assert.deepEqual([code, stdout, stderr], [0, "only now", ""]);
  });
});

test("after the peer's end the input is still passed on", async () => {
  await withServer(async (loop) => {
    let received = "";
    const { endpoint } = loop.listen("tcp://127.0.0.1:0", {
      open(conn): void {
        conn.send("first");
        conn.shutdown();
      },
      data: (_conn, lease) => void (received += new TextDecoder().decode(lease.bytes)),
    });
    using child = new Child([...cli, "pipe", endpoint]);
    await eventually(() => child.stdout === "first", "what the peer sent");
    child.input("after the end");
    child.input(null);
    const { code } = await child.finished;
    assert.deepEqual([code, received], [0, "after the end"]);
  });
});

test("pipe --listen accepts one connection", async () => {
  using child = new Child([...cli, "pipe", "tcp://127.0.0.1:0", "--listen"]);
  const [, port] = await child.errorMatch(/^listening on tcp:\/\/127\.0\.0\.1:(\d+) \(\w+\)\n/);
  const socket = net.connect({ port: Number(port), host: "127.0.0.1", allowHalfOpen: true });
  socket.setEncoding("utf8");
  let answer = "";
  socket.on("data", (text) => answer += text);
  const ended = new Promise<void>((resolve) => socket.once("end", resolve));
  socket.end("from the client");
  child.input("from the command");
  child.input(null);
  await within(ended, "the command's end");
  const { code, stdout } = await child.finished;
  assert.deepEqual([code, stdout, answer], [0, "from the client", "from the command"]);
});

test("a reset, a refusal and a wrong endpoint are exit code 1, with advice", async () => {
  await withServer(async (loop) => {
    const accepted: Connection[] = [];
    const listener = loop.listen("tcp://127.0.0.1:0", {
      open: (conn) => void accepted.push(conn),
      data: (conn) => conn.abort(),
    });
    using child = new Child([...cli, "pipe", listener.endpoint]);
    child.input("x");
    const reset = await child.finished;
    listener.close();
    const refused = await runChild([...cli, "pipe", listener.endpoint]);
    const wrong = await runChild([...cli, "pipe", "tcp://127.0.0.1"]);
    const codes = [/ECONNRESET/, /ECONNREFUSED/, /endpoint/];
    for (const [index, { code, stdout, stderr }] of [reset, refused, wrong].entries()) {
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, codes[index]);
      assert.match(stderr, /^twinpoll: .*\.\n$/);
    }
  });
});

test("--idle-timeout resets a connection on which nothing moves", async () => {
  await withServer(async (loop) => {
    let reason: string | undefined;
    const { endpoint } = loop.listen("tcp://127.0.0.1:0", {
      close: (_conn, error) => reason = error?.code,
    });
    const { code, stderr } = await runChild([
      ...cli,
      "pipe",
      endpoint,
      "--idle-timeout",
      "20ms",
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /^twinpoll: .*no byte moved within the idle time limit/);
    await eventually(() => reason !== undefined, "the end");
    assert.equal(reason, "ECONNRESET");
  });
});

test("a signal ends it with the totals, at any time", async () => {
  await withServer(async (loop) => {
    const { endpoint } = listenEcho(loop);
    using open = new Child([...cli, "pipe", endpoint]);
    open.input("hello");
    await eventually(() => open.stdout === "hello", "the echo");
    open.kill("SIGINT");
    const { code, stderr } = await open.finished;
    assert.equal(code, 130);
    assert.match(stderr, /^ended after [\d.]+ s: 5 bytes received, 5 bytes sent\n$/);
  });
  using waiting = new Child([...cli, "pipe", "tcp://127.0.0.1:0", "--listen", "--json"]);
  await waiting.errorMatch(/"event":"listening".*\n/);
  waiting.kill("SIGTERM");
  const { code, stderr } = await waiting.finished;
  assert.equal(code, 143);
  assert.match(stderr, /"event":"end"/);
});

test("a wrong command line of pipe is exit code 2", async () => {
  const wrong = [
    ["pipe"],
    ["pipe", "tcp://127.0.0.1:1", "extra"],
    ["pipe", "tcp://127.0.0.1:1", "--idle-timeout", "soon"],
    ["pipe", "tcp://127.0.0.1:1", "--idle-timeout"],
  ];
  for (const args of wrong) {
    const { code, stdout, stderr } = await runChild([...cli, ...args]);
    assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    assert.match(stderr, /^twinpoll: \S[^]*usage: twinpoll/);
  }
});
