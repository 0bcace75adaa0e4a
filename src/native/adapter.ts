/**
 * What the library needs of a runtime. One adapter per runtime satisfies it; nothing else knows
 * which runtime it is in.
 *
 * Importing an adapter does nothing; loading happens in `bind`.
 *
 * @module
 */

import type { Functions } from "./abi.ts";

/** Tells the host's event loop that native code has work. */
export interface WakeSource {
  /** Lets the source keep the process alive. */
  ref(): void;
  /** Lets the process end although the source is open. */
  unref(): void;
  /** Closes the descriptor. */
  close(): void;
}

/** One runtime's way of doing what all of them can. */
export interface Adapter {
  /** Its name, for messages. */
  readonly runtime: "deno" | "bun" | "node";
  /** Whether a native call costs less than an entry of a queue and its turn. */
  readonly callsAreCheap: boolean;
  /** True in this runtime only. */
  isHost(): boolean;
  /** An environment variable; undefined too when reading it is not permitted. Never prompts. */
  environment(name: string): string | undefined;
  /**
   * Loads the library at `path` (as often as asked; the system keeps one) and binds functions.
   * Throws an `IoError` when that is not permitted or the runtime lacks something, else what the
   * runtime throws.
   */
  bind<Name extends keyof Functions>(path: string, names: readonly Name[]): Pick<Functions, Name>;
  /** The address in what this runtime's FFI calls a pointer. Throws for anything else. */
  address(pointer: unknown): bigint;
  /** A view over native memory. Costs half a microsecond: make one per region. */
  view(pointer: unknown, byteLength: number): ArrayBuffer;
  /**
   * Watches a stream descriptor and takes it over. `onWake` is called after bytes arrived, at least
   * once per burst of them. Starts unref'd.
   */
  openWakeSource(descriptor: number, onWake: () => void): WakeSource;
}
