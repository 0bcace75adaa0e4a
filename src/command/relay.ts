/**
 * `twinpoll relay LISTEN TARGET`: joins each connection that comes with one of its own to the
 * target.
 *
 * The first SIGINT or SIGTERM ends listening; what is relayed then may go on for the drain time,
 * and is reset afterwards. The second one ends the process at once.
 *
 * @module
 */

import process from "node:process";
import type { Listener } from "../listener.ts";
import { Loop } from "../loop.ts";
import type { LoopOptions } from "../loop_options.ts";
import type { Relay } from "../relay.ts";
import { Interrupt } from "./interrupt.ts";
import { Totals } from "./totals.ts";

/** What the command line says. */
export interface RelayCommandOptions {
  readonly endpoint: string;
  readonly target: string;
  /** Both sides are reset when nothing moves for so long; 0 for no limit. */
  readonly idleTimeoutMs: number;
  /** The same once one direction has ended; 0 for `idleTimeoutMs`. */
  readonly halfOpenTimeoutMs: number;
  /** How long what is relayed may go on after a signal. */
  readonly drainTimeoutMs: number;
  readonly loop: LoopOptions;
  readonly json: boolean;
}

/** Relays until SIGINT or SIGTERM, then says what it has done. */
export async function relay(options: RelayCommandOptions): Promise<void> {
  const { json } = options;
  using interrupt = new Interrupt();
  using loop = new Loop(options.loop);
  const relays = new Relays(loop, options);
  const listener = loop.listen(options.endpoint, {
    open: (client) => relays.open(client),
    error: (_listener, error) => console.error(`twinpoll: ${error.message}. ${error.advice}`),
  });
  const { endpoint } = listener;
  const { backend } = loop;
  console.log(
    json
      ? JSON.stringify({ event: "listening", endpoint, target: options.target, backend })
      : `relaying from ${endpoint} to ${options.target} (${backend})`,
  );
  using _totals = new Totals({
    read: () => relays.counts(),
    json,
    print(line): void {
      // Standard error of a script is for what went wrong.
      if (json || process.stderr.isTTY || interrupt.signal.aborted) console.error(line);
    },
  });
  interrupt.signal.addEventListener("abort", () => {
    drain(loop, listener, relays, options.drainTimeoutMs);
  });
  // Ends with the listener and the last relay.
  await loop.run();
}

function drain(loop: Loop, listener: Listener, relays: Relays, timeoutMs: number): void {
  listener.close({ drain: true });
  loop.startTimer(() => relays.abort(), { delayUs: timeoutMs * 1_000 }).unref();
}

/** The relays of the command. */
class Relays {
  readonly #loop: Loop;
  readonly #options: RelayCommandOptions;
  readonly #open = new Set<Relay>();
  #accepted = 0;
  #failed = 0;
  /** Of those that have ended. */
  #toTargetBytes = 0;
  #toClientBytes = 0;

  constructor(loop: Loop, options: RelayCommandOptions) {
    this.#loop = loop;
    this.#options = options;
  }

  open(client: Relay["first"]): void {
    const { target, idleTimeoutMs, halfOpenTimeoutMs } = this.#options;
    this.#accepted += 1;
    const made = this.#loop.relay(client, this.#loop.connect(target, {}), {
      idleTimeoutMs,
      halfOpenTimeoutMs,
      end: (ended, error, totals) => {
        this.#open.delete(ended);
        if (error !== null) this.#failed += 1;
        this.#toTargetBytes += totals.firstToSecond;
        this.#toClientBytes += totals.secondToFirst;
      },
    });
    this.#open.add(made);
  }

  abort(): void {
    for (const relay of this.#open) relay.abort();
  }

  counts(): Record<string, number> {
    let toTargetBytes = this.#toTargetBytes;
    let toClientBytes = this.#toClientBytes;
    for (const { totals } of this.#open) {
      toTargetBytes += totals.firstToSecond;
      toClientBytes += totals.secondToFirst;
    }
    return {
      open: this.#open.size,
      accepted: this.#accepted,
      failed: this.#failed,
      toTargetBytes,
      toClientBytes,
    };
  }
}
