// Every option of every public options interface, out of its range and of wrong types: a typed
// error that names it, and nothing opened or changed.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type {
  AdoptOptions,
  AllocateOptions,
  Connection,
  ConnectionSettings,
  DatagramSendOptions,
  DatagramSocket,
  DatagramStreamOptions,
  GroupOptions,
  KeepAliveOptions,
  ListenerCloseOptions,
  LoopShutdownOptions,
  RelayOptions,
  ResolveOptions,
  ResolverFiles,
  RunOptions,
  Segmenter,
  SendOptions,
  ServerOptions,
  ShutdownOptions,
  StreamConnectOptions,
  TimerOptions,
  WatchOptions,
} from "../mod.ts";
import { bind, connect, IoError, listen, Loop, useResolverFiles } from "../mod.ts";
import { testEach } from "./support/backends.ts";
import { within } from "./support/drive.ts";
import { anyUdp } from "./support/datagrams.ts";
import { root } from "./support/runtime.ts";
import { anyPort, openPair } from "./support/streams.ts";
import { unixPath } from "./support/transports.ts";
import {
  argument,
  boolean,
  integer,
  mark,
  noNumbers,
  ofConnecting,
  ofConnectingSockets,
  ofDatagrams,
  ofDatagramSockets,
  ofDatagramStreams,
  ofLayer1,
  ofListenerSockets,
  ofListening,
  ofLoops,
  ofNames,
  ofPools,
  ofQuarantines,
  ofRings,
  ofSegmenters,
  ofServers,
  ofSockets,
  ofSqpoll,
  ofStreams,
  refused,
  type Row,
  type Rows,
  signal,
  timeout,
  timeoutOrNone,
} from "./support/wrong_options.ts";

/** The options that something takes, and the way in. */
interface Group {
  readonly of: string;
  readonly rows: Readonly<Record<string, Row>>;
  /** What stands before the option's name in errors. */
  readonly prefix?: string;
  /** The options may be left out, and must be an object otherwise. */
  readonly isWhole?: boolean;
  use(options: object): unknown;
}

/** What the groups work on. */
interface Things {
  readonly loop: Loop;
  readonly conn: Connection;
  readonly other: Connection;
  /** Takes descriptors. */
  readonly passing: Connection;
  readonly socket: DatagramSocket;
}

