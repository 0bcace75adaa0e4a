/**
 * Finds and loads the native library, once per thread, and refuses one of another layout.
 *
 * `TWINPOLL_LIBRARY` names it; without it the package's own build is used. The library is never
 * unloaded. Importing this file loads nothing.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { IoError } from "../io_error.ts";
import { abi_version, type Functions, layout_hash, signatures } from "./abi.ts";
import type { Adapter } from "./adapter.ts";
import { bun } from "./bun.ts";
import { deno } from "./deno.ts";
import { node } from "./node.ts";

/** The loaded library and the runtime that loaded it. */
export interface Library {
  /** Where it was found. */
  readonly path: string;
  /** The runtime's side. */
  readonly adapter: Adapter;
  /** Every exported function. */
  readonly functions: Functions;
}

const pathVariable = "TWINPOLL_LIBRARY";
/** As Linux and the BSDs name it, and as macOS does. */
const pathsInPackage = ["zig-out/lib/libtwinpoll.so", "zig-out/lib/libtwinpoll.dylib"];

let loaded: Library | null = null;

/**
 * The library of this thread, loaded at the first call.
 *
 * Throws `UNSUPPORTED_RUNTIME`, `PERMISSION_DENIED`, `LIBRARY_NOT_FOUND` or `ABI_MISMATCH`.
 */
export function loadLibrary(): Library {
  loaded ??= load();
  return loaded;
}

function load(): Library {
  const adapter = [deno, bun, node].find((candidate) => candidate.isHost());
  if (adapter === undefined) {
    throw new IoError("UNSUPPORTED_RUNTIME", "this runtime is none of Deno, Bun and Node", {
      advice: "Run the program on Deno, Bun or Node.",
    });
  }
  const path = findPath(adapter);
  const names = Object.keys(signatures) as (keyof Functions)[];
  return { path, adapter, functions: adapter.bind(path, names) };
}

/** The first candidate that loads and is of our layout. */
function findPath(adapter: Adapter): string {
  const explicit = adapter.environment(pathVariable);
  const candidates = explicit === undefined || explicit === "" ? packagePaths() : [explicit];
  const attempts: string[] = [];
  let cause: unknown;
  for (const path of candidates) {
    try {
      const { tp_abi_version, tp_layout_hash } = adapter.bind(path, [
        "tp_abi_version",
        "tp_layout_hash",
      ]);
      checkLayout(path, tp_abi_version() >>> 0, tp_layout_hash() >>> 0);
      return path;
    } catch (error) {
      if (error instanceof IoError) throw error;
      cause = error;
      attempts.push(error instanceof Error ? `${path} (${error.message})` : path);
    }
  }
  const tried = attempts.length === 0 ? "no candidate" : attempts.join("; ");
  throw new IoError("LIBRARY_NOT_FOUND", `the native library could not be loaded: ${tried}`, {
    advice: `Build it with \`zig build\`, or set ${pathVariable} to its path.`,
    cause,
  });
}

function checkLayout(path: string, version: number, hash: number): void {
  if (version === abi_version && hash === layout_hash) return;
  const found = `ABI ${version}, layout ${hash.toString(16)}`;
  const wanted = `ABI ${abi_version}, layout ${layout_hash.toString(16)}`;
  throw new IoError("ABI_MISMATCH", `${path} has ${found}; these bindings need ${wanted}`);
}

/**
 * Where the library lies: below the package that this file is in, as a source or bundled somewhere
 * in `dist`; or beside any other bundle. Nowhere further up, where others may write.
 */
function packagePaths(): string[] {
  const { url } = import.meta;
  if (!url.startsWith("file:")) return [];
  const inPackage = /^(.*\/)(?:src\/native\/library\.[jt]s|dist\/(?:.*\/)?[^/]*)$/.exec(url);
  const root = inPackage === null ? new URL("./", url) : inPackage[1];
  return pathsInPackage.map((path) => fileURLToPath(new URL(path, root)));
}
