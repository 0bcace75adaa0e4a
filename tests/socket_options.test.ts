// Options of the kernel's sockets: each is read back through getsockopt, of connections that were
// opened with it, accepted with it, or given it later; and what is refused, is refused by name.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import {
  type Connection,
  type ConnectionSettings,
  IoError,
  Loop,
  type SocketOptionName,
} from "../mod.ts";
import { noIpv6, testEach, testLoop } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { turnUntil } from "./support/drive.ts";
import { type Skip, testUnless } from "./support/record.ts";
import { command } from "./support/runtime.ts";
import { anyPort, anyPort6, awaitClosed, openPair } from "./support/streams.ts";
import { unixPath } from "./support/transports.ts";

/** Whether this process has a capability, by its number. */
function hasCapability(number: number): boolean {
  const found = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return found !== null && (BigInt(`0x${found[1]}`) >> BigInt(number) & 1n) === 1n;
}

/** CAP_NET_ADMIN. */
const mayAdminister = hasCapability(12);

/** What is set, and what is read back. */
interface Case {
  readonly set: ConnectionSettings;
  readonly name: SocketOptionName;
  readonly read: unknown;
  /** Sockets of the Unix family have it as well. */
  readonly isGeneral?: boolean;
  /** The kernel takes it back by itself, after a delayed acknowledgement of the handshake. */
  readonly fades?: boolean;
}

const cases: readonly Case[] = [
  { set: { noDelay: false }, name: "noDelay", read: false },
  { set: { noDelay: true }, name: "noDelay", read: true },
  { set: { cork: true }, name: "cork", read: true },
  { set: { quickAck: false }, name: "quickAck", read: false, fades: true },
  { set: { quickAck: true }, name: "quickAck", read: true },
  { set: { keepAlive: false }, name: "keepAlive", read: false },
  {
    set: { keepAlive: { idleSeconds: 61, intervalSeconds: 7, count: 3 } },
    name: "keepAlive",
    read: { idleSeconds: 61, intervalSeconds: 7, count: 3 },
  },
  { set: { userTimeoutMs: 12_345 }, name: "userTimeoutMs", read: 12_345 },
  { set: { sendBufferBytes: 30_000 }, name: "sendBufferBytes", read: 60_000, isGeneral: true },
  {
    set: { receiveBufferBytes: 40_000 },
    name: "receiveBufferBytes",
    read: 80_000,
    isGeneral: true,
  },
  { set: { busyPollUs: mayAdminister ? 50 : 0 }, name: "busyPollUs", read: mayAdminister ? 50 : 0 },
  { set: { typeOfService: 0x48 }, name: "typeOfService", read: 0x48 },
  { set: { mark: mayAdminister ? 77 : 0 }, name: "mark", read: mayAdminister ? 77 : 0 },
  { set: { priority: 5 }, name: "priority", read: 5 },
  { set: { ttl: 33 }, name: "ttl", read: 33 },
  { set: { idleTimeoutMs: 3_600_000 }, name: "idleTimeoutMs", read: 3_600_000, isGeneral: true },
];

function describe({ set }: Case): string {
  return JSON.stringify(set);
}

for (
  const [family, endpoint, skip] of [
    ["IPv4", anyPort, false],
    ["IPv6", anyPort6, noIpv6],
  ] as const
) {
  testLoop(
    `each option is read back over ${family}: of connecting, accepted and open ones`,
    (loop) => {
      for (const one of cases) {
        const { set, name, read, fades = false } = one;
        if (fades) continue;
        const { client, server } = openPair(loop, { endpoint, connect: set, listen: set });
        assert.deepEqual(client.getOption(name), read, `connected with ${describe(one)}`);
        assert.deepEqual(server.getOption(name), read, `accepted with ${describe(one)}`);
        client.close();
        awaitClosed(loop, client, server);
      }
      const { client, server } = openPair(loop, { endpoint });
      assert.equal(client.getOption("noDelay"), true, "small messages leave at once by default");
      assert.equal(server.getOption("noDelay"), true);
      for (const conn of [client, server]) {
        for (const one of cases) {
          conn.setOptions(one.set);
          assert.deepEqual(conn.getOption(one.name), one.read, `given ${describe(one)}`);
        }
      }
      client.abort();
      awaitClosed(loop, client, server);
    },
    {},
    { skip },
  );
}

testLoop("options of a listener are read back, and go to what it accepts later", (loop) => {
  const accepted: Connection[] = [];
  const listener = loop.listen(anyPort, { open: (conn) => void accepted.push(conn) }, {
    fastOpenBacklog: 16,
  });
  assert.equal(listener.getOption("reuseAddress"), true);
  assert.equal(listener.getOption("reusePort"), false);
  assert.equal(listener.getOption("fastOpenBacklog"), 16);
  for (const one of cases) {
    listener.setOptions(one.set);
    assert.deepEqual(listener.getOption(one.name), one.read, describe(one));
    const client = loop.connect(listener.address, {});
    turnUntil(loop, () => accepted.length === 1, "a connection");
    const conn = accepted.pop()!;
    assert.deepEqual(conn.getOption(one.name), one.read, `accepted with ${describe(one)}`);
    client.abort();
    awaitClosed(loop, client, conn);
  }
  listener.close();
  assert.throws(() => listener.setOptions({ cork: true }), { code: "STALE_HANDLE" });
  assert.throws(() => listener.getOption("cork"), { code: "STALE_HANDLE" });
  const other = loop.listen(anyPort, {}, { reuseAddress: false, reusePort: true });
  assert.equal(other.getOption("reuseAddress"), false);
  assert.equal(other.getOption("reusePort"), true);
  other.close();
});

