// Programs that others wrote, as peers of ours: whether they are here, and where they find a place
// to listen.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Skip } from "./record.ts";

const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
const attemptsMax = 200;
const attemptDelayMs = 25;

/** Where a program is, or undefined. */
export function tool(name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Why a test that needs these programs is skipped, or false. */
export function without(...names: readonly string[]): Skip {
  const missing = names.filter((name) => tool(name) === undefined);
  return missing.length === 0 ? false : `not installed: ${missing.join(", ")}`;
}

/** The command of an installed program. */
export function toolCommand(name: string, ...args: readonly string[]): string[] {
  return [tool(name) ?? name, ...args];
}

/** A port of 127.0.0.1 on which nobody listens now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Waits until somebody listens on a port of 127.0.0.1, or at a Unix path. */
export async function listening(where: number | string): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    if (await answers(where)) return;
    await sleep(attemptDelayMs);
  }
  throw new Error(`nobody listens on ${where}`);
}

function answers(where: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = typeof where === "number" ? net.connect(where, "127.0.0.1") : net.connect(where);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Calls `body` with a folder of its own. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
