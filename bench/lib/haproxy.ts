// HAProxy as a contestant: a configuration in a temporary folder, TCP mode, one thread, no log.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A HAProxy that can be started. */
export interface Haproxy {
  /** Tells the port as the harness expects it, and becomes HAProxy. */
  readonly command: readonly string[];
  /** Removes the configuration. */
  remove(): void;
}

export interface HaproxyOptions {
  readonly target: number;
  readonly connections: number;
  /** Bytes move from socket to socket within the kernel where it thinks fit. */
  readonly splice: boolean;
}

/** What HAProxy says of itself, or undefined when it is not installed. */
export function haproxyVersion(): string | undefined {
  const { status, stdout } = spawnSync("haproxy", ["-v"], { encoding: "utf8" });
  return status === 0 ? stdout.split(" ").slice(0, 3).join(" ") : undefined;
}

/** Writes a configuration for a free port. */
export async function makeHaproxy(options: HaproxyOptions): Promise<Haproxy> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-haproxy-"));
  const file = join(folder, "haproxy.cfg");
  writeFileSync(file, configuration(options, port));
  return {
    command: ["sh", "-c", becomeHaproxy(file, port)],
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Buffers have room for the largest message of the comparison and what follows it. */
function configuration({ target, connections, splice }: HaproxyOptions, port: number): string {
  return `global
  nbthread 1
  maxconn ${2 * connections + 100}
  tune.bufsize 32768
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
${splice ? "  option splice-auto\n" : ""}listen relay
  bind 127.0.0.1:${port} backlog 4096
  server target 127.0.0.1:${target}
`;
}

/** HAProxy does not tell when it listens: the kernel's table of sockets does. */
function becomeHaproxy(file: string, port: number): string {
  const listens = `:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 0A`;
  return `(for _ in $(seq 100); do
  if grep -q '${listens}' /proc/net/tcp; then echo "listening ${port}"; exit; fi
  sleep 0.05
done) &
exec haproxy -db -q -f '${file}'`;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
