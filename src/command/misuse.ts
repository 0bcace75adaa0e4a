/**
 * A command line that cannot be meant: the command ends with exit code 2 and its usage.
 *
 * @module
 */

/** What is wrong with the command line. */
export class Misuse extends Error {}