function groupsOf({ loop, conn, other, passing, socket }: Things): readonly Group[] {
  const { backend } = loop;
  const open = (options: object): void => new Loop({ backend, ...options }).close();
  const segmenters = Object.entries(ofSegmenters).map(([kind, rows]): Group => ({
    of: `segmenter ${kind}`,
    rows,
    prefix: "segmenter.",
    use: (options) => {
      const segmenter = { kind, bytes: 1, segment: () => 1, ...options } as Segmenter;
      loop.listen(anyPort, { message: () => {} }, { segmenter }).close();
    },
  }));
  return [
    ...segmenters,
    { of: "new Loop", rows: ofLoops, use: open },
    { of: "new Loop", rows: ofPools, prefix: "pool.", use: (pool) => open({ pool }) },
    {
      of: "new Loop",
      rows: ofQuarantines,
      prefix: "pool.quarantine.",
      use: (quarantine) => open({ pool: { quarantine } }),
    },
    {
      of: "new Loop",
      rows: ofRings,
      prefix: "ioUring.",
      use: (ioUring) => new Loop({ backend: "io_uring", ioUring }).close(),
    },
    {
      of: "new Loop",
      rows: ofSqpoll,
      prefix: "ioUring.sqpoll.",
      use: (sqpoll) => new Loop({ backend: "io_uring", ioUring: { sqpoll } }).close(),
    },
    {
      of: "loop.listen",
      rows: { ...ofSockets, ...ofStreams, ...ofListenerSockets, ...ofListening },
      isWhole: true,
      use: (options) => loop.listen(anyPort, { message: () => {} }, options).close(),
    },
    {
      of: "loop.connect",
      rows: { ...ofSockets, ...ofStreams, ...ofConnecting, ...ofConnectingSockets },
      isWhole: true,
      use: (options) => loop.connect("tcp://127.0.0.1:9", { message: () => {} }, options).abort(),
    },
    {
      of: "loop.adopt",
      rows: { ...ofSockets, ...ofStreams },
      isWhole: true,
      use: (options) => loop.adopt(1_000_000, { message: () => {} }, options),
    },
    {
      of: "conn.setOptions",
      rows: { ...ofSockets, idleTimeoutMs: timeoutOrNone } satisfies Rows<ConnectionSettings>,
      isWhole: true,
      use: (options) => conn.setOptions(options),
    },
    {
      of: "keepAlive",
      rows: {
        idleSeconds: integer(1, 32_767),
        intervalSeconds: integer(1, 32_767),
        count: integer(1, 127),
      } satisfies Rows<KeepAliveOptions>,
      prefix: "keepAlive.",
      use: (keepAlive) => conn.setOptions({ keepAlive }),
    },
    {
      of: "conn.send",
      rows: { descriptors: argument(5, "all", {}, null) } satisfies Rows<SendOptions>,
      isWhole: true,
      use: (options) => passing.send("x", options),
    },
    {
      of: "listener.close",
      rows: { drain: boolean } satisfies Rows<ListenerCloseOptions>,
      isWhole: true,
      use: (options) => {
        const listener = loop.listen(anyPort, {});
        try {
          listener.close(options);
        } finally {
          listener.close();
        }
      },
    },
    {
      of: "loop.relay",
      rows: {
        idleTimeoutMs: timeoutOrNone,
        halfOpenTimeoutMs: timeoutOrNone,
        highWaterMark: mark,
        end: argument(5, "call", {}),
      } satisfies Rows<RelayOptions>,
      isWhole: true,
      use: (options) => loop.relay(conn, other, options),
    },
    {
      of: "loop.shutdown",
      rows: { timeoutMs: timeout } satisfies Rows<LoopShutdownOptions>,
      isWhole: true,
      use: (options) => loop.shutdown(options),
    },
    {
      of: "loop.resolve",
      rows: {
        family: ofConnecting.family,
        timeoutMs: timeout,
        signal,
      } satisfies Rows<ResolveOptions>,
      isWhole: true,
      use: (options) => loop.resolve("localhost", () => {}, options).cancel(),
    },
    {
      of: "useResolverFiles",
      rows: {
        hosts: refused(5, "", null, "a".repeat(256), "a\0b"),
        resolvConf: refused(5, "", null, "a".repeat(256), "a\0b"),
      } satisfies Rows<ResolverFiles>,
      isWhole: true,
      use: (options) => useResolverFiles(options),
    },
    {
      of: "loop.startTimer",
      rows: {
        delayUs: refused(NaN, "8", null, true, {}, 8n, -1, Infinity, 2 ** 53 + 2, undefined),
        periodUs: refused(NaN, "8", null, true, {}, 8n, 0, -1, Infinity, 2 ** 53 + 2),
      } satisfies Rows<TimerOptions>,
      use: (options) => loop.startTimer(() => {}, { delayUs: 1, ...options }).cancel(),
    },
    {
      of: "loop.watch",
      rows: {
        readable: boolean,
        writable: boolean,
        edge: boolean,
      } satisfies Rows<WatchOptions>,
      isWhole: true,
      use: (options) => loop.watch(0, options, () => {}).remove(),
    },
    {
      of: "loop.allocate",
      rows: {
        alignment: argument(...noNumbers, 0, 3, 1.5, -1, 8_192),
      } satisfies Rows<AllocateOptions>,
      isWhole: true,
      use: (options) => loop.allocate(10, options)?.release(),
    },
    {
      of: "loop.run",
      rows: { signal } satisfies Rows<RunOptions>,
      isWhole: true,
      use: (options) => loop.run(options),
    },
    {
      of: "pool.adopt",
      rows: { released: argument(5, "call", {}, null) } satisfies Rows<AdoptOptions>,
      isWhole: true,
      use: (options) => loop.pool.adopt({ pointer: 4_096, byteLength: 10 }, options),
    },
    {
      of: "loop.bind",
      rows: { ...ofDatagramSockets, ...ofDatagrams },
      isWhole: true,
      use: (options) => loop.bind(anyUdp, {}, options).close(),
    },
    {
      of: "socket.setOptions",
      rows: ofDatagramSockets,
      isWhole: true,
      use: (options) => socket.setOptions(options),
    },
    {
      of: "socket.send",
      rows: { segmentSize: integer(1, 65_535) } satisfies Rows<DatagramSendOptions>,
      isWhole: true,
      use: (options) => socket.send("x", socket.localAddress, options),
    },
    {
      of: "socket.joinGroup",
      rows: {
        interface: integer(0, 2 ** 31 - 1),
        source: argument(5, "", null, "example.org", "300.1.1.1"),
      } satisfies Rows<GroupOptions>,
      isWhole: true,
      use: (options) => socket.joinGroup("239.1.2.3", options),
    },
    {
      of: "listen",
      rows: {
        ...ofSockets,
        ...ofStreams,
        ...ofListenerSockets,
        ...ofListening,
        ...ofNames,
        ...ofLayer1,
        ...ofServers,
        segmenter: argument({ kind: "line" }),
      } satisfies Rows<ServerOptions>,
      isWhole: true,
      use: async (options) => (await listen(anyPort, inLoop(loop, options))).close(),
    },
    {
      of: "connect",
      rows: {
        ...ofSockets,
        ...ofStreams,
        ...ofConnecting,
        ...ofConnectingSockets,
        ...ofLayer1,
        segmenter: argument({ kind: "line" }),
      } satisfies Rows<StreamConnectOptions>,
      isWhole: true,
      use: (options) => connect("tcp://127.0.0.1:9", inLoop(loop, options)),
    },
    {
      of: "server.shutdown",
      rows: { timeoutMs: timeoutOrNone } satisfies Rows<ShutdownOptions>,
      isWhole: true,
      use: async (options) => {
        const server = await listen(anyPort, { loop });
        try {
          await server.shutdown(options);
        } finally {
          server.close();
        }
      },
    },
    {
      of: "bind",
      rows: {
        ...ofDatagramSockets,
        ...ofDatagrams,
        ...ofNames,
        ...ofDatagramStreams,
      } satisfies Rows<DatagramStreamOptions>,
      isWhole: true,
      use: async (options) => (await bind(anyUdp, inLoop(loop, options))).abort(),
    },
  ];
}

