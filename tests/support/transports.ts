// The transports that tests of streams run over, and what some of them cannot do.
//
// A further transport is one more entry of `transports`, not one more test.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Loop, LoopOptions } from "../../mod.ts";
import { isPlain, noIpv6, type RowOptions, testLoop } from "./backends.ts";
import type { Skip } from "./record.ts";
import { anyPort, anyPort6 } from "./streams.ts";

/** A Unix endpoint by path, in a folder of its own, which goes with it. */
export interface UnixPath extends Disposable {
  readonly folder: string;
  readonly path: string;
  /** `path` as an endpoint, and another one beside it. */
  readonly endpoint: string;
  readonly other: string;
}

/** Makes one. */
export function unixPath(): UnixPath {
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-"));
  const path = join(folder, "socket");
  return {
    folder,
    path,
    endpoint: `unix:${path}`,
    other: `unix:${join(folder, "other")}`,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A transport, and where a test may listen. */
export interface Place {
  /** Over TCP each use of it is somewhere else, else only once its listener has closed. */
  readonly endpoint: string;
  /** Whether an abort is always `ECONNRESET` for the peer, and not only if it was not read. */
  readonly hasResets: boolean;
  /** Whether it is the transport over which most tests run: others need not repeat so much. */
  readonly isFirst: boolean;
}

interface Transport {
  readonly name: string;
  readonly hasResets: boolean;
  readonly skip: Skip;
  /** An endpoint that no other test uses, and how to clean up behind it. */
  make(): { readonly endpoint: string } & Disposable;
}

let names = 0;

function at(endpoint: () => string): Transport["make"] {
  return () => ({ endpoint: endpoint(), [Symbol.dispose]: (): void => {} });
}

const transports: readonly Transport[] = [
  { name: "TCP", hasResets: true, skip: false, make: at(() => anyPort) },
  { name: "IPv6", hasResets: true, skip: noIpv6, make: at(() => anyPort6) },
  { name: "Unix path", hasResets: false, skip: false, make: unixPath },
  {
    name: "Unix name",
    hasResets: false,
    skip: process.platform === "linux" ? false : "kernel: only Linux has such names",
    make: at(() => `unix:@twinpoll-test-${process.pid}-${names += 1}`),
  },
];

/**
 * Makes a test per transport and backend: over TCP one per row, over the others one per backend
 * as it comes.
 */
export function testTransports(
  name: string,
  body: (loop: Loop, place: Place) => void | Promise<void>,
  options: LoopOptions = {},
  asked: RowOptions = {},
): void {
  for (const transport of transports) {
    const { hasResets, make } = transport;
    const isFirst = transport === transports[0];
    testLoop(
      isFirst ? name : `${name}, over ${transport.name}`,
      async (loop) => {
        using made = make();
        await body(loop, { endpoint: made.endpoint, hasResets, isFirst });
      },
      options,
      isFirst ? asked : { ...asked, isAsked: isPlain, skip: asked.skip || transport.skip },
    );
  }
}
