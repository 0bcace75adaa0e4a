// What stays behind after a hundred thousand connections, and what ten thousand idle ones cost.
//
// Per backend: a storm of connections over TCP and over a Unix socket, each opened and ended in one
// of several ways; then three rounds of idle connections. Descriptors, slots and leases before and
// after must agree, and memory must not grow from round to round; otherwise it ends with 1.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type BackendName, type Connection, type Listener, Loop, probe } from "../mod.ts";

const usage = `npm run soak -- [OPTIONS]

  --backend NAME       only this one; default: each that the machine has
  --connections COUNT  of a storm, default 100000
  --idle COUNT         default 10000
  --seconds COUNT      the most that one part may take, default 120
`;

const { values } = parseArgs({
  options: {
    backend: { type: "string" },
    connections: { type: "string", default: "100000" },
    idle: { type: "string", default: "10000" },
    seconds: { type: "string", default: "120" },
    help: { type: "boolean", default: false },
  },
});

const limitMs = number("seconds") * 1_000;
/** Connections that are open at a time in a storm. */
const atOnce = 64;
/** More than one address, because each has some 28,000 ports for those who connect. */
const addresses = 8;
const rounds = 5;
/** Growth of memory between rounds that is no leak: the runtime's heap breathes. */
const toleratedBytes = 48 << 20;

/** The value of an option that is a count. */
function number(name: "seconds" | "connections" | "idle"): number {
  const count = Number(values[name]);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new Error(`--${name} must be a positive whole number`);
}

let failures = 0;

/** What must be the same before and after. */
interface Account {
  readonly descriptors: number;
  readonly connections: number;
  readonly listeners: number;
  readonly leases: number;
  readonly buffers: number;
}

function account(loop: Loop): Account {
  const { openConnections, openListeners, leases, buffersInUse } = loop.stats();
  return {
    descriptors: descriptors(),
    connections: openConnections,
    listeners: openListeners,
    leases,
    buffers: buffersInUse,
  };
}

function descriptors(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

function until(loop: Loop, what: string, done: () => boolean): void {
  const start = performance.now();
  while (!done()) {
    loop.turn(10_000);
    if (performance.now() - start > limitMs) throw new Error(`${what}: not within ${limitMs} ms`);
  }
}

function settle(loop: Loop): void {
  until(loop, "the end", () => {
    const { openConnections, openListeners } = loop.stats();
    return openConnections === 0 && openListeners === 0;
  });
  loop.turn();
  loop.turn();
}

/** Opens and ends `total` connections to `endpoints`. */
function storm(loop: Loop, endpoints: readonly string[], total: number): void {
  let accepted = 0;
  const listeners: Listener[] = endpoints.map((endpoint) =>
    loop.listen(endpoint, {
      open(conn): void {
        accepted += 1;
        if (accepted % 3 === 0) conn.close();
        else if (accepted % 7 === 0) conn.abort();
      },
      data: (conn, lease) => void conn.send(lease),
    })
  );
  let started = 0;
  let opened = 0;
  let closed = 0;
  const start = (): void => {
    started += 1;
    loop.connect(listeners[started % listeners.length].address, {
      open(conn): void {
        opened += 1;
        if (opened % 2 === 0) conn.send("a message");
        if (opened % 5 === 0) conn.abort();
        else conn.close();
      },
      close(): void {
        closed += 1;
        if (started < total) start();
      },
    });
  };
  for (let index = 0; index < Math.min(atOnce, total); index++) start();
  until(loop, "the storm", () => closed === total);
  for (const listener of listeners) listener.close();
  settle(loop);
  if (opened !== total) fail(`${total - opened} of ${total} connects failed`);
}

/** Opens `count` connections, leaves them alone, and closes them. */
function idle(loop: Loop, count: number): number {
  const conns: Connection[] = [];
  let accepted = 0;
  const listener = loop.listen("tcp://127.0.0.1:0", { open: () => void (accepted += 1) });
  while (conns.length < count) {
    const more = Math.min(100, count - conns.length);
    for (let index = 0; index < more; index++) conns.push(loop.connect(listener.address, {}));
    until(loop, "idle connections", () => accepted === conns.length);
  }
  until(loop, "idle connections", () => conns.every((conn) => conn.state === "open"));
  for (let turn = 0; turn < 20; turn++) loop.turn(1_000);
  const bytes = process.memoryUsage().rss;
  for (const conn of conns) conn.close();
  listener.close();
  settle(loop);
  return bytes;
}

function fail(what: string): void {
  failures += 1;
  console.log(`  FAILED: ${what}`);
}

function compare(before: Account, after: Account): void {
  for (const [name, count] of Object.entries(before)) {
    const left = after[name as keyof Account];
    if (left !== count) fail(`${name}: ${count} before, ${left} after`);
  }
}

function show(name: string, before: Account, after: Account, startMs: number): void {
  const seconds = (performance.now() - startMs) / 1_000;
  const parts = Object.entries(before).map(([part, count]) => {
    return `${part} ${count} → ${after[part as keyof Account]}`;
  });
  console.log(`  ${name}, ${seconds.toFixed(1)} s: ${parts.join(", ")}`);
  compare(before, after);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

function soak(backend: BackendName): void {
  console.log(backend);
  const total = number("connections");
  // Both ends are here, and select knows descriptors below 1,024 only.
  const most = backend === "select" ? 900 : probe().descriptorLimit - 200;
  const count = Math.min(number("idle"), Math.floor(most / 2));
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-soak-"));
  const loop = new Loop({ backend, maxConnections: 2 * count + 200 });
  try {
    const tcp = Array.from({ length: addresses }, (_, index) => `tcp://127.0.0.${index + 1}:0`);
    const unix = [`unix:${join(folder, "socket")}`];
    for (const [name, endpoints] of [["TCP", tcp], ["Unix", unix]] as const) {
      // What a runtime opens at its first use is open then.
      storm(loop, endpoints, atOnce);
      const before = account(loop);
      const startMs = performance.now();
      storm(loop, endpoints, total);
      show(`${total} connections over ${name}`, before, account(loop), startMs);
    }
    const before = account(loop);
    const startMs = performance.now();
    const resident = Array.from({ length: rounds }, () => idle(loop, count));
    show(`${rounds} × ${count} idle connections`, before, account(loop), startMs);
    console.log(`  resident memory with them: ${resident.map(mebibytes).join(", ")}`);
    // The first round still fills the heap.
    const growth = resident[rounds - 1] - resident[1];
    if (growth > toleratedBytes) fail(`memory grew by ${mebibytes(growth)}`);
  } finally {
    loop.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (values.help) {
  console.log(usage);
} else {
  const available = Object.entries(probe().backends).filter(([, { available }]) => available);
  const names = available.map(([name]) => name as BackendName);
  const chosen = values.backend === undefined ? names : [values.backend as BackendName];
  for (const backend of chosen) soak(backend);
  console.log(failures === 0 ? "nothing is left behind" : `${failures} failures`);
  process.exitCode = failures === 0 ? 0 : 1;
}
