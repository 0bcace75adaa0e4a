/**
 * Looking names up, beside the loop: by threads of the process, which ask hosts file and name
 * servers. Nothing is remembered between lookups.
 *
 * @module
 */

import { checkName, familyOption, writeName } from "./host_name.ts";
import { errorOfStatus, IoError, type IoErrorOptions } from "./io_error.ts";
import { describeHost } from "./ip_address.ts";
import type { LoopState } from "./loop_state.ts";
import {
  AddressFamily,
  Header,
  path_bytes_max,
  ResolveOptions as Layout,
  ResolveReport,
  ResolverFiles as FilesLayout,
  Status,
} from "./native/abi.ts";
import { loadLibrary } from "./native/library.ts";
import { checkOptions, integerOption, invalidOption, signalOption } from "./options.ts";
import { maxTimeoutMs } from "./stream_options.ts";

/** One address of a name. */
export interface ResolvedAddress {
  /** Which kind of address it is. */
  readonly family: "ipv4" | "ipv6";
  /** The address, as an endpoint's `host` has it. */
  readonly host: string;
}

/** Options of `loop.resolve`. */
export interface ResolveOptions {
  /** Addresses of one family only. By default of both. */
  family?: "ipv4" | "ipv6";
  /** How long to wait, in milliseconds: 1 to 3,600,000. Default 5,000. */
  timeoutMs?: number;
  /** Ends the lookup with `ABORTED`. */
  signal?: AbortSignal;
}

/**
 * Called once, in a turn: with the addresses in the order in which to try them, of which there is
 * at least one, or with the reason why there are none.
 */
export type ResolveHandler = (
  error: IoError | null,
  addresses: readonly ResolvedAddress[],
) => void;

/** A lookup that `loop.resolve` has started. */
export interface Lookup extends Disposable {
  /** What is looked up. */
  readonly name: string;
  /** True until its handler is called. */
  readonly pending: boolean;
  /** Its handler gets `ABORTED` at the end of this turn. Does nothing when it has ended. */
  cancel(): void;
  /** Lets the lookup keep the loop running, which is how it starts. */
  ref(): void;
  /** Lets the loop end although the lookup has not. */
  unref(): void;
  /** Same as `cancel()`. */
  [Symbol.dispose](): void;
}

/** Files that say how names are resolved; what is left out stays as it is. */
export interface ResolverFiles {
  /** Names and their addresses, in place of `/etc/hosts`. */
  hosts?: string;
  /**
   * Name servers and how to ask them, in place of `/etc/resolv.conf`. A server may have a port:
   * `nameserver [127.0.0.1]:5353`.
   */
  resolvConf?: string;
}

/** How long a lookup waits by default. */
export const defaultResolveTimeoutMs = 5_000;

const nothing: readonly ResolvedAddress[] = [];
const encoder = new TextEncoder();

/** Starts a lookup. */
export function startLookup(
  loop: LoopState,
  name: string,
  handler: ResolveHandler,
  options: ResolveOptions,
): LookupHandle {
  checkName(name);
  loop.checkOpen(`resolve ${name}`);
  if (typeof handler !== "function") {
    throw new IoError("INVALID_ARGUMENT", "the handler of a lookup must be a function");
  }
  const { timeoutMs = defaultResolveTimeoutMs } = checkOptions(options);
  const signal = signalOption(options.signal);
  const words = new Uint32Array(Layout.byte_length / 4);
  words[Layout.size] = Layout.byte_length;
  words[Layout.family] = familyOption(options.family);
  words[Layout.timeout_ms] = integerOption("timeoutMs", timeoutMs, 1, maxTimeoutMs);
  words[Layout.name_length] = writeName(words, Layout.name, name);
  const { functions, handle } = loop;
  const slot = functions.tp_resolve(handle, new Uint8Array(words.buffer), words.byteLength);
  if (slot < 0) throw lookupError(loop, slot, `resolve ${name}`);
  const lookup = new LookupHandle(loop, slot, loop.words[Header.result_generation], name, handler);
  loop.lookups.set(slot, lookup);
  loop.addRef();
  loop.wakeSoon();
  if (signal !== undefined) lookup.watch(signal);
  return lookup;
}

/** The same as a promise. */
export function promiseLookup(
  loop: LoopState,
  name: string,
  options: ResolveOptions,
): Promise<readonly ResolvedAddress[]> {
  return new Promise((resolve, reject) => {
    startLookup(loop, name, (error, addresses) => {
      if (error === null) resolve(addresses);
      else reject(error);
    }, options);
  });
}

/** The error of a lookup, or of a connection to a name, that cannot be started. */
export function lookupError(loop: LoopState, status: number, attempt: string): IoError {
  const details: IoErrorOptions = {};
  if (status === Status.exhausted) {
    details.advice = "Close what is no longer used, or wait: at a time a process looks 2,048 " +
      "names up, and a loop connects to 1,024.";
  }
  return errorOfStatus(status, attempt, loop.words[Header.error_syscall], details);
}

