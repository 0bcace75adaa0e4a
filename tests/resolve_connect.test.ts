// Connections to names: which address has them, what is told of those that were tried in vain, and
// that calling one off leaves nothing behind at any stage.

import assert from "node:assert/strict";
import { type Connection, type ConnectOptions, type IoError, type Listener, Loop } from "../mod.ts";
import { bestBackend, noIpv6, testLoop, withLoop } from "./support/backends.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { NameServer, useTexts } from "./support/name_server.ts";
import {
  awaitClosed,
  content,
  ContentReader,
  ContentWriter,
  listenEcho,
  Recorder,
} from "./support/streams.ts";
import { test } from "node:test";

/** Nothing listens there but what a test has put there. */
const first = "127.77.0.1";
const second = "127.77.0.2";
const third = "127.77.0.3";
/** What "localhost" stands for as well. */
const loopback = "127.0.0.1";
const hosts = `${first} two.test\n${second} two.test\n`;
const virtual = { clock: "virtual" } as const;

function connect(loop: Loop, name: string, port: number, options?: ConnectOptions): Recorder {
  const recorder = new Recorder();
  recorder.conn = loop.connect(`tcp://${name}:${port}`, recorder, options);
  return recorder;
}

function failed(loop: Loop, recorder: Recorder): IoError {
  awaitClosed(loop, recorder.conn!);
  assert.deepEqual(recorder.events.length, 1, "nothing but close");
  return recorder.reason!;
}

/** Echo servers at one port of both addresses of localhost. */
function listenAtBoth(loop: Loop): readonly [Listener, Listener] {
  for (let attempt = 0; attempt < 20; attempt++) {
    const six = listenEcho(loop, "tcp://[::1]:0");
    try {
      return [six, listenEcho(loop, `tcp://${loopback}:${six.address.port}`)];
    } catch (error) {
      assert.equal((error as IoError).code, "EADDRINUSE");
      six.close();
    }
  }
  assert.fail("no port is free at both");
}

/**
 * A port of `first` where connects hang: the listener's loop never accepts, and no more fit in its
 * backlog. And a listener at the same port of `second`.
 */
class Hanging implements Disposable {
  readonly port: number;
  readonly #deaf = new Loop({ backend: bestBackend, maxConnections: 1 });
  readonly #clients = new Loop({ backend: "epoll" });
  readonly answered: Connection[] = [];

  constructor(loop: Loop) {
    const listener = this.#deaf.listen(`tcp://${first}:0`, {}, { backlog: 1 });
    this.port = listener.address.port;
    let opened = 0;
    const fill = (): void => {
      const conn = this.#clients.connect(listener.address, { open: () => void (opened += 1) });
      this.#clients.turn(2_000);
      this.#clients.turn(2_000);
      if (conn.state === "open") fill();
    };
    fill();
    assert.ok(opened < 10, "connects hang soon");
    loop.listen(`tcp://${second}:${this.port}`, { open: (conn) => void this.answered.push(conn) });
  }

  [Symbol.dispose](): void {
    this.#clients.close();
    this.#deaf.close();
  }
}

testLoop("localhost is connected to by either address", (loop) => {
  const listener = listenEcho(loop, "tcp://localhost:0");
  const recorder = connect(loop, "localhost", listener.address.port);
  assert.equal(recorder.conn!.state, "connecting");
  assert.throws(() => recorder.conn!.remoteAddress, { code: "ENOTCONN" });
  assert.equal(recorder.conn!.send("early"), "queued");
  turnUntil(loop, () => recorder.text === "early", "the echo of what was sent meanwhile");
  assert.equal(recorder.conn!.remoteAddress.host, loopback);
  assert.deepEqual(recorder.events, ["open", "data"]);
  recorder.conn!.close();
  listener.close();
  awaitClosed(loop, recorder.conn!);
  assert.equal(recorder.reason, null);
});

testLoop(
  "IPv6 goes before IPv4",
  (loop) => {
    const [listener, other] = listenAtBoth(loop);
    const { port } = listener.address;
    for (
      const [family, host] of [[undefined, "::1"], ["ipv4", loopback], ["ipv6", "::1"]] as const
    ) {
      const recorder = connect(loop, "localhost", port, { family });
      turnUntil(loop, () => recorder.isOpen, "the connection opens");
      assert.equal(recorder.conn!.remoteAddress.host, host);
      recorder.conn!.abort();
      awaitClosed(loop, recorder.conn!);
    }
    listener.close();
    other.close();
  },
  {},
  { skip: noIpv6 },
);

