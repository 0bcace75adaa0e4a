// Connections leave their loop, as descriptors or towards another loop, and no byte is lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  closeDescriptor,
  type Connection,
  type ConnectionHandlers,
  type ConnectionMessage,
  type DetachedSocket,
  IoError,
  Loop,
} from "../mod.ts";
import { bestBackend, testLoop } from "./support/backends.ts";
import { countDescriptors } from "./support/descriptors.ts";
import { eventually, turns, turnUntil } from "./support/drive.ts";
import { program } from "./support/runtime.ts";
import {
  anyPort,
  content,
  ContentReader,
  ContentWriter,
  openPair,
  Recorder,
} from "./support/streams.ts";

function fails(code: string, body: () => unknown): void {
  assert.throws(body, (error) => error instanceof IoError && error.code === code, code);
}

/** Detaches, and turns until it is done. */
function detach(loop: Loop, conn: Connection): DetachedSocket {
  let socket: DetachedSocket | null = null;
  conn.detach((detached) => socket = detached);
  turnUntil(loop, () => socket !== null, "detached");
  return socket!;
}

testLoop("a detached connection is what it was, under another handle", (loop) => {
  const events: string[] = [];
  const early = new Recorder();
  const { server, client } = openPair(loop, {
    client: { close: (_, error) => void events.push(`close:${error?.code ?? null}`) },
    server: early,
  });
  client.send("before");
  client.detach(({ descriptor }) => {
    events.push("detached");
    closeDescriptor(descriptor);
  });
  assert.equal(client.state, "closing");
  fails("STALE_HANDLE", () => client.send("x"));
  fails("STALE_HANDLE", () => client.detach(() => {}));
  fails("STALE_HANDLE", () => client.handOff(() => {}));
  client.close();
  turnUntil(loop, () => events.length === 2, "detached");
  assert.deepEqual(events, ["detached", "close:null"]);
  assert.equal(client.state, "closed");
  const moved = detach(loop, server);
  assert.equal(moved.error, null);
  const held = moved.received.map((lease) => new TextDecoder().decode(lease.copy())).join("");
  const text = early.text + held;
  for (const lease of moved.received) lease.release();
  const sink = new Recorder();
  loop.adopt(moved.descriptor, sink);
  turnUntil(loop, () => text + sink.text === "before", "all of it");
  turnUntil(loop, () => sink.isClosed, "the end, which the peer began");
});

testLoop("what is queued goes out before, and what arrived goes along", (loop) => {
  const reader = new ContentReader();
  const total = 600_000;
  const writer = new ContentWriter(total);
  const { server, client } = openPair(loop, {
    client: { drain: (conn) => writer.write(conn) },
    server: { data: (_, lease) => reader.read(lease.bytes) },
    listen: { receiveCredits: 4 },
  });
  server.pause();
  client.send(content(1));
  turns(loop, 5);
  server.resume();
  writer.sent = 1;
  writer.write(client);
  turnUntil(loop, () => reader.received > 100_000, "some of it");
  server.pause();
  turns(loop, 10);
  let current = server;
  for (let round = 0; round < 5 && reader.received < total; round++) {
    const moved = detach(loop, current);
    for (const lease of moved.received) {
      reader.read(lease.bytes);
      lease.release();
    }
    const until = reader.received + 50_000;
    current = loop.adopt(moved.descriptor, {
      data: (_, lease) => reader.read(lease.bytes),
    }, { receiveCredits: 2 });
    turnUntil(loop, () => reader.received >= Math.min(until, total), "more of it");
  }
  turnUntil(loop, () => reader.received === total, "all of it");
  client.send(content(40_000, total));
  const sent = detach(loop, client);
  closeDescriptor(sent.descriptor);
  turnUntil(loop, () => reader.received === total + 40_000, "the tail");
  current.close();
});

testLoop("the peer's end is not lost, nor an own direction that was ended", (loop) => {
  const { server, client } = openPair(loop, {
    server: { end: () => {} },
    client: { end: () => {} },
  });
  client.send("last words");
  client.shutdown();
  turns(loop, 5);
  const moved = detach(loop, server);
  for (const lease of moved.received) lease.release();
  const sink = new Recorder({ end: (conn) => conn.close() });
  const again = loop.adopt(moved.descriptor, sink);
  turnUntil(loop, () => sink.events.includes("end"), "the end");
  turnUntil(loop, () => again.state === "closed", "closed");
  client.close();
});

