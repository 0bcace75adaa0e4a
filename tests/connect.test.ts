// Connecting: addresses at both ends, and every way in which it fails, with its code and the system
// call behind it.

import assert from "node:assert/strict";
import { type Connection, IoError, Loop } from "../mod.ts";
import { noIpv6, testLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import {
  anyPort,
  anyPort6,
  awaitClosed,
  listenEcho,
  openPair,
  Recorder,
} from "./support/streams.ts";
import { testTransports } from "./support/transports.ts";

/** A port on which nobody listens. */
function deadPort(loop: Loop): number {
  const listener = loop.listen(anyPort, {});
  listener.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "the listener closed");
  return listener.address.port;
}

/** The error of a connect that fails. */
function failToConnect(loop: Loop, endpoint: string): IoError {
  const recorder = new Recorder();
  const conn = loop.connect(endpoint, recorder);
  awaitClosed(loop, conn);
  assert.equal(recorder.events.length, 1, "nothing but close");
  return recorder.reason!;
}

testLoop("a refused connect closes with ECONNREFUSED", (loop) => {
  const port = deadPort(loop);
  const error = failToConnect(loop, `tcp://127.0.0.1:${port}`);
  assert.ok(error instanceof IoError);
  assert.equal(error.code, "ECONNREFUSED");
  assert.equal(error.errno, 111);
  assert.equal(error.syscall, "connect");
  assert.match(error.message, new RegExp(`tcp://127\\.0\\.0\\.1:${port}`));
  assert.ok(error.advice.length > 0);
});

testLoop(
  "a refused connect over IPv6 names its endpoint",
  (loop) => {
    const error = failToConnect(loop, `tcp://[::1]:${deadPort(loop)}`);
    assert.equal(error.code, "ECONNREFUSED");
    assert.match(error.message, /tcp:\/\/\[::1\]:\d+/);
  },
  {},
  { skip: noIpv6 },
);

testLoop("an address that no route leads to closes with ENETUNREACH", (loop) => {
  // TCP knows no multicast: the kernel refuses such an address before it looks at routes.
  assert.equal(failToConnect(loop, "tcp://224.0.0.1:9").code, "ENETUNREACH");
  assert.equal(failToConnect(loop, "tcp://255.255.255.255:9").code, "ENETUNREACH");
});

testLoop("port 0 cannot be connected to", (loop) => {
  assert.throws(() => loop.connect(anyPort, {}), { code: "INVALID_ENDPOINT" });
});

for (
  const [family, endpoint, skip] of [
    ["ipv4", anyPort, false],
    ["ipv6", anyPort6, noIpv6],
  ] as const
) {
  testLoop(
    `addresses of both ends agree over ${family}`,
    (loop) => {
      const { client, server } = openPair(loop, { endpoint });
      assert.deepEqual(client.remoteAddress, server.localAddress);
      assert.deepEqual(client.localAddress, server.remoteAddress);
      assert.deepEqual(server.localAddress, server.listener?.address);
      assert.equal(client.listener, null);
      const { transport, host, port } = client.localAddress;
      assert.deepEqual({ transport, family, host }, {
        transport: "tcp",
        family: client.localAddress.family,
        host: family === "ipv4" ? "127.0.0.1" : "::1",
      });
      assert.ok(port > 0 && port !== client.remoteAddress.port);
      client.close();
      awaitClosed(loop, client, server);
    },
    {},
    { skip },
  );
}

testLoop("the peer's address is known while connecting", (loop) => {
  const listener = listenEcho(loop);
  const conn = loop.connect(
    { transport: "tcp", host: "127.0.0.1", port: listener.address.port },
    {},
  );
  assert.equal(conn.state, "connecting");
  assert.deepEqual(conn.remoteAddress, listener.address);
  conn.close();
  listener.close();
  awaitClosed(loop, conn);
});

/** A listener that never accepts, with its backlog full: further connects get no answer. */
class Silence implements Disposable {
  readonly endpoint: string;
  readonly #loop: Loop;
  readonly #fill: Connection[];

  /** `loop` fills the backlog. */
  constructor(loop: Loop) {
    this.#loop = new Loop({ backend: loop.backend });
    this.endpoint = this.#loop.listen(anyPort, {}, { backlog: 1 }).endpoint;
    this.#fill = [0, 1].map(() => loop.connect(this.endpoint, {}));
    turnUntil(loop, () => this.#fill.every((conn) => conn.state === "open"), "a full backlog");
  }

  [Symbol.dispose](): void {
    this.#loop.close();
    for (const conn of this.#fill) conn.abort();
  }
}

testLoop("a peer that does not answer is CONNECT_TIMEOUT, after 10 s by default", (loop) => {
  using silence = new Silence(loop);
  const recorder = new Recorder();
  const hasty = new Recorder();
  const conn = loop.connect(silence.endpoint, recorder);
  const other = loop.connect(silence.endpoint, hasty, { timeoutMs: 50 });
  turns(loop);
  loop.advance(49_000);
  turns(loop);
  assert.deepEqual([conn.state, other.state], ["connecting", "connecting"]);
  loop.advance(1_001);
  awaitClosed(loop, other);
  assert.deepEqual(hasty.events, ["close:CONNECT_TIMEOUT"]);
  assert.match(hasty.reason!.message, /connect tcp:\/\/127\.0\.0\.1/);
  loop.advance(9_949_000);
  turns(loop);
  assert.equal(conn.state, "connecting");
  loop.advance(2_000);
  awaitClosed(loop, conn);
  assert.deepEqual(recorder.events, ["close:CONNECT_TIMEOUT"]);
}, { clock: "virtual" });

testLoop("with timeoutMs 0 the kernel's own limit is the only one", (loop) => {
  using silence = new Silence(loop);
  const recorder = new Recorder();
  const conn = loop.connect(silence.endpoint, recorder, { timeoutMs: 0 });
  loop.advance(3_600e6);
  turns(loop);
  assert.equal(conn.state, "connecting");
  conn.close();
  awaitClosed(loop, conn);
  assert.deepEqual(recorder.events, ["close:ABORTED"]);
}, { clock: "virtual" });

testTransports("the time limit ends with the connect", (loop, { endpoint }) => {
  const { client, server } = openPair(loop, { endpoint, connect: { timeoutMs: 100 } });
  loop.advance(60e6);
  turns(loop);
  assert.equal(client.state, "open");
  client.close();
  awaitClosed(loop, client, server);
}, { clock: "virtual" });

testLoop("an abort signal ends a connect with ABORTED and its reason", (loop) => {
  using silence = new Silence(loop);
  for (const when of ["before", "during"]) {
    const recorder = new Recorder();
    const controller = new AbortController();
    const reason = new Error(`aborted ${when}`);
    if (when === "before") controller.abort(reason);
    const conn = loop.connect(silence.endpoint, recorder, { signal: controller.signal });
    if (when === "during") {
      turns(loop);
      assert.equal(conn.state, "connecting");
      controller.abort(reason);
    }
    awaitClosed(loop, conn);
    assert.deepEqual(recorder.events, ["close:ABORTED"]);
    assert.equal(recorder.reason!.cause, reason);
  }
});

testTransports("an abort signal does nothing once the connection is open", (loop, { endpoint }) => {
  const controller = new AbortController();
  const { client, server } = openPair(loop, { endpoint, connect: { signal: controller.signal } });
  controller.abort();
  turns(loop);
  assert.equal(client.state, "open");
  client.close();
  awaitClosed(loop, client, server);
});
