// Datagrams from socket to socket: whole, in order, with their senders, over every transport.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import process from "node:process";
import type { Loop } from "../mod.ts";
import { noIpv6 } from "./support/backends.ts";
import { anyUdp, Mailbox, testDatagrams, withFolder } from "./support/datagrams.ts";
import { turnBesideHost, turns, turnUntil } from "./support/drive.ts";
import { content } from "./support/streams.ts";

const isLinux = process.platform === "linux";

function closeAll(loop: Loop, ...mailboxes: Mailbox[]): void {
  for (const { socket } of mailboxes) socket.close();
  turnUntil(loop, () => mailboxes.every((each) => each.isClosed), "the sockets closed");
  for (const { events, socket } of mailboxes) {
    assert.equal(events.at(-1), "close:null");
    assert.equal(socket.state, "closed");
  }
}

/** Sends to an echo at `where`, and compares what comes back and from whom. */
function exchange(loop: Loop, server: Mailbox, client: Mailbox): void {
  const texts = ["one", "", "three", "x".repeat(900)];
  for (const text of texts) client.socket.send(text, server.address);
  turnUntil(loop, () => client.arrived.length === texts.length, "the echo");
  assert.deepEqual(server.texts, texts);
  assert.deepEqual(client.texts, texts);
  for (const { from } of client.arrived) assert.deepEqual(from, server.address);
}

function echoAt(loop: Loop, endpoint: string): Mailbox {
  return new Mailbox(loop, endpoint, {}, {
    message: (socket, lease, source) => void socket.send(lease, source),
  });
}

testDatagrams("datagrams come whole, with their sender, and are answered", (loop) => {
  const server = echoAt(loop, anyUdp);
  const client = new Mailbox(loop);
  exchange(loop, server, client);
  assert.deepEqual(server.arrived[0].from, client.address);
  assert.equal(server.address.transport, "udp");
  assert.equal(server.address.family, "ipv4");
  assert.ok(server.address.port > 0);
  assert.equal(server.socket.remoteAddress, null);
  closeAll(loop, server, client);
  const stats = loop.stats();
  assert.equal(stats.datagramsReceived, 8);
  assert.equal(stats.datagramsSent, 8);
  assert.equal(stats.sentBytes, 2 * 908);
  assert.equal(stats.receivedBytes, 2 * 908);
  assert.equal(stats.rejected, 0);
  assert.equal(stats.openSockets, 0);
});

testDatagrams(
  "IPv6",
  (loop) => {
    const server = echoAt(loop, "udp://[::1]:0");
    const client = new Mailbox(loop, "udp://[::1]:0");
    exchange(loop, server, client);
    assert.equal(client.arrived[0].from.host, "::1");
    closeAll(loop, server, client);
  },
  {},
  noIpv6,
);

testDatagrams(
  "a socket of IPv6 speaks IPv4, too",
  (loop) => {
    const both = echoAt(loop, "udp://[::]:0");
    const client = new Mailbox(loop);
    const { port } = both.address;
    client.socket.send("to both", { transport: "udp", host: "127.0.0.1", port });
    turnUntil(loop, () => client.arrived.length === 1, "the echo");
    assert.equal(both.arrived[0].from.host, "::ffff:127.0.0.1");
    assert.equal(client.arrived[0].from.host, "127.0.0.1");
    // An IPv4 address as the receiver of a socket of IPv6.
    both.socket.send("by itself", client.address);
    turnUntil(loop, () => client.arrived.length === 2, "the datagram");
    closeAll(loop, both, client);
  },
  {},
  noIpv6,
);

testDatagrams("Unix sockets with paths tell them to each other, however long", (loop) => {
  withFolder((folder) => {
    const longest = join(folder, "p".repeat(107 - folder.length - 1));
    const server = echoAt(loop, `unix+datagram:${longest}`);
    const client = new Mailbox(loop, `unix+datagram:${join(folder, "client")}`);
    exchange(loop, server, client);
    assert.equal(client.arrived[0].from.path, longest);
    assert.equal(client.arrived[0].from.family, "unix");
    closeAll(loop, server, client);
  });
});

const noNames = isLinux ? false : "Linux alone has Unix names";

testDatagrams(
  "Unix sockets with names of Linux",
  (loop) => {
    const server = echoAt(loop, `unix+datagram:@twinpoll-server-${process.pid}`);
    const client = new Mailbox(loop, `unix+datagram:@twinpoll-client-${process.pid}`);
    exchange(loop, server, client);
    assert.equal(server.arrived[0].from.path, `@twinpoll-client-${process.pid}`);
    closeAll(loop, server, client);
  },
  {},
  noNames,
);

