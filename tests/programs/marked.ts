// Sets an option that needs a right which this process does not have, and tells what came of it.

import { IoError, Loop } from "../../mod.ts";

const endpoint = "tcp://127.0.0.1:0";

/** The error of `use`. */
function errorOf(use: () => unknown): object {
  try {
    use();
  } catch (error) {
    if (!(error instanceof IoError)) throw error;
    const { code, syscall, message, advice } = error;
    return { code, syscall, message, advice };
  }
  return { code: "none" };
}

using loop = new Loop();
const refused = errorOf(() => loop.listen(endpoint, {}, { mark: 5 }));
const listener = loop.listen(endpoint, {}, { mark: 5, bestEffort: true });
const later = errorOf(() => listener.setOptions({ mark: 5 }));
console.log(JSON.stringify({ refused, later, left: listener.getOption("mark") }));
