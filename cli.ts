#!/usr/bin/env -S deno run --allow-ffi --allow-env
/**
 * The `twinpoll` command.
 *
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { durationMs } from "./src/command/duration.ts";
import { echo } from "./src/command/echo.ts";
import { info } from "./src/command/info.ts";
import { Misuse } from "./src/command/misuse.ts";
import { pipe } from "./src/command/pipe.ts";
import { relay } from "./src/command/relay.ts";
import { IoError } from "./src/io_error.ts";
import type { LoopOptions } from "./src/loop_options.ts";
import { version } from "./src/version.ts";

const usage = `usage: twinpoll COMMAND

  info [--json]             what this machine offers
  echo ENDPOINT             send back what arrives, until interrupted
  pipe ENDPOINT             standard input to a connection, its answer to standard output
    --listen                accept one connection instead of making one
    --idle-timeout TIME     reset it when nothing moves for so long: 30, 1.5s, 200ms, 5m
  relay LISTEN TARGET       join each connection that comes with one to TARGET
    --idle-timeout TIME     reset both when nothing moves for so long
    --half-open-timeout TIME  the same once one direction has ended
    --drain-timeout TIME    how long relays may go on after SIGTERM (5)

Options of echo, pipe and relay:
    --backend NAME          auto, io_uring, epoll, kqueue or select
    --trigger NAME          edge or level, for epoll and kqueue
    --mode NAME             adaptive, event or poll
    --json                  totals as JSON objects, one per line; of pipe and relay to
                            standard error

  --help, --version

Endpoints look like tcp://127.0.0.1:7000, where port 0 takes a free one, unix:/run/a.sock or
unix:@name; those of echo also like udp://127.0.0.1:7000 or unix+datagram:/run/a.sock.`;

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

/** Names are checked where the loop is opened. */
function loopOptions(values: { backend?: string; mode?: string; trigger?: string }): LoopOptions {
  const { backend, mode, trigger } = values;
  return { backend, mode, trigger } as LoopOptions;
}

/** What each command is given. */
const operandsOf: Readonly<Record<string, string>> = {
  info: "no operand",
  echo: "an ENDPOINT",
  pipe: "an ENDPOINT",
  relay: "LISTEN and TARGET",
};

/** What is wrong where no command has its operands. */
function complaint(command: string | undefined): string {
  if (command === undefined) return "no command";
  if (!Object.hasOwn(operandsOf, command)) return `there is no command ${command}`;
  return `${command} takes ${operandsOf[command]}`;
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
        listen: { type: "boolean", default: false },
        "idle-timeout": { type: "string", default: "0" },
        "half-open-timeout": { type: "string", default: "0" },
        "drain-timeout": { type: "string", default: "5" },
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
    await echo({ endpoint: operands[0], loop: loopOptions(values), json });
  } else if (command === "pipe" && operands.length === 1) {
    const { listen } = values;
    const idleTimeoutMs = durationMs("--idle-timeout", values["idle-timeout"]);
    const loop = loopOptions(values);
    const ended = pipe({ endpoint: operands[0], listen, idleTimeoutMs, loop, json });
    // Not every runtime lets go of standard input while a read of it waits.
    process.exit(await ended.catch(failure));
  } else if (command === "relay" && operands.length === 2) {
    const limit = (name: "idle-timeout" | "half-open-timeout" | "drain-timeout"): number =>
      durationMs(`--${name}`, values[name]);
    await relay({
      endpoint: operands[0],
      target: operands[1],
      idleTimeoutMs: limit("idle-timeout"),
      halfOpenTimeoutMs: limit("half-open-timeout"),
      drainTimeoutMs: limit("drain-timeout"),
      loop: loopOptions(values),
      json,
    });
  } else {
    return misuse(complaint(command));
  }
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = failure(error);
}