/**
 * Has this process resolve names by other files than the system's, for all its loops and threads,
 * from the next lookup on. Both are read anew for each.
 *
 * @param files Paths of at most 255 bytes.
 * @throws {IoError} `INVALID_OPTION`, `INVALID_ARGUMENT`, or why the library cannot be loaded, as
 *   for `new Loop`.
 *
 * @example Names of a test
 * ```ts no-run
 * import { mkdtempSync, writeFileSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { Loop, useResolverFiles } from "@twinpoll/twinpoll";
 *
 * const folder = mkdtempSync(`${tmpdir()}/names-`);
 * writeFileSync(`${folder}/hosts`, "127.0.0.1 database.test\n");
 * useResolverFiles({ hosts: `${folder}/hosts` });
 * const loop = new Loop();
 * loop.resolve("database.test", (error, addresses) => {
 *   console.log(error ?? addresses[0].host); // 127.0.0.1
 * });
 * await loop.run();
 * loop.close();
 * useResolverFiles({ hosts: "/etc/hosts" });
 * ```
 */
export function useResolverFiles(files: ResolverFiles): void {
  checkOptions(files);
  const words = new Uint32Array(FilesLayout.byte_length / 4);
  words[FilesLayout.size] = FilesLayout.byte_length;
  words[FilesLayout.hosts_length] = writePath(words, FilesLayout.hosts, "hosts", files.hosts);
  words[FilesLayout.config_length] = writePath(
    words,
    FilesLayout.config,
    "resolvConf",
    files.resolvConf,
  );
  const { functions } = loadLibrary();
  const status = functions.tp_resolver_files(new Uint8Array(words.buffer), words.byteLength);
  if (status < 0) throw errorOfStatus(status, "replace the resolver's files");
}

function writePath(words: Uint32Array, at: number, option: string, path: unknown): number {
  if (path === undefined) return 0;
  const bytes = encoder.encode(typeof path === "string" ? path : "");
  if (bytes.length === 0 || bytes.length >= path_bytes_max || bytes.includes(0)) {
    throw invalidOption(option, path, `a path of 1 to ${path_bytes_max - 1} bytes`);
  }
  new Uint8Array(words.buffer, at, path_bytes_max).set(bytes);
  return bytes.length;
}

/** The class behind every {@linkcode Lookup}. */
export class LookupHandle implements Lookup {
  readonly name: string;
  readonly generation: number;
  readonly #loop: LoopState;
  readonly #slot: number;
  readonly #handler: ResolveHandler;
  pending = true;
  #isRef = true;
  /** It has its end, which is told at the end of the turn. */
  #isOver = false;
  #unwatch: (() => void) | null = null;

  constructor(
    loop: LoopState,
    slot: number,
    generation: number,
    name: string,
    handler: ResolveHandler,
  ) {
    this.#loop = loop;
    this.#slot = slot;
    this.generation = generation;
    this.name = name;
    this.#handler = handler;
  }

  cancel(): void {
    this.#abort(undefined);
  }

  ref(): void {
    if (this.#isRef || !this.pending) return;
    this.#isRef = true;
    this.#loop.addRef();
  }

  unref(): void {
    if (!this.#isRef || !this.pending) return;
    this.#isRef = false;
    this.#loop.dropRef();
  }

  [Symbol.dispose](): void {
    this.cancel();
  }

  /** Ends it with the signal. */
  watch(signal: AbortSignal): void {
    const abort = (): void => this.#abort(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    this.#unwatch = (): void => signal.removeEventListener("abort", abort);
  }

  /** Native code says that it ended: with so many addresses, or a negative status. */
  resolved(result: number): void {
    const loop = this.#loop;
    loop.lookups.delete(this.#slot);
    if (result < 0) return this.ended(errorOfStatus(result, `resolve ${this.name}`), nothing);
    this.ended(null, readReport(loop, this.#slot, this.generation));
  }

  /** The last thing that happens to a lookup. */
  ended(error: IoError | null, addresses: readonly ResolvedAddress[]): void {
    if (!this.pending) return;
    this.unref();
    this.pending = false;
    this.#unwatch?.();
    this.#unwatch = null;
    this.#handler(error, addresses);
  }

  #abort(reason: unknown): void {
    const loop = this.#loop;
    if (!this.pending || this.#isOver || loop.isClosed) return;
    this.#isOver = true;
    loop.lookups.delete(this.#slot);
    loop.functions.tp_resolve_cancel(loop.handle, this.#slot, this.generation);
    loop.abortedLookups.add(this);
    const error = new IoError("ABORTED", `resolve ${this.name}: aborted by this side`, {
      cause: reason,
    });
    loop.deferrals.add(() => {
      loop.abortedLookups.delete(this);
      this.ended(error, nothing);
    });
    loop.wakeSoon();
  }
}

function readReport(
  loop: LoopState,
  slot: number,
  generation: number,
): readonly ResolvedAddress[] {
  const words = new Uint32Array(ResolveReport.byte_length / 4);
  words[ResolveReport.size] = ResolveReport.byte_length;
  words[ResolveReport.slot] = slot;
  words[ResolveReport.generation] = generation;
  const bytes = new Uint8Array(words.buffer);
  const status = loop.functions.tp_resolve_report(loop.handle, bytes, bytes.length);
  if (status < 0) throw errorOfStatus(status, "read the addresses of a name");
  const addresses: ResolvedAddress[] = [];
  for (let index = 0; index < words[ResolveReport.count]; index++) {
    const family = words[ResolveReport.families + index] === AddressFamily.ipv6 ? 6 : 4;
    const start = ResolveReport.bytes + 16 * index;
    const address = bytes.subarray(start, start + (family === 6 ? 16 : 4));
    const scope = words[ResolveReport.scopes + index];
    addresses.push(describeHost({ family, bytes: address, scope }));
  }
  return addresses;
}
