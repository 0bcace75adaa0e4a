/**
 * Descriptors as numbers: those that a process is started with, and those that the library gives
 * out.
 *
 * @module
 */

import process from "node:process";
import { errorOfStatus, IoError } from "./io_error.ts";
import { loadLibrary } from "./native/library.ts";

/** A descriptor that the process was started with. */
export interface InheritedDescriptor {
  /** Its number, from 3 on. */
  readonly descriptor: number;
  /** What whoever started the process calls it; `"unknown"` where it has no name. */
  readonly name: string;
}

const firstInherited = 3;
const mostInherited = 65_536;

/**
 * The listening descriptors that the process was started with, as systemd does it: it reads
 * `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, takes them out of the environment, and keeps the
 * descriptors from programs that are started later. So a second call finds none. Deno needs
 * `--allow-env` for these names; without it there are none.
 *
 * @throws {IoError} `INVALID_ARGUMENT` when `LISTEN_FDS` is no number, `EBADF` when a descriptor is
 *   not open; why the library cannot be loaded, as for `new Loop`.
 *
 * @example Listen on what systemd has opened, or else by oneself
 * ```ts
 * import { listenDescriptors, Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * const [inherited] = listenDescriptors();
 * const endpoint = inherited ?? "tcp://127.0.0.1:0";
 * const listener = loop.listen(endpoint, {});
 * console.log(listener.endpoint);
 * loop.close();
 * ```
 */
export function listenDescriptors(): InheritedDescriptor[] {
  const { adapter, functions } = loadLibrary();
  const listed = adapter.environment("LISTEN_FDS");
  const owner = adapter.environment("LISTEN_PID");
  const names = (adapter.environment("LISTEN_FDNAMES") ?? "").split(":");
  if (listed === undefined || owner !== String(process.pid)) return [];
  const count = /^[0-9]{1,5}$/.test(listed) ? Number(listed) : mostInherited;
  if (count >= mostInherited) {
    throw new IoError("INVALID_ARGUMENT", `LISTEN_FDS is ${JSON.stringify(listed)}`, {
      advice: "Set it to the number of descriptors that the process is started with.",
    });
  }
  const found: InheritedDescriptor[] = [];
  for (let index = 0; index < count; index++) {
    const descriptor = firstInherited + index;
    const status = functions.tp_descriptor_inherit(descriptor);
    if (status < 0) throw errorOfStatus(status, `inherit descriptor ${descriptor}`);
    found.push({ descriptor, name: names[index] || "unknown" });
  }
  for (const name of ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]) {
    if (adapter.environment(name) !== undefined) delete process.env[name];
  }
  return found;
}

/**
 * Closes a descriptor that the library has given out: by `conn.detach`, `listener.share`,
 * `listenDescriptors`, or one that came over a Unix socket. Runtimes have no way to do so that all
 * of them share.
 *
 * @throws {IoError} `EBADF` for any other, and for one that is closed or adopted already.
 */
export function closeDescriptor(descriptor: number): void {
  const attempt = `close descriptor ${String(descriptor)}`;
  checkDescriptor(descriptor, attempt);
  const status = loadLibrary().functions.tp_descriptor_close(descriptor);
  if (status >= 0) return;
  throw errorOfStatus(status, attempt, 0, {
    advice: "Close what the library has given out, and once.",
  });
}

/** Throws `EBADF` for what cannot be the number of a descriptor. */
export function checkDescriptor(
  descriptor: unknown,
  attempt: string,
): asserts descriptor is number {
  if (
    typeof descriptor === "number" && Number.isInteger(descriptor) && descriptor >= 0 &&
    descriptor <= 0x7fff_ffff
  ) return;
  throw new IoError("EBADF", `${attempt}: no such descriptor (EBADF)`, {
    advice: "Pass the number of a descriptor that is open in this process.",
  });
}