testLoop("leaving ends with abort(), with a connection that fails, and with its loop", (loop) => {
  const { server, client } = openPair(loop, { connect: { highWaterMark: 2 ** 25 } });
  let called = 0;
  // Nobody reads: it cannot be flushed.
  server.pause();
  while (client.send(content(60_000)) !== "full");
  client.detach(() => called += 1);
  turns(loop, 5);
  client.abort();
  turnUntil(loop, () => client.state === "closed", "aborted");
  assert.equal(called, 0);
  server.abort();
  fails("BUSY", () => {
    const connecting = loop.connect("tcp://127.0.0.1:1", {});
    connecting.detach(() => {});
  });
  fails("STALE_HANDLE", () => server.handOff(() => {}));
  const other = openPair(loop);
  fails("INVALID_ARGUMENT", () => other.client.detach(null as unknown as () => void));
  other.client.abort();
});

/** Hands `conn` from `from` to `to` and gives what it becomes there. */
function move(from: Loop, conn: Connection, to: Loop, sink: Recorder): Connection {
  let message: ConnectionMessage | null = null;
  conn.handOff((made) => message = structuredClone(made));
  turnUntil(from, () => message !== null, "handed off");
  assert.equal(conn.state, "closed");
  return to.receive(message!, sink);
}

testLoop("a connection moves between loops again and again, and no byte is lost", (loop) => {
  using other = new Loop({ backend: loop.backend === "select" ? "select" : "epoll" });
  const reader = new ContentReader();
  const total = 2_000_000;
  const writer = new ContentWriter(total);
  const data = new Recorder({ data: (_, lease) => reader.read(lease.bytes) });
  const { server, client } = openPair(loop, { server: data });
  let current = server;
  const loops = [loop, other];
  // A third loop writes beside them.
  const source = new Recorder({ drain: (conn) => writer.write(conn) });
  using writing = new Loop({ backend: bestBackend });
  const sender = move(loop, client, writing, source);
  writer.write(sender);
  for (let round = 0; reader.received < total; round++) {
    assert.ok(round < 2_000, "it ends");
    const from = loops[round % 2];
    writing.turn();
    from.turn(500);
    if (round % 4 === 1) current.pause();
    writing.turn();
    from.turn(500);
    const to = loops[(round + 1) % 2];
    let message: ConnectionMessage | null = null;
    current.handOff((made) => message = made);
    turnUntil(from, () => message !== null, "handed off");
    current = to.receive(message!, data);
    assert.equal(current.highWaterMark, 262_144);
  }
  const last = current;
  last.abort();
  sender.abort();
  turnUntil(loop, () => {
    writing.turn();
    other.turn();
    return last.state === "closed" && sender.state === "closed";
  }, "the end");
});

testLoop("what the same turn has delivered goes along, in order", (loop) => {
  const total = 400_000;
  const reader = new ContentReader();
  const writer = new ContentWriter(total);
  let message: ConnectionMessage | null = null;
  let perConnection = 0;
  const mover: ConnectionHandlers = {
    open: () => void (perConnection = 0),
    data(conn, lease): void {
      perConnection += 1;
      assert.equal(perConnection, 1, "nothing is delivered any more");
      reader.read(lease.bytes);
      if (reader.received < total / 2) conn.handOff((made) => message = made);
      else conn.detach((socket) => readOn(socket));
    },
  };
  const readOn = ({ descriptor, received }: DetachedSocket): void => {
    for (const lease of received) {
      reader.read(lease.bytes);
      lease.release();
    }
    if (reader.received === total) closeDescriptor(descriptor);
    else loop.adopt(descriptor, mover);
  };
  const { server, client } = openPair(loop, {
    server: mover,
    client: { drain: (conn) => writer.write(conn) },
  });
  // Much is there when it is read: several buffers come in one turn.
  server.pause();
  writer.write(client);
  turns(loop, 10);
  perConnection = 0;
  server.resume();
  turnUntil(loop, () => {
    if (message !== null) loop.receive(message, mover);
    message = null;
    return reader.received === total;
  }, "all of it");
  // The last one is closed as a descriptor.
  turnUntil(loop, () => client.state === "closed", "the end");
});

