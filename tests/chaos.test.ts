// Connections whose ends do anything in any order: what arrives is a prefix of what was sent, all
// of it when nobody gave up, each end is told once how it ended, and nothing is lost or stuck.

import assert from "node:assert/strict";
import fc from "fast-check";
import type { Connection, ConnectionHandlers, Lease, Loop } from "../mod.ts";
import { settle } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { content, contentAt, ContentReader } from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

const sizes = { bufferSize: 512, receiveBuffers: 16, slabBytes: 65_536, maxBytes: 65_536 } as const;

type Verb = "send" | "lease" | "pause" | "resume" | "shutdown" | "close" | "abort";

/** What one end of one connection does; `bytes` for those that send. */
interface Deed {
  readonly verb: Verb;
  readonly pair: number;
  readonly isClient: boolean;
  readonly bytes: number;
}

const pairs = 3;

const deed: fc.Arbitrary<Deed | "turn"> = fc.oneof(
  { weight: 2, arbitrary: fc.constant("turn" as const) },
  {
    weight: 5,
    arbitrary: fc.record({
      verb: fc.oneof(
        { weight: 12, arbitrary: fc.constantFrom<Verb>("send", "lease") },
        { weight: 4, arbitrary: fc.constantFrom<Verb>("pause", "resume") },
        { weight: 1, arbitrary: fc.constantFrom<Verb>("shutdown", "close", "abort") },
      ),
      pair: fc.nat(pairs - 1),
      isClient: fc.boolean(),
      bytes: fc.oneof(fc.nat(600), fc.nat(8_000)),
    }),
  },
);

/** One end of a connection, with what it did and saw. */
class End {
  conn: Connection | null = null;
  readonly reader = new ContentReader();
  sent = 0;
  closes: (string | null)[] = [];
  sawEnd = false;
  hasClosed = false;
  hasAborted = false;
  #isShut = false;
  #isOwedDrain = false;

  readonly handlers: ConnectionHandlers = {
    open: (conn) => {
      assert.ok(this.conn === null || this.conn === conn);
      this.conn = conn;
    },
    data: (conn, lease) => {
      assert.equal(conn.state, "open");
      assert.equal(this.sawEnd, false, "data after end");
      this.reader.read(lease.bytes);
    },
    end: (conn) => {
      assert.equal(conn.state, "open");
      assert.equal(this.sawEnd, false, "a second end");
      this.sawEnd = true;
    },
    drain: () => {
      assert.ok(this.#isOwedDrain, "drain without full");
      this.#isOwedDrain = false;
    },
    close: (conn, error) => {
      assert.equal(conn, this.conn ?? conn);
      this.closes.push(error?.code ?? null);
    },
  };

  act(loop: Loop, { verb, bytes }: Deed): void {
    const { conn } = this;
    if (conn === null || conn.state === "closed") return;
    if (verb === "abort") {
      this.hasAborted = true;
      conn.abort();
    } else if (verb === "close") {
      this.hasClosed ||= conn.state === "open";
      conn.close();
    } else if (verb === "pause" || verb === "resume") {
      conn[verb]();
    } else if (conn.state === "open" && !this.#isShut) {
      if (verb === "shutdown") this.shutdown();
      else {this.#send(
          conn,
          verb === "lease" ? leaseOf(loop, this.sent, bytes) : content(bytes, this.sent),
        );}
    }
  }

  shutdown(): void {
    if (this.conn?.state !== "open" || this.#isShut) return;
    this.#isShut = true;
    this.conn.shutdown();
  }

  #send(conn: Connection, message: Lease | Uint8Array | null): void {
    if (message === null) return;
    const { queuedBytes, highWaterMark } = conn;
    const { length } = message;
    const result = conn.send(message);
    if (result === "full") {
      this.#isOwedDrain = true;
      assert.equal(conn.queuedBytes, queuedBytes);
      if (!(message instanceof Uint8Array)) message.release();
      return;
    }
    assert.equal(result, queuedBytes === 0 ? "sent" : "queued");
    assert.ok(queuedBytes === 0 || queuedBytes + length <= highWaterMark);
    this.sent += length;
  }
}

function leaseOf(loop: Loop, position: number, bytes: number): Lease | null {
  const lease = loop.allocate();
  if (lease === undefined) return null;
  lease.length = bytes % (sizes.bufferSize + 1);
  lease.bytes.set(contentAt(position, lease.length));
  return lease;
}

/** How it must have ended, from what the two ends did. */
function checkEnds(one: End, other: End): void {
  assert.equal(one.closes.length, 1, "close comes once");
  assert.ok(one.reader.received <= other.sent, "more arrived than was sent");
  const [code] = one.closes;
  if (one.hasAborted) {
    assert.ok(code === "ABORTED" || code === null || other.hasAborted, String(code));
  } else if (other.hasAborted) {
    assert.ok(code === "ECONNRESET" || code === null, String(code));
  } else {
    assert.equal(code, null);
    if (!one.hasClosed) assert.equal(one.reader.received, other.sent, "not all arrived");
  }
}

/** Carries out the deeds on fresh connections, then ends them in order. */
function run(loop: Loop, endpoint: string, deeds: readonly (Deed | "turn")[]): void {
  const clients = Array.from({ length: pairs }, () => new End());
  const servers: End[] = [];
  const options = { highWaterMark: 2_048 };
  for (const client of clients) {
    const server = new End();
    servers.push(server);
    const listener = loop.listen(endpoint, server.handlers, options);
    client.conn = loop.connect(listener.address, client.handlers, options);
    turnUntil(loop, () => server.conn !== null && client.conn!.state === "open", "a pair");
    listener.close();
    turnUntil(loop, () => loop.stats().openListeners === 0, "the listener closed");
  }
  for (const deed of deeds) {
    if (deed === "turn") loop.turn();
    else (deed.isClient ? clients : servers)[deed.pair].act(loop, deed);
  }
  const ends = [...clients, ...servers];
  for (const end of ends) {
    if (end.conn!.state !== "closed") end.conn!.resume();
    end.shutdown();
  }
  turnUntil(loop, () => ends.every((end) => end.closes.length > 0), "every end closed");
  clients.forEach((client, index) => {
    checkEnds(client, servers[index]);
    checkEnds(servers[index], client);
  });
}

testTransports("ends that do anything in any order", (loop, { endpoint, isFirst }) => {
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 120 }), (deeds) => {
      run(loop, endpoint, deeds);
      settle(loop);
    }),
    { numRuns: isFirst ? 300 : 100 },
  );
}, { clock: "virtual", pool: sizes });
