// Relays: every byte goes through, in order and both ways, in bounded memory, whatever drives the
// loop. How they end is tested in relay_endings.test.ts.

import assert from "node:assert/strict";
import { type Connection, Loop, type Relay } from "../mod.ts";
import { testLoop } from "./support/backends.ts";
import { drive, drivers, Signal, turns, turnUntil } from "./support/drive.ts";
import { Proxy } from "./support/proxy.ts";
import { Silence } from "./support/silence.ts";
import {
  anyPort,
  awaitClosed,
  content,
  ContentReader,
  ContentWriter,
  listenEcho,
  openPair,
  Recorder,
} from "./support/streams.ts";

const mebibyte = 1_048_576;

testLoop("megabytes go both ways at once, and the totals tell how many", (loop) => {
  const total = 3 * mebibyte;
  const writers = [new ContentWriter(total), new ContentWriter(total)];
  const readers = [new ContentReader(), new ContentReader()];
  const [client, target] = [0, 1].map((side) => ({
    open: (conn: Connection) => writers[side].write(conn),
    drain: (conn: Connection) => writers[side].write(conn),
    data(conn: Connection, lease: { readonly bytes: Uint8Array }): void {
      readers[side].read(lease.bytes);
      if (readers[side].received === total && writers[side].isDone) conn.close();
    },
  }));
  const proxy = new Proxy(loop, { client, target });
  const { code, totals } = proxy.awaitEnd();
  assert.deepEqual(readers.map((reader) => reader.received), [total, total]);
  assert.equal(code, null);
  assert.deepEqual(totals, { firstToSecond: total, secondToFirst: total });
  assert.deepEqual(proxy.relay!.totals, totals);
  assert.equal(proxy.relay!.state, "closed");
  assert.equal(loop.stats().relayedBytes, 2 * total);
  assert.deepEqual(proxy.first.events, ["open", "close:null"]);
  assert.deepEqual(proxy.second.events, ["open", "close:null"]);
});

testLoop(
  "a reader that does not read stops the writer, and costs no more than the mark",
  (loop) => {
    const total = 16 * mebibyte;
    const writer = new ContentWriter(total);
    const reader = new ContentReader();
    const proxy = new Proxy(loop, {
      client: { drain: (conn) => writer.write(conn) },
      target: { data: (_, lease) => reader.read(lease.bytes), end: (conn) => conn.close() },
      relay: { highWaterMark: 65_536 },
    });
    proxy.targetConn.pause();
    turns(loop, 2);
    const before = reader.received;
    writer.write(proxy.clientConn);
    let carried = -1;
    const mark = 65_536 + 2 * loop.capabilities.bufferSize;
    for (let quiet = 0; quiet < 20;) {
      loop.turn(1_000);
      assert.ok(proxy.secondConn.queuedBytes <= mark, `${proxy.secondConn.queuedBytes} bytes wait`);
      const { firstToSecond } = proxy.relay!.totals;
      quiet = firstToSecond === carried ? quiet + 1 : 0;
      carried = firstToSecond;
    }
    assert.ok(writer.fulls > 0 && !writer.isDone, "the writer was stopped");
    assert.equal(reader.received, before);
    proxy.targetConn.resume();
    turnUntil(loop, () => reader.received === total, "the rest");
    proxy.clientConn.close();
    assert.deepEqual(proxy.awaitEnd(), {
      code: null,
      totals: { firstToSecond: total, secondToFirst: 0 },
    });
  },
);

