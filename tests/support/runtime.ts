// Which runtime runs the tests, and how a test starts a child process on the same one.
//
// Node runs bundles in dist/ whose folders mirror the clone's, so a test names a program by its
// path from the root of the clone instead of relative to itself.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The runtimes that the tests run on. */
export type Runtime = "deno" | "bun" | "node";

/** The runtime that runs this test. */
export const runtime: Runtime = process.versions.bun
  ? "bun"
  : process.versions.deno
  ? "deno"
  : "node";

/** The root of the clone, from source or from a bundle. */
export const root: string = findRoot();

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "build.zig"))) folder = dirname(folder);
  return folder;
}

/**
 * Where a TypeScript program of this clone is for this runtime.
 *
 * @param file Path from the root; one of `cli.ts`, `examples/**` or `tests/**`.
 */
export function program(file: string): string {
  return runtime === "node" ? join(root, "dist", file.replace(/\.ts$/, ".js")) : join(root, file);
}

/**
 * The command that runs a TypeScript program of this clone on this runtime.
 *
 * @param file Path from the root; one of `cli.ts`, `examples/**` or `tests/**`.
 * @param permissions Deno's permission flags; default: everything is allowed.
 */
export function command(file: string, permissions: string[] = ["--allow-all"]): string[] {
  const executable = process.execPath;
  if (runtime === "deno") return [executable, "run", "--no-check", ...permissions, program(file)];
  return [executable, program(file)];
}

/** The same with a garbage collector that the program can call: `gc()`, or `Bun.gc` there. */
export function commandWithGc(file: string): string[] {
  if (runtime === "deno") return command(file, ["--allow-all", "--v8-flags=--expose-gc"]);
  const [executable, path] = command(file);
  return runtime === "bun" ? [executable, path] : [executable, "--expose-gc", path];
}