testLoop("an address that refuses makes way for the next at once", (loop) => {
  useTexts(hosts, "");
  const listener = listenEcho(loop, `tcp://${second}:0`);
  // The clock stands still: no delay passes.
  const recorder = connect(loop, "two.test", listener.address.port);
  const writer = new ContentWriter(300_000);
  const reader = new ContentReader();
  writer.write(recorder.conn!);
  Object.assign(recorder, {
    data: (_: Connection, lease: { bytes: Uint8Array }) => reader.read(lease.bytes),
    drain: (conn: Connection) => writer.write(conn),
  });
  turnUntil(loop, () => reader.received === 300_000, "everything comes back in order");
  assert.equal(recorder.conn!.remoteAddress.host, second);
  recorder.conn!.close();
  listener.close();
}, virtual);

testLoop("an address that hangs makes way after the delay, and ends without a word", (loop) => {
  useTexts(hosts, "");
  using hanging = new Hanging(loop);
  const recorder = connect(loop, "two.test", hanging.port, { attemptDelayMs: 100 });
  recorder.conn!.send("hello");
  turns(loop, 10, 5_000);
  assert.deepEqual(recorder.events, []);
  loop.advance(99_000);
  turns(loop, 3);
  assert.equal(hanging.answered.length, 0);
  // The delay began when the name was looked up, which nothing tells.
  turnUntil(loop, () => {
    if (hanging.answered.length === 0) loop.advance(1_000);
    return recorder.isOpen;
  }, "the second address answers");
  assert.equal(recorder.conn!.remoteAddress.host, second);
  assert.equal(loop.stats().connected, 1);
  recorder.conn!.abort();
  awaitClosed(loop, recorder.conn!);
  assert.deepEqual(recorder.events, ["open", "close:ABORTED"]);
  loop.close();
}, virtual);

testLoop("when all fail the error is the first one's, with all of them behind it", (loop) => {
  useTexts(`${hosts}${third} two.test\n224.0.0.1 far.test\n${first} far.test\n`, "");
  const listener = loop.listen(`tcp://${first}:0`, {});
  const { port } = listener.address;
  listener.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "the listener closed");
  const error = failed(loop, connect(loop, "two.test", port));
  assert.equal(error.code, "ECONNREFUSED");
  assert.equal(error.syscall, "connect");
  assert.match(error.message, new RegExp(`connect tcp://two\\.test:${port} \\(3 tried\\)`));
  assert.ok(error.cause instanceof AggregateError);
  const messages = (error.cause as AggregateError).errors.map(({ message }: Error) => message);
  for (const [index, host] of [first, second, third].entries()) {
    assert.match(
      messages[index],
      new RegExp(`connect to ${host.replaceAll(".", "\\.")}: .*REFUSED`),
    );
  }
  // That there is no way to one address says less than what another one's host says.
  assert.equal(failed(loop, connect(loop, "far.test", port)).code, "ECONNREFUSED");
  const one = failed(loop, connect(loop, "two.test", port, { family: "ipv6" }));
  assert.equal(one.code, "RESOLVE_FAILED");
});

testLoop("a name without an address closes with the reason", (loop) => {
  const server = new NameServer(loop, { "broken.test": "failure", "slow.test": "silence" });
  const missing = failed(loop, connect(loop, "missing.test", 80));
  assert.equal(missing.code, "NAME_NOT_FOUND");
  assert.match(missing.message, /connect tcp:\/\/missing\.test:80/);
  assert.equal(failed(loop, connect(loop, "broken.test", 80)).code, "RESOLVE_FAILED");
  for (
    const [options, code] of [
      [{ resolveTimeoutMs: 100 }, "RESOLVE_TIMEOUT"],
      [{ timeoutMs: 100 }, "CONNECT_TIMEOUT"],
    ] as const
  ) {
    const recorder = connect(loop, "slow.test", 80, options);
    turnUntil(loop, () => server.waiting > 0, "the server was asked");
    loop.advance(99_000);
    turns(loop, 3);
    assert.deepEqual(recorder.events, []);
    loop.advance(1_000);
    assert.equal(failed(loop, recorder).code, code);
    turnUntil(loop, () => server.waiting === 0, "the lookup let go");
  }
  server.close();
}, virtual);

