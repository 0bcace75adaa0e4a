/**
 * Deferrals: callbacks at the end of the turn.
 *
 * Bounded work: one that is added while deferrals run waits for the next turn, so one that adds
 * itself again cannot starve the loop.
 *
 * @module
 */

/** The deferrals of one loop. */
export class Deferrals {
  #waiting: (() => void)[] = [];
  #running: (() => void)[] = [];

  /** How many wait for the end of a turn. */
  get count(): number {
    return this.#waiting.length;
  }

  /** Runs `callback` at the end of this turn, or of the next if deferrals run now. */
  add(callback: () => void): void {
    this.#waiting.push(callback);
  }

  /** Forgets all that wait. */
  clear(): void {
    this.#waiting.length = 0;
    this.#running.length = 0;
  }

  /** Runs what waits now; an error goes to `onError` and the rest runs all the same. */
  run(onError: (error: unknown) => void): void {
    const running = this.#waiting;
    this.#waiting = this.#running;
    this.#running = running;
    // The length is read each time: closing the loop inside a deferral clears the array.
    for (let index = 0; index < running.length; index++) {
      try {
        running[index]();
      } catch (error) {
        onError(error);
      }
    }
    running.length = 0;
  }
}
