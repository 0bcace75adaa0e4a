// What the surroundings may lack: io_uring, the library, its right version, Deno's permission. Each
// is an error that says so, or a fallback that works.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type IoUringOptions, probe } from "../mod.ts";
import { abi_version, layout_hash } from "../src/native/abi.ts";
import { testEach } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { command, root, runtime } from "./support/runtime.ts";

/** A tool of `zig build tools`. */
function tool(name: string): string {
  const path = join(root, "zig-out", "tools", name);
  assert.ok(existsSync(path), `${path} is not there: run \`zig build tools\``);
  return path;
}

/** What `tests/programs/open.ts` prints. */
async function open(
  backend: string,
  options: {
    prefix?: string[];
    environment?: Record<string, string>;
    permissions?: string[];
    ioUring?: IoUringOptions;
  } = {},
): Promise<Record<string, unknown>> {
  const { prefix = [], environment, permissions, ioUring } = options;
  const words = [...prefix, ...command("tests/programs/open.ts", permissions), backend];
  if (ioUring !== undefined) words.push(JSON.stringify(ioUring));
  const { stdout, stderr } = await runChild(words, environment);
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout);
}

testEach("a child process works as this one does", async (backend) => {
  assert.deepEqual(await open(backend), { backend, echoed: "hello" });
});

for (
  const [refusal, reason, errno] of [
    ["EPERM", /seccomp|refuse/, 1],
    ["ENOSYS", /kernel does not have/, 38],
  ] as const
) {
  test(`where io_uring is refused with ${refusal}, asking for it says why`, async () => {
    const prefix = [tool("deny-io-uring"), refusal];
    const error = await open("io_uring", { prefix });
    assert.equal(error.code, "BACKEND_UNAVAILABLE");
    assert.match(String(error.message), /io_uring/);
    assert.match(String(error.message), reason);
    assert.deepEqual([error.errno, error.syscall], [errno, "io_uring_setup"]);
    assert.match(String(error.advice), /epoll/);
  });

  test(`where io_uring is refused with ${refusal}, auto takes epoll`, async () => {
    const prefix = [tool("deny-io-uring"), refusal];
    assert.deepEqual(await open("auto", { prefix }), { backend: "epoll", echoed: "hello" });
    assert.deepEqual(await open("epoll", { prefix }), { backend: "epoll", echoed: "hello" });
  });

  test(`where io_uring is refused with ${refusal}, its options need it or do without`, async () => {
    const prefix = [tool("deny-io-uring"), refusal];
    const error = await open("auto", { prefix, ioUring: { sqpoll: true } });
    assert.equal(error.code, "BACKEND_UNAVAILABLE");
    assert.match(String(error.message), reason);
    const ioUring = { sqpoll: true, bestEffort: true };
    const found = await open("auto", { prefix, ioUring });
    assert.deepEqual(found, { backend: "epoll", echoed: "hello" });
  });

  test(`where io_uring is refused with ${refusal}, info explains it`, async () => {
    const info = [tool("deny-io-uring"), refusal, ...command("cli.ts"), "info"];
    const text = await runChild(info);
    assert.equal(text.code, 0, text.stderr);
    const line = text.stdout.split("\n").find((line) => line.startsWith("io_uring  "))!;
    assert.match(line, /not available/);
    assert.match(line, reason);
    assert.match(line, new RegExp(refusal));
    const { backends } = JSON.parse((await runChild([...info, "--json"])).stdout);
    const { available, error, syscall } = backends.io_uring;
    assert.deepEqual([available, error, syscall], [false, refusal, "io_uring_setup"]);
    assert.equal(backends.epoll.available, true);
  });
}

