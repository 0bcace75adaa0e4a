// Time limits of open connections: silence ends them, whoever is silent and on every transport, and
// a connection that nobody reads hears of its end nevertheless.

import assert from "node:assert/strict";
import type { Connection, Loop } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { awaitClosed, content, openPair, Recorder } from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

/** Moves the clock, and lets what is due happen. */
function pass(loop: Loop, ms: number): void {
  loop.advance(ms * 1_000);
  turns(loop, 5);
}

/** Sends from one end and waits until the other has it. */
function exchange(loop: Loop, from: Connection, at: Recorder): void {
  const before = at.bytes;
  from.send("x");
  turnUntil(loop, () => at.bytes > before, "a byte");
}

testTransports("a silent connection ends with IDLE_TIMEOUT, and not before", (loop, place) => {
  const atServer = new Recorder();
  const atClient = new Recorder();
  const { client, server } = openPair(loop, {
    endpoint: place.endpoint,
    server: atServer,
    client: atClient,
    connect: { idleTimeoutMs: 500 },
  });
  pass(loop, 499);
  assert.deepEqual(atClient.events, ["open"]);
  loop.advance(1_000);
  awaitClosed(loop, client, server);
  assert.deepEqual(atClient.events, ["open", "close:IDLE_TIMEOUT"]);
  assert.match(atClient.reason!.advice, /idleTimeoutMs/);
  assert.equal(atServer.events.at(-1), place.hasResets ? "close:ECONNRESET" : "close:null");
}, { clock: "virtual" });

testTransports("a byte in either direction begins the time again", (loop, place) => {
  const atServer = new Recorder();
  const atClient = new Recorder();
  const { client, server } = openPair(loop, {
    endpoint: place.endpoint,
    server: atServer,
    client: atClient,
    listen: { idleTimeoutMs: 100 },
  });
  for (let round = 0; round < 4; round++) {
    pass(loop, 60);
    exchange(loop, client, atServer);
    pass(loop, 60);
    exchange(loop, server, atClient);
  }
  assert.equal(server.state, "open");
  assert.equal(server.getOption("idleTimeoutMs"), 100);
  assert.equal(client.getOption("idleTimeoutMs"), 0);
  pass(loop, 99);
  assert.equal(server.state, "open");
  loop.advance(1_001);
  awaitClosed(loop, server, client);
  assert.equal(atServer.reason!.code, "IDLE_TIMEOUT");
}, { clock: "virtual" });

testLoop("without the option silence is no reason to end", (loop) => {
  const { client, server } = openPair(loop);
  pass(loop, 3_600_000);
  assert.deepEqual([client.state, server.state], ["open", "open"]);
  client.close();
  awaitClosed(loop, client, server);
}, { clock: "virtual" });

testLoop("the limit can be changed while the connection is open, and counts from then", (loop) => {
  const atClient = new Recorder();
  const { client, server } = openPair(loop, { client: atClient, connect: { idleTimeoutMs: 50 } });
  client.setOptions({ idleTimeoutMs: 1_000 });
  pass(loop, 990);
  assert.equal(client.state, "open");
  client.setOptions({ idleTimeoutMs: 0 });
  pass(loop, 100_000);
  assert.equal(client.state, "open");
  client.setOptions({ idleTimeoutMs: 200 });
  pass(loop, 199);
  assert.equal(client.state, "open");
  client.setOptions({ noDelay: true });
  loop.advance(1_001);
  awaitClosed(loop, client, server);
  assert.equal(atClient.reason!.code, "IDLE_TIMEOUT");
}, { clock: "virtual" });

testLoop("a limit given while connecting counts from the opening", (loop) => {
  const listener = loop.listen("tcp://127.0.0.1:0", { open: (conn) => void accepted.push(conn) });
  const accepted: Connection[] = [];
  const recorder = new Recorder();
  const conn = loop.connect(listener.address, recorder);
  conn.setOptions({ idleTimeoutMs: 300 });
  loop.advance(1_000_000);
  turnUntil(loop, () => conn.state === "open" && accepted.length === 1, "a connection");
  pass(loop, 299);
  assert.equal(conn.state, "open");
  loop.advance(1_001);
  awaitClosed(loop, conn, ...accepted);
  assert.equal(recorder.reason!.code, "IDLE_TIMEOUT");
  listener.close();
}, { clock: "virtual" });