testDatagrams("a Unix socket without a name sends, and cannot be answered", (loop) => {
  withFolder((folder) => {
    let refusal: unknown = null;
    const path = `unix+datagram:${join(folder, "server")}`;
    const server = new Mailbox(loop, path, {}, {
      message(socket, lease, source): void {
        try {
          socket.send(lease, source);
        } catch (error) {
          refusal = error;
        }
      },
    });
    const client = new Mailbox(loop, "unix+datagram:", { remote: path });
    assert.equal(client.address.path, "");
    assert.deepEqual(client.socket.remoteAddress, server.address);
    client.socket.send("anonymous");
    turnUntil(loop, () => server.arrived.length === 1, "the datagram");
    assert.equal(server.arrived[0].from.path, "");
    assert.equal((refusal as { code?: string } | null)?.code, "INVALID_ARGUMENT");
    closeAll(loop, server, client);
  });
});

testDatagrams("a connected socket hears its peer alone", (loop) => {
  const server = echoAt(loop, anyUdp);
  const client = new Mailbox(loop, anyUdp, { remote: server.address });
  const stranger = new Mailbox(loop);
  stranger.socket.send("from elsewhere", client.address);
  for (const text of ["a", "b", "c"]) client.socket.send(text);
  turnUntil(loop, () => client.arrived.length === 3, "the echo");
  assert.deepEqual(client.texts, ["a", "b", "c"]);
  assert.deepEqual(client.socket.remoteAddress, server.address);
  closeAll(loop, server, client, stranger);
});

testDatagrams("many datagrams arrive in order, those of each sender", (loop) => {
  const counts = new Map<number, number>();
  let total = 0;
  const server = loop.bind(anyUdp, {
    message(_socket, lease, source): void {
      const { port } = source.address;
      const expected = counts.get(port) ?? 0;
      assert.equal(Buffer.from(lease.bytes).toString(), `${expected}`);
      counts.set(port, expected + 1);
      total += 1;
    },
  });
  const clients = [0, 1, 2].map(() => loop.bind(anyUdp, {}));
  // In rounds that the kernel has room for.
  for (let sent = 0; sent < 900; sent += 30) {
    for (const client of clients) {
      for (let index = 0; index < 30; index++) client.send(`${sent + index}`, server.localAddress);
    }
    turnUntil(loop, () => total === (sent + 30) * 3, "a round");
  }
  assert.deepEqual([...counts.values()], [900, 900, 900]);
  for (const socket of [server, ...clients]) socket.close();
});

testDatagrams("a source kept as an address can be answered later", (loop) => {
  const server = new Mailbox(loop);
  const client = new Mailbox(loop);
  client.socket.send("ask", server.address);
  turnUntil(loop, () => server.arrived.length === 1, "the question");
  const { from } = server.arrived[0];
  for (let times = 0; times < 3; times++) server.socket.send(`answer ${times}`, from);
  turnUntil(loop, () => client.arrived.length === 3, "the answers");
  assert.deepEqual(client.texts, ["answer 0", "answer 1", "answer 2"]);
  closeAll(loop, server, client);
});

testDatagrams("what can be sent: leases, parts, bytes, text", (loop) => {
  const server = new Mailbox(loop);
  const client = new Mailbox(loop);
  const to = server.address;
  const lease = loop.allocate(6)!;
  lease.bytes.set(Buffer.from("leased"));
  client.socket.send(lease, to);
  assert.equal(lease.released, true);
  const part = loop.allocate(4)!;
  part.bytes.set(Buffer.from("part"));
  client.socket.send(["a ", part, Buffer.from(" in"), " the middle"], to);
  assert.equal(part.released, true);
  client.socket.send([], to);
  client.socket.send(content(5_000), to);
  client.socket.send("ümlaut", to);
  turnUntil(loop, () => server.arrived.length === 5, "the datagrams");
  assert.deepEqual(server.texts, [
    "leased",
    "a part in the middle",
    "",
    Buffer.from(content(5_000)).toString("latin1"),
    Buffer.from("ümlaut").toString("latin1"),
  ]);
  closeAll(loop, server, client);
});

testDatagrams("a datagram may be as long as the network allows", (loop) => {
  const server = new Mailbox(loop);
  const client = new Mailbox(loop);
  client.socket.send(content(65_507), server.address);
  turnUntil(loop, () => server.arrived.length === 1, "the datagram");
  assert.equal(server.arrived[0].text, Buffer.from(content(65_507)).toString("latin1"));
  closeAll(loop, server, client);
}, { pool: { bufferSize: 131_072 } });

testDatagrams("the end of a datagram that does not fit is lost, and that is told", (loop) => {
  const truncated: [number, boolean][] = [];
  const server = loop.bind(anyUdp, {
    message: (_socket, lease, source) => void truncated.push([lease.length, source.truncated]),
  });
  const client = loop.bind(anyUdp, {});
  const room = 1_024 - 256;
  for (const length of [room, room + 1, 9_000, 10]) {
    client.send(content(length), server.localAddress);
  }
  turnUntil(loop, () => truncated.length === 4, "the datagrams");
  assert.deepEqual(truncated, [[room, false], [room, true], [room, true], [10, false]]);
  server.close();
  client.close();
}, { pool: { bufferSize: 1_024 } });