for (const who of ["client", "target"] as const) {
  testLoop(`the ${who} ends its direction first, and the other still answers`, (loop) => {
    const request = 300_000;
    const answer = 200_000;
    const asked = new ContentReader();
    const answered = new ContentReader();
    const asking = {
      data: (_: Connection, lease: { readonly bytes: Uint8Array }) => answered.read(lease.bytes),
      end: (conn: Connection) => conn.close(),
    };
    const answering = {
      data: (_: Connection, lease: { readonly bytes: Uint8Array }) => asked.read(lease.bytes),
      end(conn: Connection): void {
        assert.equal(asked.received, request, "the end follows the last byte");
        conn.send(content(answer));
        conn.shutdown();
      },
    };
    const proxy = new Proxy(
      loop,
      who === "client"
        ? { client: asking, target: answering }
        : { client: answering, target: asking },
    );
    const conn = who === "client" ? proxy.clientConn : proxy.targetConn;
    assert.notEqual(conn.send(content(request)), "full");
    conn.shutdown();
    const { code, totals } = proxy.awaitEnd();
    assert.equal(answered.received, answer);
    assert.equal(code, null);
    const [there, back] = who === "client" ? [request, answer] : [answer, request];
    assert.deepEqual(totals, { firstToSecond: there, secondToFirst: back });
    assert.deepEqual(proxy.client.events.slice(-2), ["end", "close:null"]);
    assert.deepEqual(proxy.target.events.slice(-2), ["end", "close:null"]);
  });
}

testLoop("what was queued and what was held back before goes first, in its order", (loop) => {
  const upstream = new Recorder();
  const target = openPair(loop, { server: upstream });
  const client = openPair(loop, {});
  const [first, second] = [client.server, target.client];
  first.pause();
  turns(loop, 2);
  client.client.send("held ");
  turns(loop);
  second.send("queued ");
  const relay = loop.relay(first, second);
  client.client.send("relayed");
  turnUntil(loop, () => upstream.bytes === 19, "all of it");
  assert.equal(upstream.text, "queued held relayed");
  assert.deepEqual(relay.totals, { firstToSecond: 12, secondToFirst: 0 });
  assert.equal(first.paused, false);
  relay.close();
  awaitClosed(loop, first, second, client.client, target.server);
});

testLoop("an end that was reported before a relay began is carried on, too", (loop) => {
  const upstream = new Recorder();
  const target = openPair(loop, { server: upstream });
  let hasEnded = false;
  const client = openPair(loop, { server: { end: () => void (hasEnded = true) } });
  client.client.shutdown();
  turnUntil(loop, () => hasEnded, "the end");
  loop.relay(client.server, target.client);
  awaitClosed(loop, client.server, client.client, target.server);
});

testLoop("a relay made by a data handler carries on behind what that handler sent", (loop) => {
  const total = 200_000;
  const reader = new ContentReader();
  const target = loop.listen(anyPort, {
    data: (_, lease) => reader.read(lease.bytes),
    end: (conn) => conn.close(),
  });
  const ends: number[] = [];
  const proxy = loop.listen(anyPort, {
    data(conn, lease): void {
      const upstream = loop.connect(target.address, {});
      // The head of the stream decided where to; it is sent on by the script.
      assert.notEqual(upstream.send(lease), "full");
      loop.relay(conn, upstream, { end: (_, _error, totals) => ends.push(totals.firstToSecond) });
    },
  });
  loop.connect(proxy.address, {
    open(conn): void {
      conn.send(content(total));
      conn.shutdown();
    },
  });
  turnUntil(loop, () => ends.length > 0, "the end");
  assert.equal(reader.received, total);
  assert.ok(ends[0] < total, "the head was the script's");
  assert.ok(ends[0] >= total - loop.capabilities.bufferSize, "all but the head was the relay's");
  proxy.close();
  target.close();
});

testLoop("while the target does not answer, a client is read up to the mark", (loop) => {
  using silence = new Silence(loop);
  const writer = new ContentWriter(16 * mebibyte);
  const proxy = new Proxy(loop, {
    client: {
      open: (conn) => writer.write(conn),
      drain: (conn) => writer.write(conn),
    },
    relay: { highWaterMark: 65_536, idleTimeoutMs: 1_000 },
    endpoint: silence.endpoint,
  });
  turns(loop, 50);
  const { firstToSecond } = proxy.relay!.totals;
  assert.ok(firstToSecond >= 65_536 && firstToSecond <= 65_536 + 2 * loop.capabilities.bufferSize);
  // Connecting has a time limit of its own.
  loop.advance(5_000_000);
  turns(loop);
  assert.equal(proxy.relay!.state, "open");
  loop.advance(5_001_000);
  assert.equal(proxy.awaitEnd().code, "CONNECT_TIMEOUT");
  assert.deepEqual(proxy.second.events, ["close:CONNECT_TIMEOUT"]);
  assert.deepEqual(proxy.first.events, ["open", "close:ABORTED"]);
  assert.equal(proxy.client.events.at(-1), "close:ECONNRESET");
}, { clock: "virtual" });