testLoop("calling a connection off at any stage leaves nothing", (loop) => {
  const server = new NameServer(loop, { "slow.test": "silence" }, hosts);
  using hanging = new Hanging(loop);
  const stages = [
    ["slow.test", (): void => {}],
    ["slow.test", (): void => turnUntil(loop, () => server.waiting > 0, "asked")],
    ["two.test", (): void => void turns(loop, 5, 5_000)],
    ["two.test", (): void => {
      turns(loop, 5, 5_000);
      loop.advance(10_000);
    }],
  ] as const;
  for (const [name, reach] of stages) {
    for (const how of ["abort", "close", "signal", "timeout"] as const) {
      const controller = new AbortController();
      const options = { signal: controller.signal, timeoutMs: 3_000, attemptDelayMs: 10 };
      const recorder = connect(loop, name, hanging.port, options);
      recorder.conn!.send("never to arrive");
      reach();
      if (how === "abort") recorder.conn!.abort();
      if (how === "close") recorder.conn!.close();
      if (how === "signal") controller.abort();
      if (how === "timeout") loop.advance(3_000_000);
      const { code } = failed(loop, recorder);
      assert.equal(code, how === "timeout" ? "CONNECT_TIMEOUT" : "ABORTED");
      turnUntil(loop, () => server.waiting === 0, "the lookup let go");
    }
  }
  // Attempts that were ended take a turn or two for it, and none is told of.
  turns(loop, 5);
  for (const conn of hanging.answered) conn.abort();
  assert.equal(loop.stats().connected, 0);
  assert.equal(loop.stats().buffersInUse, 0);
  loop.close();
}, virtual);

testLoop("closing the loop ends connections to names at every stage", (loop) => {
  const server = new NameServer(loop, { "slow.test": "silence" }, hosts);
  using hanging = new Hanging(loop);
  const recorders = [connect(loop, "slow.test", 80), connect(loop, "two.test", hanging.port)];
  turnUntil(loop, () => server.waiting > 0, "the server was asked");
  turns(loop, 5, 5_000);
  loop.advance(250_000);
  recorders.push(connect(loop, "localhost", 9));
  loop.close();
  for (const { events } of recorders) assert.deepEqual(events, ["close:LOOP_CLOSED"]);
}, virtual);

testLoop("options for names are checked, and names are for connects", (loop) => {
  for (
    const options of [
      { attemptDelayMs: 9 },
      { attemptDelayMs: 2_001 },
      { resolveTimeoutMs: 0 },
      { family: "unix" },
    ] as ConnectOptions[]
  ) {
    assert.throws(() => loop.connect("tcp://a.test:80", {}, options), { code: "INVALID_OPTION" });
  }
  for (const host of ["-a", "a..b", "256.1.1.1", "a".repeat(64)]) {
    assert.throws(() => loop.connect(`tcp://${host}:80`, {}), { code: "INVALID_ENDPOINT" });
  }
  assert.throws(() => loop.connect("tcp://a.test:0", {}), { code: "INVALID_ENDPOINT" });
  assert.throws(() => loop.listen("tcp://a.test:80", {}), (error: IoError) => {
    return error.code === "INVALID_ENDPOINT" && /loop\.resolve/.test(error.advice);
  });
  assert.equal(turns(loop, 2), 0);
});

test("a thousand connects to names, on a loop with less room than that", async () => {
  await withLoop({ backend: bestBackend, maxConnections: 2_000 }, (loop) => {
    useTexts(hosts, "");
    const listener = listenEcho(loop, `tcp://${second}:0`, { backlog: 2_000 });
    const text = content(40);
    let echoed = 0;
    let refused = 0;
    for (let index = 0; index < 1_000; index++) {
      const conn = loop.connect(`tcp://two.test:${listener.address.port}`, {
        data: (conn, lease) => {
          assert.deepEqual([...lease.bytes], [...text]);
          echoed += 1;
          conn.close();
        },
        close: (_, error) => {
          if (error !== null) refused += 1;
        },
      });
      conn.send(text);
    }
    turnUntil(loop, () => echoed + refused === 1_000, "all are answered");
    assert.equal(refused, 0);
    listener.close();
  });
});

testLoop("without an address yet there is no socket to ask", (loop) => {
  const conn = loop.connect("tcp://localhost:9", {});
  const asks = [
    (): unknown => conn.remoteAddress,
    (): unknown => conn.localAddress,
    (): unknown => conn.getOption("noDelay"),
    (): unknown => conn.setOptions({ noDelay: false }),
  ];
  for (const ask of asks) assert.throws(ask, { code: "ENOTCONN", message: /not connected/ });
  conn.abort();
  turnUntil(loop, () => conn.state === "closed", "the end");
});