testTransports("pausing is silence, too", (loop, place) => {
  const atServer = new Recorder();
  const { client, server } = openPair(loop, {
    endpoint: place.endpoint,
    server: atServer,
    listen: { idleTimeoutMs: 400 },
  });
  server.pause();
  turns(loop, 3);
  client.send("not read");
  pass(loop, 399);
  assert.equal(server.state, "open");
  loop.advance(1_001);
  awaitClosed(loop, server, client);
  assert.equal(atServer.reason!.code, "IDLE_TIMEOUT");
}, { clock: "virtual" });

testLoop("a closing connection has its linger limit only", (loop) => {
  const atClient = new Recorder();
  const { client, server } = openPair(loop, {
    client: atClient,
    server: { end: () => {} },
    connect: { idleTimeoutMs: 100, lingerTimeoutMs: 5_000 },
  });
  client.close();
  pass(loop, 4_000);
  assert.equal(atClient.isClosed, false);
  pass(loop, 1_001);
  assert.deepEqual(atClient.events, ["open", "close:null"]);
  server.abort();
  awaitClosed(loop, client, server);
}, { clock: "virtual" });

testLoop("a peer's reset is heard of while paused, within two seconds", (loop) => {
  const atServer = new Recorder();
  const { client, server } = openPair(loop, { server: atServer });
  server.pause();
  turns(loop, 3);
  client.abort();
  awaitClosed(loop, client);
  for (let step = 0; step < 4; step++) pass(loop, 500);
  assert.deepEqual(atServer.events, ["open", "close:ECONNRESET"]);
  assert.equal(server.paused, true);
}, { clock: "virtual" });

testTransports(
  "what came before the reset is delivered after resume, then close",
  (loop, place) => {
    const atServer = new Recorder();
    const { client, server } = openPair(loop, { endpoint: place.endpoint, server: atServer });
    server.pause();
    turns(loop, 3);
    server.send("never read, so that there is a reset on every transport");
    client.pause();
    client.send("before the reset");
    turns(loop, 5);
    client.abort();
    awaitClosed(loop, client);
    for (let step = 0; step < 4; step++) pass(loop, 500);
    assert.deepEqual(atServer.events, ["open"], "close came before what was received");
    server.resume();
    awaitClosed(loop, server);
    assert.equal(atServer.text, "before the reset");
    assert.deepEqual(atServer.events, ["open", "data", "close:ECONNRESET"]);
  },
  { clock: "virtual" },
);

testLoop("what is held back when a send fails while paused is delivered after resume", (loop) => {
  const highWaterMark = 32_768;
  const atServer = new Recorder({ data: (conn) => atServer.bytes > 0 && conn.pause() });
  const { client, server } = openPair(loop, { server: atServer, listen: { highWaterMark } });
  // More than a turn delivers: the rest is held back.
  client.send(content(100_000));
  turnUntil(loop, () => atServer.bytes > 0, "the first bytes");
  turns(loop, 5);
  const before = atServer.bytes;
  client.abort();
  awaitClosed(loop, client);
  server.send("to nobody");
  turns(loop, 5);
  server.send("to nobody");
  for (let step = 0; step < 4; step++) pass(loop, 500);
  assert.deepEqual([server.state, atServer.bytes], ["open", before], "it was dropped");
  atServer.events.length = 0;
  server.resume();
  turnUntil(loop, () => {
    if (server.state === "open" && server.paused) server.resume();
    return atServer.isClosed;
  }, "the end");
  assert.ok(atServer.bytes > before, "nothing came after resume");
  assert.deepEqual(atServer.events, ["data", "close:ECONNRESET"]);
}, { clock: "virtual" });

testLoop("a reset after the peer's end is heard of, although nobody reads any more", (loop) => {
  const atServer = new Recorder({ end: () => {} });
  const { client, server } = openPair(loop, { server: atServer, client: { end: () => {} } });
  client.shutdown();
  turnUntil(loop, () => atServer.events.includes("end"), "the end");
  client.abort();
  awaitClosed(loop, client);
  for (let step = 0; step < 4; step++) pass(loop, 500);
  assert.deepEqual(atServer.events, ["open", "end", "close:ECONNRESET"]);
  assert.equal(server.state, "closed");
}, { clock: "virtual" });

testLoop("looking for resets does not disturb a connection that is only paused", (loop) => {
  const atServer = new Recorder();
  const { client, server } = openPair(loop, { server: atServer });
  server.pause();
  turns(loop, 3);
  client.send("wait");
  client.shutdown();
  for (let step = 0; step < 10; step++) pass(loop, 1_000);
  assert.deepEqual(atServer.events, ["open"]);
  server.resume();
  awaitClosed(loop, client, server);
  assert.deepEqual(atServer.events, ["open", "data", "close:null"]);
}, { clock: "virtual" });