testLoop("a target that refuses ends the relay and resets the client", (loop) => {
  const listener = loop.listen(anyPort, {});
  const { endpoint } = listener;
  listener.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "the listener closed");
  const proxy = new Proxy(loop, { endpoint });
  assert.equal(proxy.awaitEnd().code, "ECONNREFUSED");
  assert.deepEqual(proxy.second.events, ["close:ECONNREFUSED"]);
  assert.equal(proxy.client.events.at(-1), "close:ECONNRESET");
});

testLoop("a relayed connection is the relay's: everything else is BUSY", (loop) => {
  const proxy = new Proxy(loop);
  turnUntil(loop, () => proxy.second.isOpen, "the target");
  const spare = openPair(loop, {});
  for (const conn of [proxy.firstConn, proxy.secondConn]) {
    assert.throws(() => conn.send("x"), { code: "BUSY" });
    assert.throws(() => conn.pause(), { code: "BUSY" });
    assert.throws(() => conn.resume(), { code: "BUSY" });
    assert.throws(() => conn.shutdown(), { code: "BUSY" });
    assert.throws(() => loop.relay(conn, spare.client), { code: "BUSY" });
    assert.throws(() => loop.relay(spare.client, conn), { code: "BUSY" });
  }
  proxy.relay!.close();
  proxy.awaitEnd();
  spare.client.close();
  awaitClosed(loop, spare.client, spare.server);
});