/** Adds the loop to options that are some; what is none stays. */
function inLoop(loop: Loop, options: object): object {
  return typeof options === "object" && options !== null ? { loop, ...options } : options;
}

/** Runs what may throw or reject; an error that is none of this library's fails the test. */
async function errorOf(use: () => unknown, what: string): Promise<IoError | null> {
  try {
    await within(Promise.resolve(use()), what);
  } catch (error) {
    assert.ok(error instanceof IoError, `${what}: ${String(error)}`);
    return error;
  }
  return null;
}

function show(value: unknown): string {
  return typeof value === "bigint" ? `${value}n` : JSON.stringify(value) ?? String(value);
}

async function check({ of, rows, prefix = "", isWhole = false, use }: Group): Promise<string[]> {
  const complaints: string[] = [];
  for (const [name, { values, code }] of Object.entries(rows)) {
    for (const value of values) {
      const what = `${of} with ${prefix}${name}: ${show(value)}`;
      const error = await errorOf(() => use({ [name]: value }), what).catch((error) => error);
      const isNamed = code !== "INVALID_OPTION" || `${error?.message}`.includes(prefix + name);
      if (error?.code !== code || !isNamed) complaints.push(`${what}: ${String(error)}`);
    }
  }
  for (const options of isWhole ? [null, 5, "all"] : []) {
    const what = `${of} with ${show(options)}`;
    const error = await errorOf(() => use(options as unknown as object), what)
      .catch((error) => error);
    if (error?.code !== "INVALID_ARGUMENT") complaints.push(`${what}: ${String(error)}`);
  }
  return complaints;
}

testEach(
  "each option out of its range, or of another type, is refused by name",
  async (backend) => {
    using loop = new Loop({ backend });
    const { client: conn, server: other } = openPair(loop);
    using path = unixPath();
    const descriptors = { descriptors: true };
    const { endpoint } = path;
    const passing = openPair(loop, { endpoint, connect: descriptors, listen: descriptors }).client;
    const socket = loop.bind(anyUdp, {});
    const before = JSON.stringify(counts(loop));
    const complaints: string[] = [];
    for (const group of groupsOf({ loop, conn, other, passing, socket })) {
      complaints.push(...await check(group));
    }
    assert.deepEqual(complaints, []);
    loop.turn();
    assert.equal(JSON.stringify(counts(loop)), before, "nothing was opened");
  },
);

function counts(loop: Loop): object {
  const { openConnections, openListeners, openSockets, openWatches, leases, rejected } = loop
    .stats();
  return { openConnections, openListeners, openSockets, openWatches, leases, rejected };
}

/** What has no table: the shape of `node:net`, and what a program tells of its own errors. */
const exempt = new Set([
  "IoErrorOptions",
  "NetListenOptions",
  "NetServerOptions",
  "SocketConnectOptions",
  "SocketOptions",
]);

test("each options interface of the public faces has a table", () => {
  const read = (file: string): string => readFileSync(join(root, file), "utf8");
  const tables = read("tests/support/wrong_options.ts") + read("tests/option_ranges.test.ts");
  const known = new Set([...tables.matchAll(/Rows<(\w+)/g)].map(([, name]) => name));
  const faces = `${read("mod.ts")}${read("net.ts")}`
    .matchAll(/\b[A-Z]\w*(?:Options|Settings|Files|Limits|[a-z]Segmenter)\b/g);
  const names = new Set([...faces].map(([name]) => name));
  assert.ok(names.size > 30, `${names.size} interfaces`);
  assert.deepEqual([...names].filter((name) => !known.has(name) && !exempt.has(name)), []);
});
