/**
 * Checks of what a program passes in.
 *
 * Native code checks ranges again; these checks exist so that the error names the option as the
 * program spelled it, and because NaN and fractions would change silently in a typed array.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import { show } from "./show.ts";

/** `options` if it is an object, which may be empty. */
export function checkOptions<Options>(options: Options): Options {
  if (typeof options === "object" && options !== null) return options;
  throw new IoError("INVALID_ARGUMENT", `options must be an object, not ${show(options)}`);
}

/** `value` if it is an abort signal, of whatever make, or undefined. */
export function signalOption(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const { aborted, addEventListener } = Object(value) as Partial<AbortSignal>;
  if (typeof aborted === "boolean" && typeof addEventListener === "function") return value;
  throw invalidOption("signal", value, "an AbortSignal");
}

/** Whether an option may be left out. */
export type Presence = "optional" | "required";

/** `value` if it is an integer from `minimum` to `maximum`. */
export function integerOption(
  name: string,
  value: unknown,
  minimum: number,
  maximum: number,
  presence?: Presence,
): number {
  if (
    typeof value === "number" && Number.isInteger(value) && value >= minimum && value <= maximum
  ) {
    return value;
  }
  const range = `${minimum.toLocaleString("en")} to ${maximum.toLocaleString("en")}`;
  throw invalidOption(name, value, `an integer from ${range}`, presence);
}

/** Like {@linkcode integerOption}, and a power of two. */
export function powerOfTwoOption(
  name: string,
  value: unknown,
  minimum: number,
  maximum: number,
): number {
  const integer = integerOption(name, value, minimum, maximum);
  if (Number.isInteger(Math.log2(integer))) return integer;
  throw invalidOption(name, value, "a power of two");
}

/** `value` if it is a boolean. */
export function booleanOption(name: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw invalidOption(name, value, "true or false");
}

/** The number that `value` names in `choices`. */
export function choiceOption<Choices extends Readonly<Record<string, number>>>(
  name: string,
  value: unknown,
  choices: Choices,
): number {
  if (typeof value === "string" && Object.hasOwn(choices, value)) return choices[value];
  throw invalidOption(name, value, `one of ${Object.keys(choices).join(", ")}`);
}

/** The error for an option that is not `expected`. */
export function invalidOption(
  name: string,
  value: unknown,
  expected: string,
  presence: Presence = "optional",
): IoError {
  const otherwise = presence === "required" ? "" : ", or leave it out for the default";
  return new IoError("INVALID_OPTION", `option ${name} is ${show(value)}: it must be ${expected}`, {
    advice: `Set ${name} to ${expected}${otherwise}.`,
  });
}

/** The handlers of a connection, however it comes about. */
export const connectionHandlerNames: readonly string[] = [
  "open",
  "data",
  "message",
  "end",
  "drain",
  "close",
  "draining",
  "descriptors",
];

/** Throws unless `handlers` is an object whose members named in `names` are functions or absent. */
export function checkHandlers(handlers: unknown, names: readonly string[]): void {
  if (typeof handlers !== "object" || handlers === null) {
    throw new IoError("INVALID_ARGUMENT", "handlers must be an object of functions");
  }
  for (const name of names) {
    const handler = (handlers as Readonly<Record<string, unknown>>)[name];
    if (handler !== undefined && typeof handler !== "function") {
      throw new IoError("INVALID_ARGUMENT", `handler ${name} must be a function`);
    }
  }
}
