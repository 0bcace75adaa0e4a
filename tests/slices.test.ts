// Slices: rights of their own over a part of a buffer.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Lease } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { awaitClosed, openPair } from "./support/streams.ts";

const text = (lease: Lease): string => Buffer.from(lease.bytes).toString();

testLoop("a slice has its own life", (loop) => {
  const lease = loop.allocate(10)!;
  lease.bytes.set(Buffer.from("0123456789"));
  const slices = [lease.slice(2, 5), lease.slice(-3), lease.slice(), lease.slice(8, 2)];
  assert.deepEqual(slices.map(text), ["234", "789", "0123456789", ""]);
  const deeper = slices[1].slice(1, -1);
  assert.equal(text(deeper), "8");
  lease.bytes[8] = 88;
  assert.equal(text(deeper), "X", "the same memory");
  lease.release();
  assert.throws(() => lease.slice(), { code: "STALE_LEASE" });
  assert.equal(text(slices[0]), "234", "outlives what it is a part of");
  for (const slice of slices) slice.release();
  assert.throws(() => slices[0].bytes, { code: "STALE_LEASE" });
  assert.throws(() => slices[0].release(), { code: "STALE_LEASE" });
  assert.throws(() => deeper.length = 5, { code: "INVALID_ARGUMENT" });
  loop.turn();
  assert.equal(loop.stats().buffersInUse, 1);
  deeper.release();
  loop.turn();
  assert.equal(loop.stats().buffersInUse, 0);
});

testLoop("a part of what arrived is kept, and another part sent back", (loop) => {
  let kept: Lease | null = null;
  let answer = "";
  const { client, server } = openPair(loop, {
    server: {
      data(conn, lease): void {
        kept = lease.slice(0, 4);
        conn.send(lease.slice(5));
      },
    },
    client: { data: (_, lease) => void (answer += text(lease)) },
  });
  client.send("head body");
  turnUntil(loop, () => answer.length === 4, "the answer");
  assert.equal(answer, "body");
  assert.equal(text(kept!), "head");
  assert.equal(loop.stats().leases, 1);
  kept!.release();
  client.close();
  awaitClosed(loop, client, server);
});
