/**
 * From a loop to its state, for what is not a method of `Loop` itself.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import type { LoopState } from "./loop_state.ts";

const states = new WeakMap<object, LoopState>();

/** Notes the state of a loop. */
export function setStateOf(loop: object, state: LoopState): void {
  states.set(loop, state);
}

/** The state of a loop; throws for anything else than a loop. */
export function stateOf(loop: object): LoopState {
  const state = typeof loop === "object" && loop !== null ? states.get(loop) : undefined;
  if (state === undefined) throw new IoError("INVALID_ARGUMENT", "the first argument is no loop");
  return state;
}
