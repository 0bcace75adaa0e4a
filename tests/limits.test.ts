// Memory where the machine gives little: a low limit on locked memory, no huge pages. Everything
// goes on with less, and says so.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { type PoolOptions, probe } from "../mod.ts";
import { runChild } from "./support/child.ts";
import { type Skip, testUnless } from "./support/record.ts";
import { command } from "./support/runtime.ts";

/** What `tests/programs/limited.ts` prints. */
type Grants = Readonly<
  Record<string, { asked: unknown; granted: unknown; slabs: number; reason?: string }>
>;

const prlimit = ["/usr/bin/prlimit", "/bin/prlimit"].find(existsSync);
const setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].find(existsSync);
const isRoot = process.getuid?.() === 0;
/** Root may lock whatever the limit, unless it drops that capability. */
const noLimit: Skip = prlimit === undefined || (isRoot && setpriv === undefined)
  ? "neither prlimit nor setpriv is installed"
  : false;

async function run(pool: PoolOptions, wrapper: readonly string[] = []): Promise<Grants> {
  const program = [...command("tests/programs/limited.ts"), JSON.stringify(pool)];
  const { code, stdout, stderr } = await runChild([...wrapper, ...program]);
  assert.deepEqual([code, stderr], [0, ""]);
  const { echoed, ...grants } = JSON.parse(stdout);
  assert.equal(echoed, "through limited memory");
  return grants;
}

testUnless(noLimit, "with a lock limit of 64 KiB nothing is locked, and why is told", async () => {
  const drop = isRoot ? [setpriv!, "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"] : [];
  const wrapper = [prlimit!, "--memlock=65536:65536", ...drop];
  const { lock, fixed } = await run({ fixedBuffers: true, receiveBuffers: 64 }, wrapper);
  assert.deepEqual([lock.asked, lock.granted, lock.slabs], [true, false, 0]);
  assert.match(lock.reason!, /ENOMEM: RLIMIT_MEMLOCK is too low/);
  assert.equal(fixed.granted, false);
  assert.match(fixed.reason!, /^E/);
});

test("huge pages that are not there become smaller ones, and the reason is told", async () => {
  const { free } = probe().hugePages["2MiB"];
  const { pages } = await run({ hugePages: "2MiB" });
  assert.equal(pages.asked, "2MiB");
  if (free >= 4) {
    assert.equal(pages.granted, "2MiB");
  } else {
    assert.ok(["4KiB", "transparent"].includes(String(pages.granted)), String(pages.granted));
    assert.match(pages.reason!, /ENOMEM: not enough of them are reserved|EINVAL|EFAULT/);
  }
});

test("pages of 1 GiB that are not there, too", async () => {
  const { pages } = await run({ hugePages: "1GiB", maxBytes: 2 ** 30 });
  assert.equal(pages.asked, "1GiB");
  if (pages.granted !== "1GiB") assert.match(pages.reason!, /^E/);
});
