// Whatever a program does with leases and connections, in any order: each answer is as the model
// says, and no buffer is lost, neither for sending nor for receiving.

import assert from "node:assert/strict";
import fc from "fast-check";
import type { Connection, Lease, Loop } from "../mod.ts";
import { settle } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { awaitClosed, openPair, type Pair } from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

const sizes = { bufferSize: 512, receiveBuffers: 8, slabBytes: 65_536, maxBytes: 65_536 } as const;
/** Large enough for programs to run out of memory. */
const largeBytes = 8_192;

/** What the server does with a delivery. */
type Reaction = "ignore" | "copy" | "retain" | "echo" | "release" | "retain and echo";

/** One step of a program; `at` chooses among leases or connections. */
type Step =
  | { do: "allocate"; length: number }
  | { do: "send" | "retain" | "release" | "bytes"; at: number }
  | { do: "text"; length: number }
  | { do: "react"; as: Reaction }
  | { do: "turn" | "close" | "abort" | "shutdown" | "pause" };

const index = fc.nat(20);
const reactions: Reaction[] = ["ignore", "copy", "retain", "echo", "release", "retain and echo"];

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("allocate" as const), length: fc.nat(512) }),
  fc.record({ do: fc.constantFrom("send", "retain", "release", "bytes" as const), at: index }),
  fc.record({ do: fc.constant("text" as const), length: fc.nat(3_000) }),
  fc.record({ do: fc.constant("react" as const), as: fc.constantFrom(...reactions) }),
  fc.record({ do: fc.constantFrom("turn", "turn", "turn", "close", "abort", "shutdown", "pause") }),
) as fc.Arbitrary<Step>;

/** Runs steps on a loop and knows how many references each lease has. */
class Program {
  readonly #loop: Loop;
  readonly #endpoint: string;
  readonly #leases: { lease: Lease; references: number }[] = [];
  #pair: Pair;
  #reaction: Reaction = "ignore";
  #isShut = false;

  constructor(loop: Loop, endpoint: string) {
    this.#loop = loop;
    this.#endpoint = endpoint;
    this.#pair = this.#open();
  }

  run(step: Step): void {
    const { client, server } = this.#pair;
    if (step.do === "allocate") this.#allocate(step.length);
    else if (step.do === "text") this.#sendText(client, step.length);
    else if (step.do === "react") this.#reaction = step.as;
    else if (step.do === "turn") this.#loop.turn();
    else if (step.do === "pause") server.state === "open" && togglePause(server);
    else if (step.do === "shutdown") this.#shutdown(client);
    else if (step.do === "close" || step.do === "abort") this.#replace(step.do);
    else if ("at" in step && this.#leases.length > 0) {
      this.#use(step.do, step.at % this.#leases.length);
    }
  }

  /** Gives everything back. */
  end(): void {
    this.#replace("close", false);
    for (const { lease, references } of this.#leases) {
      for (let count = 0; count < references; count++) lease.release();
      assert.equal(lease.released, true);
    }
  }

  #open(): Pair {
    this.#isShut = false;
    return openPair(this.#loop, {
      endpoint: this.#endpoint,
      server: {
        data: (conn, lease) => this.#react(conn, lease),
        end: (conn) => conn.close(),
      },
    });
  }

  #replace(how: "close" | "abort", again = true): void {
    const { client, server } = this.#pair;
    client[how]();
    if (server.state === "open") {
      server.resume();
      if (how === "close") server.close();
    }
    // A server out of buffers could not read on to the end.
    this.#drop();
    awaitClosed(this.#loop, client, server);
    if (again) this.#pair = this.#open();
  }

  /** Releases what was kept of deliveries. */
  #drop(): void {
    for (const entry of this.#leases) {
      for (; entry.references > 0; entry.references--) entry.lease.release();
    }
    this.#leases.length = 0;
  }

  #react(conn: Connection, lease: Lease): void {
    if (this.#reaction === "copy") assert.equal(lease.copy().length, lease.length);
    if (this.#reaction === "release") lease.release();
    if (this.#reaction.startsWith("retain")) {
      this.#leases.push({ lease: lease.retain(), references: 1 });
    }
    if (this.#reaction.endsWith("echo")) conn.send(lease.bytes.subarray(0, 10));
  }

  #allocate(length: number): void {
    const lease = this.#loop.allocate(largeBytes);
    if (lease === undefined) {
      assert.ok(this.#loop.pool.stats().inUseBytes > 0, "an empty pool has nothing to give");
      return;
    }
    lease.length = length;
    this.#leases.push({ lease, references: 1 });
  }

  #sendText(client: Connection, length: number): void {
    if (client.state !== "open" || this.#isShut) return;
    const before = client.queuedBytes;
    const result = client.send("x".repeat(length));
    assert.equal(client.queuedBytes, result === "full" ? before : before + length);
  }

  #shutdown(client: Connection): void {
    if (client.state !== "open") return;
    client.shutdown();
    this.#isShut = true;
  }

  #use(what: "send" | "retain" | "release" | "bytes", at: number): void {
    const entry = this.#leases[at];
    const { lease } = entry;
    const { client } = this.#pair;
    const act = (): unknown => {
      if (what === "send") return client.send(lease);
      if (what === "bytes") return lease.bytes;
      return lease[what]();
    };
    if (entry.references === 0) {
      assert.throws(act, { code: "STALE_LEASE" });
    } else if (what === "send" && (client.state !== "open" || this.#isShut)) {
      assert.throws(act, {
        code: this.#isShut && client.state === "open" ? "EPIPE" : "STALE_HANDLE",
      });
    } else {
      const result = act();
      if (what === "retain") entry.references += 1;
      if (what === "release" || (what === "send" && result !== "full")) entry.references -= 1;
    }
    assert.equal(lease.released, entry.references === 0);
  }
}

function togglePause(conn: Connection): void {
  if (conn.paused) conn.resume();
  else conn.pause();
}

/** Every receive buffer can be delivered and kept at the same time. */
function checkReceiveBuffers(loop: Loop, endpoint: string): void {
  const kept: Lease[] = [];
  const { client, server } = openPair(loop, {
    endpoint,
    server: { data: (_, lease) => void kept.push(lease.retain()) },
  });
  const total = sizes.receiveBuffers * sizes.bufferSize;
  client.send(new Uint8Array(total));
  const received = (): number => kept.reduce((sum, lease) => sum + lease.length, 0);
  turnUntil(loop, () => received() === total, "deliveries in every buffer");
  for (const lease of kept) lease.release();
  client.close();
  awaitClosed(loop, client, server);
}

testTransports("no sequence of steps loses a buffer", (loop, { endpoint, isFirst }) => {
  const program = fc.array(step, { maxLength: 60 });
  fc.assert(
    fc.property(program, (steps) => {
      const running = new Program(loop, endpoint);
      for (const step of steps) running.run(step);
      running.end();
      settle(loop);
      checkReceiveBuffers(loop, endpoint);
    }),
    { numRuns: isFirst ? 300 : 100 },
  );
}, { clock: "virtual", pool: sizes });
