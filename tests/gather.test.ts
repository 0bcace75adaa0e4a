// Gather lists: several parts, one message; all of it or nothing.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Connection, type ConnectionHandlers, type Lease, Loop } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { awaitClosed, content, ContentReader, openPair } from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

/** A pair whose server collects what arrives as text. */
function openReader(
  loop: Loop,
  handlers: ConnectionHandlers = {},
): { client: Connection; text: () => string; close: () => void } {
  let text = "";
  const { client, server } = openPair(loop, {
    server: { data: (_, lease) => void (text += Buffer.from(lease.bytes).toString("latin1")) },
    client: handlers,
  });
  const close = (): void => {
    client.close();
    awaitClosed(loop, client, server);
  };
  return { client, text: () => text, close };
}

testLoop("parts of every kind arrive as one message, in order", (loop) => {
  const { client, text, close } = openReader(loop);
  const lease = loop.allocate(16)!;
  lease.bytes.set(Buffer.from("leased"));
  lease.length = 6;
  const parts = ["<", new Uint8Array([97, 98]), "", new Uint8Array(0), lease, "é", ">"];
  assert.equal(client.send(parts), "sent");
  assert.equal(lease.released, true, "it moved");
  const expected = `<ableased${Buffer.from("é").toString("latin1")}>`;
  turnUntil(loop, () => text().length === expected.length, "the message");
  assert.equal(text(), expected);
  close();
});

testLoop("a list of nothing is an empty message", (loop) => {
  const { client, text, close } = openReader(loop);
  assert.equal(client.send([]), "sent");
  assert.equal(client.send(["", new Uint8Array(0)]), "sent");
  turns(loop);
  assert.equal(text(), "");
  close();
});

testLoop("a lease may stand in a list as often as it has rights", (loop) => {
  const { client, text, close } = openReader(loop);
  const lease = loop.allocate(2)!;
  lease.bytes.set(Buffer.from("ab"));
  assert.throws(() => client.send([lease, lease]), { code: "STALE_LEASE" });
  assert.equal(lease.released, false, "a refused list takes nothing");
  lease.retain();
  client.send([lease, "-", lease]);
  assert.equal(lease.released, true);
  turnUntil(loop, () => text().length === 5, "the message");
  assert.equal(text(), "ab-ab");
  close();
});

testTransports(
  "header and body: a received lease with something before it",
  (loop, { endpoint }) => {
    const received: string[] = [];
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (conn, lease) => void conn.send([`${lease.length}:`, lease]) },
      client: { data: (_, lease) => void received.push(Buffer.from(lease.bytes).toString()) },
    });
    client.send("body");
    turnUntil(loop, () => received.join("").length === 6, "the answer");
    assert.equal(received.join(""), "4:body");
    client.close();
    awaitClosed(loop, client, server);
  },
);

testLoop("whatever is wrong with one part, nothing of the list is taken", (loop) => {
  const { client, text, close } = openReader(loop);
  using other = new Loop();
  const foreign = other.allocate(1)!;
  const ended = loop.allocate(1)!;
  ended.release();
  const good = loop.allocate(1)!;
  const lists: [readonly unknown[], string][] = [
    [[good, "x", foreign], "WRONG_LOOP"],
    [[good, ended], "STALE_LEASE"],
    [[good, 5], "INVALID_ARGUMENT"],
    [[good, ["nested"]], "INVALID_ARGUMENT"],
    [[good, null], "INVALID_ARGUMENT"],
    [new Array(1025).fill("x"), "INVALID_ARGUMENT"],
  ];
  for (const [list, code] of lists) {
    assert.throws(() => client.send(list as Lease[]), { code }, code);
    assert.equal(good.released, false);
  }
  assert.equal(client.queuedBytes, 0);
  turns(loop);
  assert.equal(text(), "");
  good.release();
  foreign.release();
  close();
});

testLoop(
  "a message of more sends than the loop can queue throws, and is not full for ever",
  (loop) => {
    const { client, text, close } = openReader(loop);
    const sends = 4 * loop.capabilities.entries;
    const lease = loop.allocate(1)!;
    lease.bytes.fill(97);
    for (let count = 0; count < sends; count++) lease.retain();
    const list = new Array<Lease>(sends + 1).fill(lease);
    assert.throws(() => client.send(list), { code: "MESSAGE_TOO_LARGE", message: /sends/ });
    assert.equal(client.queuedBytes, 0);
    list.pop();
    assert.equal(client.send(list), "sent");
    turnUntil(loop, () => text().length === sends, "as many as there can be");
    lease.release();
    close();
  },
  { entries: 64 },
);

testTransports(
  "a list whose getters end what it is about is refused whole",
  (loop, { endpoint }) => {
    const { client, server } = openPair(loop, { endpoint });
    const lease = loop.allocate(1)!;
    const closing: unknown[] = [lease, ""];
    Object.defineProperty(closing, 1, { get: () => (lease.release(), "") });
    assert.throws(() => client.send(closing as Lease[]), { code: "STALE_LEASE" });
    const kept = loop.allocate(1)!;
    Object.defineProperty(closing, 0, { value: kept });
    Object.defineProperty(closing, 1, { get: () => (client.close(), "") });
    assert.throws(() => client.send(closing as Lease[]), { code: "STALE_HANDLE" });
    assert.equal(kept.released, false);
    kept.release();
    awaitClosed(loop, client, server);
  },
);

testLoop("an empty message above the mark is full, whatever it is made of", (loop) => {
  let drains = 0;
  const { client, text, close } = openReader(loop, { drain: () => void (drains += 1) });
  const { highWaterMark } = client;
  assert.equal(client.send(new Uint8Array(highWaterMark + 1)), "sent");
  const lease = loop.allocate(1)!;
  lease.length = 0;
  for (const empty of [[], [""], [lease], "", new Uint8Array(0), lease]) {
    assert.equal(client.send(empty), "full");
  }
  assert.equal(lease.released, false, "it stays with the caller");
  turnUntil(loop, () => drains === 1 && text().length === highWaterMark + 1, "drain");
  assert.equal(client.send([lease]), "sent");
  assert.equal(lease.released, true);
  close();
});

testTransports(
  "a list above the mark is full as a whole, and drain follows",
  (loop, { endpoint }) => {
    const reader = new ContentReader();
    let drains = 0;
    const { client, server } = openPair(loop, {
      endpoint,
      server: { data: (_, lease) => reader.read(lease.bytes) },
      client: { drain: () => void (drains += 1) },
      connect: { highWaterMark: 65_536 },
    });
    server.pause();
    turns(loop, 2, 0);
    let sent = 0;
    const list = (): Uint8Array[] => [0, 1, 2].map((part) => content(5_000, sent + part * 5_000));
    while (client.send(list()) !== "full") {
      sent += 15_000;
      turns(loop, 1, 0);
      assert.ok(sent < 1 << 26, "never full");
    }
    server.resume();
    turnUntil(loop, () => drains === 1 && reader.received === sent, "everything before it");
    assert.notEqual(client.send(list()), "full");
    turnUntil(loop, () => reader.received === sent + 15_000, "the list");
    client.close();
    awaitClosed(loop, client, server);
  },
);
