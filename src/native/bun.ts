/**
 * Bun: `bun:ffi`, and a `Bun.connect` socket as wake source, because a `node:net` socket over a
 * descriptor delivers nothing there.
 *
 * @module
 */

import { createRequire } from "node:module";
import process from "node:process";
import { type Functions, type NativeType, signatures } from "./abi.ts";
import type { Adapter, WakeSource } from "./adapter.ts";

/** What is used of `bun:ffi`. */
interface BunFfi {
  dlopen(path: string, symbols: Record<string, BunSymbol>): { symbols: Record<string, unknown> };
  toArrayBuffer(pointer: number, byteOffset: number, byteLength: number): ArrayBuffer;
}

interface BunSymbol {
  args: string[];
  returns: string;
}

/** What is used of the global `Bun`. */
interface BunGlobal {
  connect(options: {
    fd: number;
    socket: { data(): void; error(): void; close(): void };
  }): Promise<BunSocket>;
}

interface BunSocket {
  ref(): void;
  unref(): void;
  terminate(): void;
}

const types: Readonly<Record<NativeType, string>> = {
  u32: "u32",
  i32: "i32",
  buffer: "buffer",
  pointer: "ptr",
};

/** The adapter for Bun. */
export const bun: Adapter = {
  runtime: "bun",
  callsAreCheap: true,

  isHost(): boolean {
    return bunGlobal() !== undefined;
  },

  environment(name: string): string | undefined {
    return process.env[name];
  },

  bind<Name extends keyof Functions>(path: string, names: readonly Name[]): Pick<Functions, Name> {
    const wanted: Record<string, BunSymbol> = {};
    for (const name of names) {
      const { parameters, result } = signatures[name];
      wanted[name] = { args: parameters.map((type) => types[type]), returns: types[result] };
    }
    return ffi().dlopen(path, wanted).symbols as Pick<Functions, Name>;
  },

  address(pointer: unknown): bigint {
    // A pointer is a number there.
    return BigInt(pointer as number);
  },

  view(pointer: unknown, byteLength: number): ArrayBuffer {
    return ffi().toArrayBuffer(pointer as number, 0, byteLength);
  },

  openWakeSource(descriptor: number, onWake: () => void): WakeSource {
    return new BunWakeSource(descriptor, onWake);
  },
};

/** `Bun.connect` answers later: until then what was asked for is remembered. */
class BunWakeSource implements WakeSource {
  #socket: BunSocket | null = null;
  #isRef = false;
  #isClosed = false;

  constructor(descriptor: number, onWake: () => void) {
    const ignore = (): void => {};
    const handlers = { data: onWake, error: ignore, close: ignore };
    void bunGlobal()!.connect({ fd: descriptor, socket: handlers }).then((socket) => {
      this.#socket = socket;
      if (this.#isClosed) socket.terminate();
      else if (!this.#isRef) socket.unref();
    });
  }

  ref(): void {
    this.#isRef = true;
    this.#socket?.ref();
  }

  unref(): void {
    this.#isRef = false;
    this.#socket?.unref();
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.terminate();
  }
}

function bunGlobal(): BunGlobal | undefined {
  return (globalThis as { Bun?: BunGlobal }).Bun;
}

function ffi(): BunFfi {
  // Not a static import: other runtimes have no such module.
  const load = createRequire(import.meta.url);
  return load("bun:ffi") as BunFfi;
}
