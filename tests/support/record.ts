// What tests tell those who count them, in the form that `scripts/lib/records.mjs` reads: lines
// appended to the file that the environment variable TWINPOLL_TEST_RECORD names. Without it, as
// when a test file is run by hand, nothing is written.

import { appendFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { probe } from "../../mod.ts";
import { flagNames } from "../../src/loop_options.ts";
import { BackendKind, LoopOptions } from "../../src/native/abi.ts";
import { ringFeatures } from "../../src/ring_options.ts";
import { loadLibrary } from "../../src/native/library.ts";

/**
 * What a test needs that a machine may lack: the reason to skip, or false. A reason that starts
 * with `kernel: ` names what this kernel lacks; any other is a failure where everything must run.
 */
export type Skip = string | false;

/** A test that may have to be skipped. Not every runner passes on why; the record does. */
export function testUnless(skip: Skip, name: string, body: () => void | Promise<void>): void {
  if (skip !== false) note("skipped", name, skip);
  test(name, { skip }, body);
}

function note(...fields: (string | number)[]): void {
  const path = process.env.TWINPOLL_TEST_RECORD;
  if (path !== undefined) appendFileSync(path, fields.join("\t") + "\n");
}

/** What this machine offers, as its probe says. */
function noteMachine(): void {
  const { kernel, backends } = probe();
  note("kernel", kernel);
  for (const [backend, { available }] of Object.entries(backends)) {
    if (available) note("offers", backend);
  }
}

/** Every loop that this process opens from here on: once per backend and what it was granted. */
function noteOpenings(): void {
  const { functions } = loadLibrary();
  const open = functions.tp_loop_open;
  const known = new Set<string>();
  functions.tp_loop_open = (bytes, length) => {
    const handle = open(bytes, length);
    if (handle < 0) return handle;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    const kind = words[LoopOptions.backend];
    const backend = Object.entries(BackendKind).find(([, value]) => value === kind)?.[0] ?? "";
    const flags = flagNames(words[LoopOptions.granted_flags]).join(" ");
    const features = ringFeatures(words[LoopOptions.granted_features]).join(" ");
    const fields = ["opened", backend, words[LoopOptions.rung], features, flags];
    if (!known.has(fields.join())) note(...fields);
    known.add(fields.join());
    return handle;
  };
}

if (process.env.TWINPOLL_TEST_RECORD !== undefined) {
  noteMachine();
  noteOpenings();
}
