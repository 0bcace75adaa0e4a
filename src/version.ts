/**
 * The package's version, as in deno.json and package.json.
 *
 * @module
 */

/** The package's version. */
export const version: string = "0.1.0";