testLoop("a Unix socket has the options of its family, and refuses others by name", (loop) => {
  using path = unixPath();
  const { endpoint } = path;
  const general = cases.filter((one) => one.isGeneral);
  for (const one of general) {
    const pair = openPair(loop, { endpoint, connect: one.set, listen: one.set });
    for (const conn of [pair.client, pair.server]) {
      assert.deepEqual(conn.getOption(one.name), one.read, describe(one));
    }
    pair.client.close();
    awaitClosed(loop, pair.client, pair.server);
  }
  const { client, server } = openPair(loop, { endpoint });
  for (const one of cases) {
    if (one.isGeneral) continue;
    const word = new RegExp(one.name);
    const refusal = { code: "UNSUPPORTED", message: word };
    assert.throws(() => client.setOptions(one.set), refusal);
    assert.throws(() => client.getOption(one.name), refusal);
    assert.throws(() => loop.listen(path.other, {}, one.set), refusal);
    assert.throws(() => loop.connect(endpoint, {}, one.set), refusal);
    client.setOptions({ ...one.set, sendBufferBytes: 20_000, bestEffort: true });
    assert.equal(client.getOption("sendBufferBytes"), 40_000, "what can be had is set");
    loop.listen(path.other, {}, { ...one.set, bestEffort: true }).close();
  }
  client.close();
  awaitClosed(loop, client, server);
});

testLoop("what only other sockets have is UNSUPPORTED", (loop) => {
  const { client, server } = openPair(loop);
  const refusal = { code: "UNSUPPORTED", message: /ipv6Only/ };
  assert.throws(() => client.getOption("ipv6Only"), refusal);
  assert.throws(() => loop.listen(anyPort, {}, { ipv6Only: true }), {
    code: "UNSUPPORTED",
    message: /ipv6Only/,
    advice: /bestEffort/,
  });
  loop.listen(anyPort, {}, { ipv6Only: true, bestEffort: true }).close();
  loop.listen(anyPort, {}, { ipv6Only: false }).close();
  assert.throws(() => client.peerCredentials, { code: "UNSUPPORTED" });
  client.close();
  awaitClosed(loop, client, server);
});

/** The option is refused with its name, and nothing is opened or changed. */
function refuses(use: () => unknown, name: string, value: unknown): void {
  assert.throws(use, (error) => {
    assert.ok(error instanceof IoError, `${name} ${String(value)}: ${String(error)}`);
    assert.equal(error.code, "INVALID_OPTION", error.message);
    assert.ok(error.message.includes(name) && error.advice.includes(name), error.message);
    return true;
  });
}

const noInteger = [NaN, 1.5, -1, Infinity, "8", null, true, {}];
const noBoolean = [0, 1, "yes", null, {}];

/** What each option cannot be. */
const wrong: Readonly<Record<string, readonly unknown[]>> = {
  noDelay: noBoolean,
  cork: noBoolean,
  quickAck: noBoolean,
  bestEffort: noBoolean,
  keepAlive: [0, 1, "yes", null],
  userTimeoutMs: [...noInteger, 2 ** 31],
  sendBufferBytes: [...noInteger, 0, 2 ** 30 + 1],
  receiveBufferBytes: [...noInteger, 0, 2 ** 30 + 1],
  busyPollUs: [...noInteger, 1_000_001],
  typeOfService: [...noInteger, 256],
  mark: [...noInteger, 2 ** 32 - 1],
  priority: [...noInteger, 16],
  ttl: [...noInteger, 0, 256],
  idleTimeoutMs: [...noInteger, 3_600_001],
};

const wrongOfListeners: Readonly<Record<string, readonly unknown[]>> = {
  reuseAddress: noBoolean,
  reusePort: noBoolean,
  ipv6Only: noBoolean,
  fastOpenBacklog: [...noInteger, 65_536],
  unlinkStale: noBoolean,
  mode: [...noInteger, 0o1000],
};