testLoop("what cannot be relayed is refused, and stays as it is", (loop) => {
  const { client, server } = openPair(loop, {});
  const other = openPair(loop, { server: { end: () => {} } });
  assert.throws(() => loop.relay(client, client), { code: "INVALID_ARGUMENT" });
  assert.throws(() => loop.relay(client, {} as Connection), { code: "INVALID_ARGUMENT" });
  assert.throws(() => loop.relay(null as unknown as Connection, client), {
    code: "INVALID_ARGUMENT",
  });
  assert.throws(() => loop.relay(client, server, null as unknown as object), {
    code: "INVALID_ARGUMENT",
  });
  assert.throws(() => loop.relay(client, server, { end: 1 as unknown as () => void }), {
    code: "INVALID_ARGUMENT",
  });
  for (const idleTimeoutMs of [-1, 0.5, NaN, 3_600_001, "1" as unknown as number]) {
    assert.throws(() => loop.relay(client, server, { idleTimeoutMs }), { code: "INVALID_OPTION" });
    assert.throws(() => loop.relay(client, server, { halfOpenTimeoutMs: idleTimeoutMs }), {
      code: "INVALID_OPTION",
    });
  }
  for (const highWaterMark of [0, loop.capabilities.bufferSize, 2 ** 30 + 1]) {
    assert.throws(() => loop.relay(client, server, { highWaterMark }), { code: "INVALID_OPTION" });
  }
  using elsewhere = new Loop({ backend: loop.backend });
  assert.throws(() => elsewhere.relay(client, server), { code: "WRONG_LOOP" });
  other.client.shutdown();
  assert.throws(() => loop.relay(client, other.client), { code: "EPIPE" });
  other.client.close();
  assert.throws(() => loop.relay(client, other.client), { code: "STALE_HANDLE" });
  other.server.close();
  awaitClosed(loop, other.client, other.server);
  assert.throws(() => loop.relay(other.client, client), { code: "STALE_HANDLE" });
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("a side that ended in the very turn takes the other with it", (loop) => {
  for (const how of ["abort", "close"] as const) {
    const target = new Recorder();
    const spare = openPair(loop, { server: target });
    const ends: (string | null)[] = [];
    // The server is told of the bytes and of what follows them in one turn.
    const pair = openPair(loop, {
      server: {
        data: (conn) =>
          void loop.relay(conn, spare.client, {
            end: (_, error) => void ends.push(error?.code ?? null),
          }),
      },
    });
    pair.client.send("x");
    loop.turn();
    pair.client[how]();
    turnUntil(loop, () => ends.length > 0 && target.isClosed, "the end");
    const expected = how === "abort" ? "ECONNRESET" : null;
    assert.deepEqual(ends, [expected]);
    assert.equal(target.reason?.code ?? null, expected);
  }
});

for (const driver of drivers) {
  testLoop(`a relay carries while the loop is driven by ${driver}`, async (loop) => {
    const done = new Signal();
    const total = mebibyte;
    const reader = new ContentReader();
    const target = listenEcho(loop);
    const proxy = loop.listen(anyPort, {
      open: (conn) =>
        void loop.relay(conn, loop.connect(target.address, {}), { end: () => done.fire() }),
    });
    const writer = new ContentWriter(total);
    loop.connect(proxy.address, {
      open: (conn) => writer.write(conn),
      drain: (conn) => writer.write(conn),
      data(conn, lease): void {
        reader.read(lease.bytes);
        if (reader.received === total) conn.close();
      },
    });
    await drive(loop, driver, done);
    assert.equal(reader.received, total);
    proxy.close();
    target.close();
  });
}

testLoop("a thousand relays that come and go leave nothing behind", (loop) => {
  const target = listenEcho(loop);
  let begun = 0;
  let ended = 0;
  let relayed = 0;
  const proxy = loop.listen(anyPort, {
    open(conn): void {
      loop.relay(conn, loop.connect(target.address, {}), {
        end(_, _error, totals): void {
          ended += 1;
          relayed += totals.firstToSecond + totals.secondToFirst;
        },
      });
    },
  });
  const all = 1_000;
  const start = (): void => {
    const index = begun++;
    const length = 1 + index % 5_000;
    let received = 0;
    loop.connect(proxy.address, {
      open: (conn) => void conn.send(content(length)),
      data(conn, lease): void {
        received += lease.length;
        if (index % 7 === 0) conn.abort();
        else if (received === length) conn.close();
      },
      close(): void {
        if (begun < all) start();
      },
    });
  };
  for (let index = 0; index < 50; index++) start();
  turnUntil(loop, () => ended === all, "all relays");
  assert.equal(relayed, loop.stats().relayedBytes);
  proxy.close();
  target.close();
});

testLoop("a throwing end handler is reported, and closing the loop ends its relays", (loop) => {
  const thrown = new Error("from the end handler");
  const { client, server } = openPair(loop, {});
  const other = openPair(loop, {});
  loop.relay(server, other.client, {
    end(): void {
      throw thrown;
    },
  });
  client.close();
  assert.throws(() => awaitClosed(loop, client, server, other.client, other.server), thrown);
  awaitClosed(loop, client, server, other.client, other.server);

  const proxy = new Proxy(loop);
  turnUntil(loop, () => proxy.second.isOpen, "the target");
  proxy.clientConn.send("four");
  turnUntil(loop, () => proxy.target.bytes === 4, "the bytes");
  loop.close();
  assert.deepEqual(proxy.ends, [{
    code: "LOOP_CLOSED",
    totals: { firstToSecond: 4, secondToFirst: 0 },
  }]);
  assert.equal(proxy.relay!.totals.firstToSecond, 4);
});

testLoop("a relay that is unref'd lets the loop end", async (loop) => {
  const { client, server } = openPair(loop, {});
  const other = openPair(loop, {});
  const relay: Relay = loop.relay(server, other.client);
  client.unref();
  other.server.unref();
  relay.unref();
  await loop.run();
  relay.ref();
  client.close();
  relay.close();
  awaitClosed(loop, client, server, other.client, other.server);
});
