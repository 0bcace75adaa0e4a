/**
 * Deno: `Deno.dlopen`, and a `node:net` socket as wake source. Needs only `--allow-ffi`.
 *
 * @module
 */

import { IoError } from "../io_error.ts";
import { type Functions, signatures } from "./abi.ts";
import type { Adapter, WakeSource } from "./adapter.ts";
import { watchSocket } from "./watched_socket.ts";

/** The adapter for Deno. */
export const deno: Adapter = {
  runtime: "deno",
  callsAreCheap: true,

  isHost(): boolean {
    return typeof globalThis.Deno?.dlopen === "function";
  },

  environment(name: string): string | undefined {
    // Reading without permission would ask the user.
    const { state } = Deno.permissions.querySync({ name: "env", variable: name });
    return state === "granted" ? Deno.env.get(name) : undefined;
  },

  bind<Name extends keyof Functions>(path: string, names: readonly Name[]): Pick<Functions, Name> {
    const wanted: Record<string, Deno.ForeignFunction> = {};
    for (const name of names) wanted[name] = signatures[name];
    try {
      return Deno.dlopen(path, wanted).symbols as unknown as Pick<Functions, Name>;
    } catch (error) {
      throw explain(error, `loading ${path}`);
    }
  },

  address(pointer: unknown): bigint {
    return Deno.UnsafePointer.value(pointer as Deno.PointerValue);
  },

  view(pointer: unknown, byteLength: number): ArrayBuffer {
    try {
      return Deno.UnsafePointerView.getArrayBuffer(pointer as Deno.PointerObject, byteLength);
    } catch (error) {
      throw explain(error, "reading native memory");
    }
  },

  openWakeSource(descriptor: number, onWake: () => void): WakeSource {
    return watchSocket(descriptor, onWake);
  },
};

/** What Deno threw, as ours when a permission is missing. */
function explain(error: unknown, attempt: string): unknown {
  if (!(error instanceof Deno.errors.NotCapable)) return error;
  return new IoError("PERMISSION_DENIED", `${attempt} is not permitted`, {
    // A list of paths is not enough: memory has no path.
    advice: "Run Deno with --allow-ffi, without a list of paths.",
    cause: error,
  });
}