testDatagrams("a paused socket delivers nothing, and loses nothing that was there", (loop) => {
  const server = new Mailbox(loop);
  const client = new Mailbox(loop);
  client.socket.send("before", server.address);
  turnUntil(loop, () => server.arrived.length === 1, "the first datagram");
  server.socket.pause();
  assert.equal(server.socket.paused, true);
  for (let index = 0; index < 20; index++) client.socket.send(`${index}`, server.address);
  turns(loop);
  assert.equal(server.arrived.length, 1);
  server.socket.resume();
  turnUntil(loop, () => server.arrived.length === 21, "the others");
  assert.deepEqual(server.texts.slice(1), Array.from({ length: 20 }, (_, index) => `${index}`));
  closeAll(loop, server, client);
});

testDatagrams(
  "retained leases count against the credits, and released ones let it go on",
  (loop) => {
    const kept: { release(): void }[] = [];
    const server = loop.bind(anyUdp, {
      message: (_socket, lease) => void kept.push(lease.retain()),
    }, { receiveCredits: 4 });
    const client = loop.bind(anyUdp, {});
    for (let index = 0; index < 20; index++) client.send(`${index}`, server.localAddress);
    turnUntil(loop, () => kept.length >= 4, "the credits");
    turns(loop);
    assert.equal(kept.length, 4);
    for (let round = 0; kept.length < 20; round++) {
      assert.ok(round < 20);
      const before = kept.length;
      kept[before - 4].release();
      turnUntil(loop, () => kept.length > before, "one more");
    }
    for (const lease of kept.slice(-4)) {
      if (!(lease as { released?: boolean }).released) {
        lease.release();
      }
    }
    server.close();
    client.close();
  },
);

testDatagrams("close sends what is queued, and abort does not wait", (loop) => {
  const server = new Mailbox(loop);
  const client = new Mailbox(loop);
  for (let index = 0; index < 50; index++) client.socket.send(`${index}`, server.address);
  client.socket.close();
  assert.equal(client.socket.state, "closing");
  turnUntil(loop, () => server.arrived.length === 50, "what was queued");
  turnUntil(loop, () => client.isClosed, "the client closed");
  assert.equal(client.events.at(-1), "close:null");
  server.socket.abort();
  turnUntil(loop, () => server.isClosed, "the server closed");
  assert.equal(server.events.at(-1), "close:ABORTED");
});

testDatagrams("a handler that throws ends its socket", (loop) => {
  const thrown = new Error("from the handler");
  let cause: unknown;
  const server = new Mailbox(loop, anyUdp, {}, {
    message(): void {
      throw thrown;
    },
    close: (_socket, error) => void (cause = error?.cause),
  });
  const client = new Mailbox(loop);
  client.socket.send("x", server.address);
  assert.throws(() => turnUntil(loop, () => server.isClosed, "a turn throws"), /from the handler/);
  turnUntil(loop, () => server.isClosed, "the socket closed");
  assert.equal(server.events.at(-1), "close:ABORTED");
  assert.equal(cause, thrown);
  closeAll(loop, client);
});

testDatagrams("a closed loop ends its sockets", (loop) => {
  const mailbox = new Mailbox(loop);
  mailbox.socket.send("x", mailbox.address);
  loop.close();
  assert.deepEqual(mailbox.events, ["close:LOOP_CLOSED"]);
  assert.equal(mailbox.socket.queuedBytes, 0);
  mailbox.socket.close();
  mailbox.socket.abort();
});

testDatagrams("slots are used again, and a handle of before names nothing", (loop) => {
  for (let round = 0; round < 20; round++) {
    const socket = loop.bind(anyUdp, {});
    const other = loop.bind(anyUdp, {});
    assert.throws(() => loop.bind(anyUdp, {}), { code: "EXHAUSTED" });
    socket.close();
    other.close();
    turnUntil(loop, () => loop.stats().openSockets === 0, "both closed");
    assert.throws(() => socket.send("x", other.localAddress), { code: "STALE_HANDLE" });
  }
}, { maxSockets: 2 });

testDatagrams("an unref'd socket does not keep the loop running", async (loop) => {
  const socket = loop.bind(anyUdp, {});
  socket.unref();
  await loop.run();
  socket.ref();
  const ended = loop.run();
  socket.close();
  await ended;
});

testDatagrams("node:dgram understands us, and we it", async (loop) => {
  const other = createSocket("udp4");
  const heard: string[] = [];
  other.on("message", (message, { port, address }) => {
    heard.push(message.toString());
    other.send(`re: ${message}`, port, address);
  });
  await new Promise<void>((resolve) => other.bind(0, "127.0.0.1", resolve));
  const mailbox = new Mailbox(loop);
  const to = `udp://127.0.0.1:${other.address().port}`;
  // Runs of one size go as one to the kernel, and are datagrams all the same.
  for (let index = 0; index < 10; index++) mailbox.socket.send(`hello ${index}`, to);
  await turnBesideHost(loop, () => mailbox.arrived.length === 10, "the answers");
  assert.deepEqual(heard, Array.from({ length: 10 }, (_, index) => `hello ${index}`));
  assert.deepEqual(mailbox.texts, heard.map((text) => `re: ${text}`));
  await new Promise<void>((resolve) => other.close(resolve));
  closeAll(loop, mailbox);
});
