#!/usr/bin/env -S deno run --allow-ffi --allow-env
/**
 * The `twinpoll` command.
 *
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { echo } from "./src/command/echo.ts";
import { info } from "./src/command/info.ts";
import { Misuse } from "./src/command/misuse.ts";
import { IoError } from "./src/io_error.ts";
import type { LoopOptions } from "./src/loop_options.ts";
import { version } from "./src/version.ts";

const usage = `usage: twinpoll COMMAND

  info [--json]             what this machine offers
  echo ENDPOINT             send back what arrives, until interrupted
    --backend NAME          auto, io_uring, epoll, kqueue or select
    --trigger NAME          edge or level, for epoll and kqueue
    --mode NAME             adaptive, event or poll
    --json                  one JSON object per line

  --help, --version

Endpoints look like tcp://127.0.0.1:7000; port 0 takes a free one.`;

const exitFailure = 1;
const exitUsage = 2;

/** Says what is wrong with the command line; the exit code for it. */
function misuse(message: string): number {
  console.error(`twinpoll: ${message}\n\n${usage}`);
  return exitUsage;
}

/** Says why a command could not do what it was asked for; the exit code for it. */
function failure(error: unknown): number {
  if (error instanceof Misuse) return misuse(error.message);
  if (!(error instanceof IoError)) throw error;
  console.error(`twinpoll: ${error.message}. ${error.advice}`);
  return exitFailure;
}

async function main(args: string[]): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        backend: { type: "string" },
        mode: { type: "string" },
        trigger: { type: "string" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        version: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return misuse(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  const [command, ...operands] = positionals;
  const json = values.json === true;
  if (values.help) {
    console.log(usage);
  } else if (values.version) {
    console.log(version);
  } else if (command === "info" && operands.length === 0) {
    info(json);
  } else if (command === "echo" && operands.length === 1) {
    // Names are checked where the loop is opened.
    const { backend, mode, trigger } = values;
    const loop = { backend, mode, trigger } as LoopOptions;
    await echo({ endpoint: operands[0], loop, json });
  } else {
    return misuse(command === undefined ? "no command" : `cannot do ${positionals.join(" ")}`);
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = failure(error);
}