testEach("each option out of its range is INVALID_OPTION, wherever it is given", (backend) => {
  withOpen(backend, (loop, client) => {
    const listen = (options: object): unknown => loop.listen(anyPort, {}, options);
    const connect = (options: object): unknown => loop.connect("tcp://127.0.0.1:9", {}, options);
    const set = (options: object): unknown => client.setOptions(options);
    const check = (uses: ((options: object) => unknown)[], name: string, values: unknown): void => {
      for (const value of values as unknown[]) {
        for (const use of uses) refuses(() => use({ [name]: value }), name, value);
      }
    };
    for (const [name, values] of Object.entries(wrong)) check([listen, connect, set], name, values);
    for (const [name, values] of Object.entries(wrongOfListeners)) check([listen], name, values);
    check([connect], "fastOpen", noBoolean);
    for (const [name, most] of [["idleSeconds", 32_767], ["intervalSeconds", 32_767]] as const) {
      for (const value of [...noInteger, 0, most + 1]) {
        refuses(() => set({ keepAlive: { [name]: value } }), `keepAlive.${name}`, value);
      }
    }
    for (const value of [...noInteger, 0, 128]) {
      refuses(() => connect({ keepAlive: { count: value } }), "keepAlive.count", value);
    }
    for (const name of ["", "nodelay", "constructor", 5, null]) {
      assert.throws(() => client.getOption(name as SocketOptionName), { code: "INVALID_OPTION" });
    }
    for (const options of [null, 5, "fast"]) {
      const use = options as unknown as ConnectionSettings;
      assert.throws(() => client.setOptions(use), { code: "INVALID_ARGUMENT" });
    }
    assert.equal(loop.stats().openConnections, 2);
    assert.equal(loop.stats().openListeners, 0);
  });
});

testLoop("a closed connection has no options", (loop) => {
  const { client, server } = openPair(loop);
  client.close();
  awaitClosed(loop, client, server);
  assert.throws(() => client.setOptions({ cork: true }), { code: "STALE_HANDLE" });
  assert.throws(() => client.getOption("cork"), { code: "STALE_HANDLE" });
  assert.throws(() => client.peerCredentials, { code: "STALE_HANDLE" });
});

testLoop("options of a connection that still connects", (loop) => {
  const listener = loop.listen(anyPort, {});
  const conn = loop.connect(listener.address, {}, { fastOpen: true });
  assert.equal(conn.getOption("fastOpen"), true);
  conn.setOptions({ keepAlive: true, ttl: 9 });
  assert.equal(conn.getOption("ttl"), 9);
  turnUntil(loop, () => conn.state === "open", "a connection");
  assert.equal(conn.getOption("ttl"), 9);
  const { idleSeconds, intervalSeconds, count } = conn.getOption("keepAlive") || {};
  assert.ok(idleSeconds! > 0 && intervalSeconds! > 0 && count! > 0, "the kernel's own times");
  conn.abort();
  listener.close();
});

const noSs: Skip = existsSync("/usr/bin/ss") || existsSync("/bin/ss")
  ? false
  : "kernel: ss: iproute2 is not installed";

testEach("ss sees what was set", (backend) => {
  withOpen(backend, (loop, client) => {
    client.setOptions({
      keepAlive: { idleSeconds: 100 },
      sendBufferBytes: 30_000,
      receiveBufferBytes: 40_000,
      typeOfService: 0x48,
    });
    const listener = loop.listen(anyPort, {}, { backlog: 17 });
    const { port } = client.localAddress;
    const arguments_ = ["-tmoeiH", "--tos", "sport", "=", `:${port}`];
    const seen = execFileSync("ss", arguments_, { encoding: "utf8" });
    assert.match(seen, /timer:\(keepalive,/);
    assert.match(seen, /skmem:\(r\d+,rb80000,t\d+,tb60000,/);
    assert.match(seen, /tos:0x48/);
    const listening = execFileSync("ss", ["-ltnH", "sport", "=", `:${listener.address.port}`], {
      encoding: "utf8",
    });
    assert.match(listening, /^LISTEN\s+0\s+17\s/, "the backlog");
    listener.close();
  });
}, noSs);

/** Runs a command without CAP_NET_ADMIN and CAP_NET_RAW. */
const rights = "-net_admin,-net_raw";
const withoutRights = [
  "/usr/bin/setpriv",
  `--bounding-set=${rights}`,
  `--inh-caps=${rights}`,
];
const mayMark = mayAdminister || hasCapability(13);
const mayDrop: Skip = mayMark && !existsSync(withoutRights[0])
  ? "kernel: setpriv is not installed"
  : false;

testUnless(
  mayDrop,
  "an option that the kernel refuses is named, or left out with bestEffort",
  async () => {
    const program = command("tests/programs/marked.ts");
    const { stdout, stderr } = await runChild(
      mayMark ? [...withoutRights, ...program] : program,
    );
    const { refused, later, left } = JSON.parse(stdout || JSON.stringify({ stderr }));
    for (const error of [refused, later]) {
      assert.deepEqual([error.code, error.syscall], ["EPERM", "setsockopt"]);
      assert.match(error.message, /option mark/);
      assert.match(error.advice, /mark/);
    }
    assert.equal(left, 0);
  },
);

/** Calls `body` with a loop and an open connection of it. */
function withOpen(
  backend: Loop["backend"],
  body: (loop: Loop, client: Connection) => void,
): void {
  using loop = new Loop({ backend });
  body(loop, openPair(loop).client);
}
