// Descriptors: what loops, listeners and connections open is closed with them, however they end.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { type BackendName, Loop } from "../mod.ts";
import { testEach } from "./support/backends.ts";
import { macrotask, turns, turnUntil, untilQuiet } from "./support/drive.ts";
import { anyPort, openPair } from "./support/streams.ts";

/** How many descriptors this process has open. */
function countDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Waits until there are at most `most`, because the host closes its sockets later. */
async function untilAtMost(most: number): Promise<void> {
  for (let tick = 0; countDescriptors() > most; tick++) {
    assert.ok(tick < 2_000, `${countDescriptors() - most} descriptors were left open`);
    await macrotask();
  }
}

/** A loop on which everything ends in every way, and that is closed with something open. */
async function liveAndDie(backend: BackendName): Promise<void> {
  using loop = new Loop({ backend });
  for (const [atClient, atServer] of [["close", "close"], ["abort", "close"]] as const) {
    const { client, server } = openPair(loop);
    client[atClient]();
    server[atServer]();
    turnUntil(loop, () => loop.stats().openConnections === 0, "the end");
  }
  const closed = loop.listen(anyPort, {});
  closed.close();
  const refused = loop.connect(closed.address, {});
  turnUntil(loop, () => refused.state === "closed", "the refusal");
  openPair(loop);
  const listener = loop.listen(anyPort, {});
  loop.connect(listener.address, {});
  turns(loop, 2, 0);
  assert.throws(() => loop.listen(listener.endpoint, {}), { code: "EADDRINUSE" });
  loop.attach();
  await untilQuiet(loop);
}

testEach("nothing is left open by loops that lived and ended", async (backend) => {
  // The first one starts what the process keeps: the library, the waker thread.
  await liveAndDie(backend);
  await macrotask();
  const before = countDescriptors();
  for (let round = 0; round < 5; round++) await liveAndDie(backend);
  await untilAtMost(before);
});

testEach("nor by attaching and detaching", async (backend) => {
  using loop = new Loop({ backend });
  const listener = loop.listen(anyPort, {});
  const round = async (): Promise<void> => {
    loop.attach();
    await untilQuiet(loop);
    loop.detach();
  };
  await round();
  const before = countDescriptors();
  for (let count = 0; count < 5; count++) await round();
  await untilAtMost(before);
  listener.close();
});
