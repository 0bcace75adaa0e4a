/**
 * Node: the `koffi` package, and a `node:net` socket as wake source.
 *
 * @module
 */

import { createRequire } from "node:module";
import process from "node:process";
import { IoError } from "../io_error.ts";
import { type Functions, type NativeType, signatures } from "./abi.ts";
import type { Adapter, WakeSource } from "./adapter.ts";
import { watchSocket } from "./watched_socket.ts";

/** What is used of koffi. */
interface Koffi {
  load(path: string): {
    func(name: string, result: string, parameters: readonly string[]): unknown;
  };
  view(pointer: unknown, byteLength: number): ArrayBuffer;
  address(pointer: unknown): bigint;
}

const types: Readonly<Record<NativeType, string>> = {
  u32: "uint32_t",
  i32: "int32_t",
  buffer: "uint8_t *",
  pointer: "void *",
};

let loaded: Koffi | null = null;

/** The adapter for Node. */
export const node: Adapter = {
  runtime: "node",
  callsAreCheap: false,

  isHost(): boolean {
    const global = globalThis as { Deno?: unknown; Bun?: unknown };
    return global.Deno === undefined && global.Bun === undefined &&
      typeof globalThis.process?.versions?.node === "string";
  },

  environment(name: string): string | undefined {
    return process.env[name];
  },

  bind<Name extends keyof Functions>(path: string, names: readonly Name[]): Pick<Functions, Name> {
    const library = koffi().load(path);
    const bound: Record<string, unknown> = {};
    for (const name of names) {
      const { parameters, result } = signatures[name];
      bound[name] = library.func(name, types[result], parameters.map((type) => types[type]));
    }
    return bound as Pick<Functions, Name>;
  },

  address(pointer: unknown): bigint {
    return koffi().address(pointer);
  },

  view(pointer: unknown, byteLength: number): ArrayBuffer {
    return koffi().view(pointer, byteLength);
  },

  openWakeSource(descriptor: number, onWake: () => void): WakeSource {
    return watchSocket(descriptor, onWake);
  },
};

/** Loaded at first use: importing this file must not need the package. */
function koffi(): Koffi {
  if (loaded !== null) return loaded;
  const load = createRequire(import.meta.url);
  try {
    loaded = load("koffi") as Koffi;
  } catch (error) {
    throw new IoError("UNSUPPORTED_RUNTIME", "Node needs the package koffi to load the library", {
      advice: "Install it: npm install koffi.",
      cause: error,
    });
  }
  return loaded;
}
