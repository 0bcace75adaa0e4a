/**
 * The loop behind streams and servers that name none: one per thread, opened at first use with the
 * default options and attached to the host's event loop. It stays open, and keeps the process alive
 * only while something ref'd is open on it.
 *
 * @module
 */

import { Loop } from "./loop.ts";
import { invalidOption } from "./options.ts";

let shared: Loop | null = null;

/** The loop that an option names, or the thread's shared one. */
export function loopOf(option: Loop | undefined): Loop {
  if (option instanceof Loop) return option;
  if (option !== undefined) throw invalidOption("loop", option, "a Loop");
  if (shared === null || shared.closed) {
    const loop = new Loop();
    try {
      loop.attach();
    } catch (error) {
      loop.close();
      throw error;
    }
    shared = loop;
  }
  return shared;
}
