// Peers that reset in each state of a connection, that vanish without a word, that come and go by
// the thousand: each end is told once, and nothing is left behind.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import type { Connection, Loop } from "../mod.ts";
import { settle, testEach, testLoop } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { turns, turnUntil } from "./support/drive.ts";
import type { Skip } from "./support/record.ts";
import { command } from "./support/runtime.ts";
import { awaitClosed, content, openPair, Recorder } from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

/** Descriptors that this process has open; 0 where nobody tells. */
function descriptors(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** What a connection has done when its peer resets it, and what it is told. */
const states: readonly (readonly [string, (conn: Connection) => void, RegExp])[] = [
  ["open", () => {}, /^open,close:ECONNRESET$/],
  ["shut", (conn) => conn.shutdown(), /^open,close:ECONNRESET$/],
  ["closing", (conn) => conn.close(), /^open,close:(ECONNRESET|null)$/],
  ["aborting", (conn) => conn.abort(), /^open,close:ABORTED$/],
  ["paused", (conn) => conn.pause(), /^open,close:ECONNRESET$/],
  ["sending", (conn) => void conn.send(content(12 << 20)), /^open,close:ECONNRESET$/],
  [
    "closing with bytes to send",
    (conn) => (conn.send(content(12 << 20)), conn.close()),
    /^open,close:ECONNRESET$/,
  ],
  [
    "paused and shut",
    (conn) => (conn.pause(), conn.shutdown()),
    /^open,close:ECONNRESET$/,
  ],
];

testLoop("a reset in each state is told once, with its reason", (loop) => {
  for (const [name, bring, expected] of states) {
    for (const wait of [0, 5]) {
      const atServer = new Recorder({ end: () => {} });
      const { client, server } = openPair(loop, {
        server: atServer,
        client: { open: (conn) => conn.pause(), end: () => {} },
      });
      bring(server);
      turns(loop, wait);
      client.abort();
      awaitClosed(loop, client);
      for (let step = 0; step < 4 && !atServer.isClosed; step++) {
        loop.advance(500_000);
        turns(loop, 5);
      }
      awaitClosed(loop, server);
      assert.match(atServer.events.join(), expected, `${name}, after ${wait} turns`);
    }
  }
}, { clock: "virtual" });

/** Opens and closes `total` connections, some dozens at a time. */
function storm(loop: Loop, endpoint: string, total: number): void {
  let opened = 0;
  let accepted = 0;
  let closed = 0;
  let started = 0;
  const listener = loop.listen(endpoint, {
    open(conn): void {
      accepted += 1;
      // Every way to end it.
      if (accepted % 3 === 0) conn.close();
      else if (accepted % 7 === 0) conn.abort();
    },
  });
  const start = (): void => {
    started += 1;
    loop.connect(listener.address, {
      open(conn): void {
        opened += 1;
        if (opened % 2 === 0) conn.send("x");
        if (opened % 5 === 0) conn.abort();
        else conn.close();
      },
      close(): void {
        closed += 1;
        if (started < total) start();
      },
    });
  };
  for (let index = 0; index < 48; index++) start();
  turnUntil(loop, () => closed === total, "the end of the storm");
  // A connection that was reset before it was accepted need not be accepted.
  assert.ok(opened === total && accepted <= total, `${opened} opened, ${accepted} accepted`);
  listener.close();
}

testTransports("thousands of connections come and go, and nothing is left", (loop, place) => {
  // What a runtime opens by itself at its first use is open after the first round.
  storm(loop, place.endpoint, 100);
  settle(loop);
  const before = descriptors();
  storm(loop, place.endpoint, place.isFirst ? 2_000 : 500);
  settle(loop);
  assert.equal(descriptors(), before);
});

/** Whether this process may have a network of its own. */
function noNamespaces(): Skip {
  try {
    execFileSync("unshare", ["--net", "ip", "link", "set", "lo", "up"], { stdio: "ignore" });
    return false;
  } catch {
    return "kernel: unshare: no network namespaces here";
  }
}

const mayNot = noNamespaces();
const inNamespace = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "child"];

testEach(
  "a peer that vanishes is ETIMEDOUT, by userTimeoutMs and by keepAlive",
  async (backend) => {
    const program = command("tests/programs/vanished.ts");
    const { stdout, stderr } = await runChild([...inNamespace, ...program, backend]);
    const { sending, silent, plain } = JSON.parse(stdout || JSON.stringify({ stderr }));
    assert.deepEqual([sending, silent, plain], ["ETIMEDOUT", "ETIMEDOUT", "open"]);
  },
  mayNot,
);

testEach("with fastOpen the first message goes with the request to connect", async (backend) => {
  const allow = 'echo 3 > /proc/sys/net/ipv4/tcp_fastopen && ip link set lo up && exec "$@"';
  const program = command("tests/programs/fast_open.ts");
  const allowed = ["unshare", "--net", "sh", "-c", allow, "child"];
  const { stdout, stderr } = await runChild([...allowed, ...program, backend]);
  const told = JSON.parse(stdout || JSON.stringify({ stderr }));
  assert.deepEqual(told.received, ["0:hello", "1:hello", "2:hello"]);
  assert.ok(told.active >= 1 && told.passive >= 1, JSON.stringify(told));
}, mayNot);
