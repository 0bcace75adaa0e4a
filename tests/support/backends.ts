// One test per backend, on a loop that must be left as it was found.
//
// A backend that this machine lacks is skipped with the probe's reason, and only then.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import {
  type BackendName,
  type IoUringFeature,
  type IoUringOptions,
  Loop,
  type LoopOptions,
  type LoopStats,
  probe,
} from "../../mod.ts";
import { explainReason } from "../../src/loop_options.ts";
import { Reason } from "../../src/native/abi.ts";
import { turnUntil } from "./drive.ts";
import { type Skip, testUnless } from "./record.ts";

/** Every backend there is. */
export const backends: readonly BackendName[] = ["io_uring", "epoll", "kqueue", "select"];

/** A way to open a loop over which the whole suite runs. */
export interface Row {
  readonly name: string;
  readonly options: LoopOptions & { readonly backend: BackendName };
  /** What the kernel must grant. */
  readonly feature?: IoUringFeature;
  /** What is documented not to be had with it; tests that need that are not made. */
  readonly lacks?: readonly Need[];
}

/** Receive credits; leases that can be transferred while more arrives; datagram sockets. */
export type Need = "credits" | "transfer" | "datagrams";

/** Every backend with each of its triggers. Another one is another row, not another test. */
export const rows: readonly Row[] = [
  { name: "io_uring", options: { backend: "io_uring" } },
  ring("sqpoll", "sqpoll", { sqpoll: { idleMs: 5 } }),
  ring("zero-copy", "zeroCopy", { zeroCopyBytes: 1 }),
  ring("bundles", "bundles", { bundles: true, minWaitUs: 20, minWaitCount: 2 }),
  {
    ...ring("shared buffers", "incrementalBuffers", { incrementalBuffers: true }),
    lacks: ["credits", "transfer", "datagrams"],
  },
  { name: "epoll", options: { backend: "epoll" } },
  { name: "epoll, level", options: { backend: "epoll", trigger: "level" } },
  { name: "kqueue", options: { backend: "kqueue" } },
  { name: "kqueue, level", options: { backend: "kqueue", trigger: "level" } },
  { name: "select", options: { backend: "select" } },
];

function ring(name: string, feature: IoUringFeature, ioUring: IoUringOptions): Row {
  return { name: `io_uring, ${name}`, options: { backend: "io_uring", ioUring }, feature };
}

/** The best backend of this machine, for what is tested once. */
export const bestBackend: BackendName = probe().backends.io_uring.available ? "io_uring" : "epoll";

/** Why tests over IPv6 are skipped, or false. */
export const noIpv6: Skip =
  Object.values(networkInterfaces()).flat().some((address) => address?.address === "::1")
    ? false
    : "kernel: IPv6: no interface has the address ::1";

/** Why tests of a backend are skipped, or false. */
export function unavailable(backend: BackendName): Skip {
  const { available, reason } = probe().backends[backend];
  if (available) return false;
  // A limit that is reached, a library that was not built, or something unknown, is no lack of the
  // kernel.
  const others = [Reason.out_of_resources, Reason.no_library, Reason.other]
    .map((code) => explainReason(code)[0]);
  return `${others.includes(reason!) ? "" : "kernel: "}${backend}: ${reason}`;
}

/** Why tests of a feature of io_uring are skipped, or false. */
export function withoutFeature(feature: IoUringFeature): Skip {
  const isThere = probe().backends.io_uring.features.includes(feature);
  return unavailable("io_uring") ||
    (isThere ? false : `kernel: io_uring: it does not grant ${feature}`);
}

/** Makes a test per backend. */
export function testEach(
  name: string,
  body: (backend: BackendName) => void | Promise<void>,
  skip: Skip = false,
): void {
  for (const backend of backends) {
    testUnless(unavailable(backend) || skip, `${name} (${backend})`, () => body(backend));
  }
}

/** Which rows a test is made for, and what it needs. */
export interface RowOptions {
  readonly skip?: Skip;
  readonly needs?: Need;
  /** Whether to make it for the row. */
  readonly isAsked?: (row: Row) => boolean;
}

/** Whether a row is a backend as it comes, without options. */
export function isPlain({ options }: Row): boolean {
  return Object.keys(options).length === 1;
}

/**
 * Makes a test per row with a loop of its own. At the end everything on the loop must be closed
 * by the test and every buffer back in the pool.
 */
export function testLoop(
  name: string,
  body: (loop: Loop) => void | Promise<void>,
  options: LoopOptions = {},
  { skip = false, needs, isAsked = (): boolean => true }: RowOptions = {},
): void {
  for (const row of rows) {
    if (!isAsked(row)) continue;
    if (needs !== undefined && row.lacks?.includes(needs)) continue;
    const { options: { backend }, feature } = row;
    const missing = feature === undefined ? unavailable(backend) : withoutFeature(feature);
    const reason = missing || skip;
    testUnless(reason, `${name} (${row.name})`, () => {
      return withLoop({ ...options, ...row.options }, body);
    });
  }
}

/** Runs `body` on a new loop and checks what it leaves; the loop is closed in any case. */
export async function withLoop(
  options: LoopOptions,
  body: (loop: Loop) => void | Promise<void>,
): Promise<void> {
  const loop = new Loop(options);
  try {
    await body(loop);
    if (!loop.closed) settle(loop);
  } finally {
    loop.close();
  }
}

/** Waits until nothing is open any more, and checks that no buffer was lost. */
export function settle(loop: Loop): LoopStats {
  turnUntil(loop, () => {
    const { openConnections, openListeners, openWatches, openSockets } = loop.stats();
    return openConnections + openListeners + openWatches + openSockets === 0;
  }, "everything closed");
  // What was sent without a copy is in use until the kernel says that it is done.
  if (loop.capabilities.features.includes("zeroCopy")) {
    turnUntil(loop, () => loop.stats().buffersInUse === 0, "every buffer released");
  }
  // The buffers of the last deliveries go back with the start of a turn.
  loop.turn();
  const stats = loop.stats();
  assert.equal(stats.buffersInUse, 0, "every buffer is back");
  assert.equal(stats.leases, 0, "nothing is leased any more");
  return stats;
}
