// `twinpoll relay` as a process of its own: bytes both ways, totals, and what a signal does.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Child, runChild } from "./support/child.ts";
import { within } from "./support/drive.ts";
import { command } from "./support/runtime.ts";

const anyPort = "tcp://127.0.0.1:0";

/** An echo server of the host, and the endpoint that names it. */
async function startTarget(): Promise<{ server: net.Server; endpoint: string }> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { server, endpoint: `tcp://127.0.0.1:${port}` };
}

/** A client that reads text. */
class Client {
  text = "";
  readonly socket: net.Socket;
  readonly closed: Promise<void>;

  constructor(port: number) {
    this.socket = net.connect(port, "127.0.0.1");
    this.socket.setEncoding("utf8");
    this.socket.on("data", (text: string) => this.text += text);
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
  }

  async say(word: string): Promise<void> {
    const expected = this.text + word;
    this.socket.write(word);
    while (this.text !== expected) await within(once(this.socket, "data"), `the echo of ${word}`);
  }
}

async function start(target: string, ...args: string[]): Promise<{ child: Child; port: number }> {
  const child = new Child([...command("cli.ts"), "relay", anyPort, target, "--json", ...args]);
  const { event, endpoint, target: named } = await child.json();
  assert.deepEqual([event, named], ["listening", target]);
  return { child, port: Number(new URL(String(endpoint)).port) };
}

test("relay carries both ways, drains after SIGTERM, and tells its totals", async () => {
  const { server, endpoint } = await startTarget();
  try {
    const { child, port } = await start(endpoint);
    using _child = child;
    const client = new Client(port);
    await client.say("before ");
    child.kill("SIGTERM");
    // It listens no more, and what it has goes on.
    for (let refused = false; !refused;) {
      const probe = net.connect(port, "127.0.0.1");
      refused = await within(
        new Promise<boolean>((resolve) => {
          probe.once("connect", () => resolve(false));
          probe.once("error", () => resolve(true));
        }),
        "an answer",
      );
      probe.destroy();
    }
    await client.say("after");
    client.socket.end();
    await within(client.closed, "the end of the client");
    const { code, stderr } = await child.finished;
    assert.equal(code, 0);
    const end = JSON.parse(stderr.trim().split("\n").at(-1)!);
    assert.equal(end.event, "end");
    assert.equal(end.open, 0);
    assert.ok(end.accepted >= 1);
    assert.equal(end.toTargetBytes, 12);
    assert.equal(end.toClientBytes, 12);
  } finally {
    server.close();
  }
});

test("relay resets what has not ended within the drain time", async () => {
  const { server, endpoint } = await startTarget();
  try {
    const { child, port } = await start(endpoint, "--drain-timeout", "50ms");
    using _child = child;
    const client = new Client(port);
    await client.say("hello");
    child.kill("SIGTERM");
    await within(client.closed, "the end of the client");
    const { code, stderr } = await child.finished;
    assert.equal(code, 0);
    assert.equal(JSON.parse(stderr.trim().split("\n").at(-1)!).failed, 1);
  } finally {
    server.close();
  }
});

test("relay ends what is idle for too long", async () => {
  const { server, endpoint } = await startTarget();
  try {
    const { child, port } = await start(endpoint, "--idle-timeout", "100ms");
    using _child = child;
    const client = new Client(port);
    await client.say("hello");
    await within(client.closed, "the end of the client");
    child.kill("SIGTERM");
    assert.equal((await child.finished).code, 0);
  } finally {
    server.close();
  }
});

test("relay wants two endpoints and durations", async () => {
  for (
    const args of [[], [anyPort], [anyPort, anyPort, anyPort], [
      anyPort,
      anyPort,
      "--drain-timeout",
      "soon",
    ]]
  ) {
    const { code, stderr } = await runChild([...command("cli.ts"), "relay", ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /usage: twinpoll/);
  }
});
