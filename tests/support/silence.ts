// A peer that does not answer.

import { type Connection, Loop } from "../../mod.ts";
import { turnUntil } from "./drive.ts";
import { anyPort } from "./streams.ts";

/** A listener that never accepts, with its backlog full: further connects get no answer. */
export class Silence implements Disposable {
  readonly endpoint: string;
  readonly #loop: Loop;
  readonly #fill: Connection[];

  /** `loop` fills the backlog. */
  constructor(loop: Loop) {
    this.#loop = new Loop({ backend: loop.backend });
    this.endpoint = this.#loop.listen(anyPort, {}, { backlog: 1 }).endpoint;
    this.#fill = [0, 1].map(() => loop.connect(this.endpoint, {}));
    turnUntil(loop, () => this.#fill.every((conn) => conn.state === "open"), "a full backlog");
  }

  [Symbol.dispose](): void {
    this.#loop.close();
    for (const conn of this.#fill) conn.abort();
  }
}