testLoop("a message is good for once, here and in no other process", (loop) => {
  const { server, client } = openPair(loop);
  let message: ConnectionMessage | null = null;
  server.handOff((made) => message = made);
  turnUntil(loop, () => message !== null, "handed off");
  const { kind, process, slot, generation } = message!;
  const wrong = [
    null,
    {},
    "x",
    { kind, process, slot },
    { kind: "twinpoll-lease", process, slot, generation },
    { kind, process, slot: -1, generation },
    { kind, process, slot: NaN, generation },
  ];
  for (const other of wrong) {
    fails("INVALID_ARGUMENT", () => loop.receive(other as ConnectionMessage, {}));
  }
  fails("STALE_HANDLE", () => loop.receive({ ...message!, process: process + 1 }, {}));
  fails("STALE_HANDLE", () => loop.receive({ ...message!, slot: 2 ** 31 }, {}));
  fails("STALE_HANDLE", () => loop.receive({ ...message!, generation: generation + 1 }, {}));
  fails("INVALID_OPTION", () => loop.receive(message!, {}, { highWaterMark: 1 }));
  fails("INVALID_OPTION", () => loop.receive(message!, {}, { descriptors: true }));
  fails("INVALID_ARGUMENT", () => loop.receive(message!, { data: 1 } as unknown as object));
  const again = loop.receive(message!, {}, { highWaterMark: 100_000, noDelay: true });
  assert.equal(again.highWaterMark, 100_000);
  fails("STALE_HANDLE", () => loop.receive(message!, {}));
  again.close();
  client.close();
});

testLoop("its own direction stays ended", (loop) => {
  const sink = new Recorder({ end: () => {} });
  const { server, client } = openPair(loop, { client: sink, server: { end: () => {} } });
  server.send("all");
  server.shutdown();
  turnUntil(loop, () => sink.events.includes("end"), "the end");
  const again = move(loop, server, loop, new Recorder({ end: () => {} }));
  fails("EPIPE", () => again.send("more"));
  again.close();
  client.close();
});

test("what nobody receives ends with the loop that sent it", () => {
  const before = countDescriptors();
  for (let round = 0; round < 3; round++) {
    const loop = new Loop({ backend: bestBackend });
    const { server, client } = openPair(loop);
    client.send(content(30_000));
    server.pause();
    turns(loop, 5);
    let message: ConnectionMessage | null = null;
    server.handOff((made) => message = made);
    turnUntil(loop, () => message !== null, "handed off");
    const left = openPair(loop);
    left.client.detach(() => assert.fail("the loop is closed"));
    loop.close();
    using other = new Loop({ backend: bestBackend });
    fails("STALE_HANDLE", () => other.receive(message!, {}));
  }
  assert.equal(countDescriptors(), before);
});

test("connections go to Workers that serve them", async () => {
  using loop = new Loop({ backend: bestBackend });
  const workers = [0, 1].map(() => new Worker(program("tests/programs/serve_received.ts")));
  try {
    await Promise.all(workers.map((worker) => {
      return new Promise((resolve) => worker.once("message", resolve));
    }));
    let next = 0;
    const listener = loop.listen(anyPort, {
      open(conn): void {
        const worker = workers[next++ % workers.length];
        conn.handOff((message) => worker.postMessage(message));
      },
    });
    const answers: string[] = [];
    const clients = Array.from({ length: 20 }, (_, index) => {
      let text = "";
      return loop.connect(listener.address, {
        open: (conn) => void conn.send(`request ${index}`),
        data(conn, lease): void {
          text += new TextDecoder().decode(lease.bytes);
          if (text !== `request ${index}`) return;
          answers.push(text);
          conn.close();
        },
      });
    });
    loop.attach();
    await eventually(() => clients.every(({ state }) => state === "closed"), "20 answers");
    assert.equal(answers.length, 20);
    loop.detach();
    listener.close();
    turnUntil(loop, () => loop.stats().openListeners === 0, "closed");
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});
