// Opening a loop in a server that is measured: a backend that cannot run here is no failure.

import { IoError, Loop, type LoopOptions } from "../../mod.ts";
import { announceUnavailable } from "./protocol.ts";

/** A loop on the backend that `--backend` names; undefined, and told, where it cannot run. */
export function openLoop(backend: string, options: LoopOptions = {}): Loop | undefined {
  try {
    return new Loop({ ...options, backend: backend as LoopOptions["backend"] });
  } catch (error) {
    if (!(error instanceof IoError) || error.code !== "BACKEND_UNAVAILABLE") throw error;
    announceUnavailable(error.message);
    return undefined;
  }
}
