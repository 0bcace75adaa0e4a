/**
 * From a loop to its pool, for what is not a method of either.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import type { PoolHandle } from "./pool.ts";

const pools = new WeakMap<object, PoolHandle>();

/** Notes the pool of a loop. */
export function setPoolOf(loop: object, pool: PoolHandle): void {
  pools.set(loop, pool);
}

/** The pool of a loop; throws for anything else than a loop. */
export function poolOf(loop: object): PoolHandle {
  const pool = typeof loop === "object" && loop !== null ? pools.get(loop) : undefined;
  if (pool === undefined) throw new IoError("INVALID_ARGUMENT", "the first argument is no loop");
  return pool;
}
