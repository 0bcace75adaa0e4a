// A second process takes a port over under load, and a process is started with its sockets: no
// connect is refused or reset, and every request is answered.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { listenDescriptors, Loop } from "../mod.ts";
import { bestBackend } from "./support/backends.ts";
import { Child } from "./support/child.ts";
import { macrotask } from "./support/drive.ts";
import { command, root } from "./support/runtime.ts";

const connects = 2_000;
const atOnce = 16;

/** Short connections, one request each, `atOnce` at a time. */
class Load {
  readonly answers: Record<string, number> = {};
  readonly errors: string[] = [];
  started = 0;
  ended = 0;
  readonly #loop: Loop;
  readonly #endpoint: string;

  constructor(loop: Loop, port: string) {
    this.#loop = loop;
    this.#endpoint = `tcp://127.0.0.1:${port}`;
  }

  get isDone(): boolean {
    return this.ended === connects;
  }

  start(): void {
    for (let index = 0; index < atOnce; index++) this.#next();
  }

  #next(): void {
    if (this.started === connects) return;
    this.started += 1;
    const request = `${this.started}`;
    let text = "";
    this.#loop.connect(this.#endpoint, {
      open: (conn) => void conn.send(request),
      data(conn, lease): void {
        text += new TextDecoder().decode(lease.bytes);
        if (text.endsWith(` ${request}`)) conn.close();
      },
      close: (_, error) => {
        const [mode, answer] = text.split(" ");
        if (error !== null) this.errors.push(`${request}: ${error.code}`);
        else if (answer !== request) this.errors.push(`${request}: answered ${text}`);
        else this.answers[mode] = (this.answers[mode] ?? 0) + 1;
        this.ended += 1;
        this.#next();
      },
    });
  }
}

/** Turns, with the host's own events between them, until `done`. */
async function turnWhile(loop: Loop, done: () => boolean, what: string): Promise<void> {
  const since = performance.now();
  while (!done()) {
    assert.ok(performance.now() - since < 50_000, what);
    loop.turn(1_000);
    await macrotask();
  }
}

test("a second process takes the port over under load", async () => {
  using loop = new Loop({ backend: bestBackend });
  const control = `unix:@twinpoll-takeover-${Date.now()}-${Math.random()}`;
  using first = new Child([...command("tests/programs/takeover.ts"), "serve", control]);
  const port = await first.line();
  using second = new Child([...command("tests/programs/takeover.ts"), "take", control]);
  assert.equal(await second.line(), "ready");
  const load = new Load(loop, port);
  load.start();
  await turnWhile(loop, () => load.ended > connects / 4, "the first quarter");
  second.write("take\n");
  let firstEnd: { code: number | null; stdout: string } | null = null;
  void first.finished.then((end) => firstEnd = end);
  await turnWhile(loop, () => load.isDone && firstEnd !== null, "all of them, and the first's end");
  assert.deepEqual(load.errors, []);
  const { serve, take } = load.answers;
  assert.equal(serve + take, connects);
  assert.ok(serve >= connects / 4 && take > 0, JSON.stringify(load.answers));
  assert.equal(firstEnd!.code, 0);
  assert.deepEqual(await first.json(), { answered: serve, aborted: 0 });
  second.write("end\n");
  assert.equal((await second.finished).code, 0);
  assert.deepEqual(await second.json(), { answered: take, aborted: 0 });
});

test("a process serves the sockets that it was started with", async () => {
  using loop = new Loop({ backend: bestBackend });
  const activate = join(root, "zig-out", "tools", "activate");
  using child = new Child([activate, "web:admin", ...command("tests/programs/activated.ts")]);
  const ports = [await child.line(), await child.line()];
  assert.deepEqual(await child.json(), {
    inherited: [{ descriptor: 3, name: "web" }, { descriptor: 4, name: "admin" }],
    again: [],
    left: [],
  });
  const answers: string[] = [];
  const clients = ports.map((port) => {
    let text = "";
    return loop.connect(`tcp://127.0.0.1:${port}`, {
      open: (conn) => void conn.send("hello"),
      data(conn, lease): void {
        text += new TextDecoder().decode(lease.bytes);
        if (!text.endsWith("hello")) return;
        answers.push(text);
        conn.close();
      },
    });
  });
  await turnWhile(loop, () => clients.every(({ state }) => state === "closed"), "both answers");
  assert.deepEqual(answers.toSorted(), ["admin: hello", "web: hello"]);
  assert.equal((await child.finished).code, 0);
});

test("variables that are another process's, or wrong, give nothing", async () => {
  assert.deepEqual(listenDescriptors(), []);
  for (const [pid, count] of [["1", "1"], ["", "1"]]) {
    const environment = { LISTEN_PID: pid, LISTEN_FDS: count };
    using child = new Child(command("tests/programs/activated.ts"), environment);
    const { inherited } = await child.json();
    assert.deepEqual(inherited, []);
    assert.equal((await child.finished).code, 0);
  }
});