test("without a library: LIBRARY_NOT_FOUND, with the path and how to build it", async () => {
  for (const path of ["/nonexistent/libtwinpoll.so", join(root, "LICENSE")]) {
    const error = await open("auto", { environment: { TWINPOLL_LIBRARY: path } });
    assert.equal(error.code, "LIBRARY_NOT_FOUND");
    assert.ok(String(error.message).includes(path), String(error.message));
    assert.match(String(error.advice), /zig build|TWINPOLL_LIBRARY/);
  }
});

test("a library of another ABI: ABI_MISMATCH, with both versions and hashes", async () => {
  const path = tool("libother-abi.so");
  const error = await open("auto", { environment: { TWINPOLL_LIBRARY: path } });
  assert.equal(error.code, "ABI_MISMATCH");
  const message = String(error.message);
  const ours = [String(abi_version), layout_hash.toString(16)];
  for (const part of [path, "999", "deadbeef", ...ours]) {
    assert.ok(message.includes(part), `${message} does not name ${part}`);
  }
});

test("a library of our version but another layout: ABI_MISMATCH", async () => {
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-library-"));
  try {
    // The hash is a constant in the library's code.
    const bytes = readFileSync(probe().library);
    const hash = Buffer.alloc(4);
    hash.writeUInt32LE(layout_hash);
    let found = 0;
    for (let at = bytes.indexOf(hash); at >= 0; at = bytes.indexOf(hash, at)) {
      bytes.writeUInt32LE(0xbadc_0de5, at);
      found += 1;
    }
    assert.ok(found > 0, "the library does not contain its layout's hash");
    const path = join(folder, "libtwinpoll.so");
    writeFileSync(path, bytes);
    const error = await open("auto", { environment: { TWINPOLL_LIBRARY: path } });
    assert.equal(error.code, "ABI_MISMATCH");
    assert.match(String(error.message), /badc0de5/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a library named by TWINPOLL_LIBRARY is the one that is used", async () => {
  const { library } = probe();
  const { code, stdout } = await runChild([...command("cli.ts"), "info", "--json"], {
    TWINPOLL_LIBRARY: library,
  });
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).library, library);
});

/** Only Deno has permissions, so only there are tests of them. */
const testPermissions: (name: string, body: () => Promise<void>) => unknown = runtime === "deno"
  ? test
  : () => {};

testPermissions("without --allow-ffi: PERMISSION_DENIED, without a prompt", async () => {
  // A child of Deno's without any flag of its own gets all permissions.
  for (const permission of ["--allow-net", "--allow-env", "--allow-ffi=/tmp"]) {
    const permissions = ["--no-prompt", permission];
    const error = await open("auto", { permissions });
    assert.equal(error.code, "PERMISSION_DENIED");
    assert.match(String(error.advice), /--allow-ffi/);
  }
});

testPermissions("--allow-ffi is all that is needed, for run()", async () => {
  const { echoed } = await open("auto", { permissions: ["--no-prompt", "--allow-ffi"] });
  assert.equal(echoed, "hello");
});

testPermissions("--allow-ffi is all that is needed, for attach()", async () => {
  const program = command("tests/programs/attached.ts", ["--no-prompt", "--allow-ffi"]);
  const { code, stdout, stderr } = await runChild([...program, "auto", "close"]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /echoed hello/);
});

test("probe() describes this machine", () => {
  const machine = probe();
  assert.equal(machine.runtime, runtime);
  assert.equal(machine.abiVersion, abi_version);
  assert.match(machine.kernel, /^\d+\.\d+\.\d+$/);
  assert.ok(machine.pageBytes >= 4096);
  assert.ok(machine.cpusAllowed >= 1 && machine.cpusAllowed <= machine.cpusOnline);
  assert.ok(machine.descriptorLimit > 0 && machine.memoryLockLimit >= 0);
  assert.equal(machine.backends.epoll.available, true);
  assert.equal(machine.threads, true);
  const { available, reason, setupFlags } = machine.backends.io_uring;
  if (available) assert.ok(setupFlags.length > 0);
  else assert.ok(reason !== undefined && reason.length > 0);
});
