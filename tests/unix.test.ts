// What only Unix sockets have: a file that is made, taken over and removed, permissions, names of
// Linux, credentials, and ends without resets.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { type Connection, IoError, Loop } from "../mod.ts";
import { settle, testEach, testLoop } from "./support/backends.ts";
import { runChild } from "./support/child.ts";
import { Signal, turns, turnUntil, within } from "./support/drive.ts";
import type { Skip } from "./support/record.ts";
import { command } from "./support/runtime.ts";
import { awaitClosed, content, listenEcho, openPair, Recorder } from "./support/streams.ts";
import { unixPath } from "./support/transports.ts";

function modeOf(path: string): number {
  return statSync(path).mode & 0o777;
}

/** Waits until the loop has let go of every listener. */
function awaitListeners(loop: Loop): void {
  turnUntil(loop, () => loop.stats().openListeners === 0, "the listeners closed");
}

/** The code and system call with which something fails. */
function failure(use: () => unknown): readonly (string | undefined)[] {
  try {
    use();
  } catch (error) {
    assert.ok(error instanceof IoError, String(error));
    assert.ok(error.advice.length > 0);
    return [error.code, error.syscall];
  }
  return [];
}

/** Leaves a socket at `path` on which nobody listens. */
function leaveStale(path: string): void {
  const loop = new Loop({ backend: "epoll" });
  const listener = loop.listen(`unix:${path}`, {});
  const kept = `${path}.kept`;
  renameSync(path, kept);
  listener.close();
  loop.close();
  renameSync(kept, path);
}

testLoop("an echo over a Unix socket, with the addresses of both ends", (loop) => {
  using place = unixPath();
  for (const endpoint of [place.endpoint, `unix:@twinpoll-echo-${process.pid}`]) {
    const path = endpoint.slice("unix:".length);
    const listener = listenEcho(loop, endpoint);
    assert.equal(listener.endpoint, endpoint);
    const recorder = new Recorder({
      open: (conn) => void conn.send("hello"),
      data: (conn) => conn.close(),
    });
    const client = loop.connect(listener.address, recorder);
    const named = { transport: "unix", family: "unix", host: "", port: 0 };
    assert.deepEqual(client.remoteAddress, { ...named, path });
    turnUntil(loop, () => recorder.bytes > 0, "the echo");
    assert.deepEqual(client.localAddress, { ...named, path: "" });
    awaitClosed(loop, client);
    assert.equal(recorder.text, "hello");
    assert.deepEqual(recorder.events, ["open", "data", "close:null"]);
    listener.close();
    awaitListeners(loop);
  }
});

testLoop("a relative path, and one with two slashes", (loop) => {
  using place = unixPath();
  const before = process.cwd();
  process.chdir(place.folder);
  try {
    const listener = loop.listen("unix:relative", {});
    assert.ok(existsSync(join(place.folder, "relative")));
    listener.close();
    assert.ok(!existsSync(join(place.folder, "relative")));
  } finally {
    process.chdir(before);
  }
  const listener = loop.listen(`unix://${place.path}`, {});
  assert.equal(listener.endpoint, place.endpoint);
  listener.close();
});

testLoop("the file is there while it is listened on, and gone when close() returns", (loop) => {
  using place = unixPath();
  for (let round = 0; round < 3; round++) {
    const listener = loop.listen(place.endpoint, {});
    assert.ok(statSync(place.path).isSocket());
    listener.close();
    assert.ok(!existsSync(place.path));
  }
});

testEach("a loop that closes removes the files of its listeners", (backend) => {
  using place = unixPath();
  const loop = new Loop({ backend });
  loop.listen(place.endpoint, {});
  loop.listen(place.other, {});
  loop.close();
  assert.ok(!existsSync(place.path));
  assert.ok(!existsSync(place.other.slice(5)));
});

testLoop("a file that has taken the place of ours stays", (loop) => {
  using place = unixPath();
  const listener = loop.listen(place.endpoint, {});
  renameSync(place.path, `${place.path}.moved`);
  writeFileSync(place.path, "somebody's");
  listener.close();
  assert.equal(readFileSync(place.path, "utf8"), "somebody's");
  assert.ok(existsSync(`${place.path}.moved`), "nobody looks for it elsewhere");
});

testLoop("a stale socket is taken over, unless unlinkStale is false", (loop) => {
  using place = unixPath();
  leaveStale(place.path);
  assert.deepEqual(failure(() => loop.listen(place.endpoint, {}, { unlinkStale: false })), [
    "EADDRINUSE",
    "bind",
  ]);
  assert.ok(statSync(place.path).isSocket());
  const { client, server } = openPair(loop, { endpoint: place.endpoint });
  client.close();
  awaitClosed(loop, client, server);
  assert.ok(!existsSync(place.path));
});

testLoop("a socket that is alive, a file and a folder are EADDRINUSE and stay", (loop) => {
  using place = unixPath();
  const listener = listenEcho(loop, place.endpoint);
  const inUse = ["EADDRINUSE", "bind"];
  assert.deepEqual(failure(() => loop.listen(place.endpoint, {})), inUse);
  const client = loop.connect(place.endpoint, {});
  turnUntil(loop, () => client.state === "open", "a connection to the first listener");
  client.abort();
  listener.close();
  writeFileSync(place.path, "a file");
  assert.deepEqual(failure(() => loop.listen(place.endpoint, {})), inUse);
  assert.equal(readFileSync(place.path, "utf8"), "a file");
  mkdirSync(join(place.folder, "other"));
  assert.deepEqual(failure(() => loop.listen(place.other, {})), inUse);
  symlinkSync("/nowhere", join(place.folder, "link"));
  const link = `unix:${join(place.folder, "link")}`;
  assert.deepEqual(failure(() => loop.listen(link, {})), inUse);
  awaitListeners(loop);
});

testLoop("the file has the permissions that were asked for, whatever the umask is", (loop) => {
  using place = unixPath();
  const before = process.umask(0o027);
  try {
    for (const mode of [0o600, 0o666, 0o777, 0]) {
      const listener = loop.listen(place.endpoint, {}, { mode });
      assert.equal(modeOf(place.path), mode);
      listener.close();
    }
    const listener = loop.listen(place.endpoint, {});
    assert.equal(modeOf(place.path), 0o777 & ~0o027);
    listener.close();
  } finally {
    process.umask(before);
  }
});

testLoop("paths that cannot be listened on", (loop) => {
  using place = unixPath();
  writeFileSync(place.path, "a file");
  const of = (path: string): readonly (string | undefined)[] =>
    failure(() => loop.listen(`unix:${join(place.folder, path)}`, {}));
  assert.deepEqual(of("nowhere/socket"), ["ENOENT", "bind"]);
  assert.deepEqual(of("socket/below"), ["ENOTDIR", "bind"]);
  assert.deepEqual(of("p".repeat(108)), ["INVALID_ENDPOINT", undefined]);
  assert.deepEqual(failure(() => loop.listen("unix:/proc/socket", {}))[1], "bind");
  assert.equal(loop.stats().openListeners, 0);
});

/** The code with which a connect ends. */
function refusal(loop: Loop, path: string): string {
  const recorder = new Recorder();
  awaitClosed(loop, loop.connect(`unix:${path}`, recorder));
  assert.equal(recorder.events.length, 1);
  assert.equal(recorder.reason!.syscall, "connect");
  assert.match(recorder.reason!.message, /connect unix:/);
  return recorder.reason!.code;
}

testLoop("paths that cannot be connected to", (loop) => {
  using place = unixPath();
  assert.equal(refusal(loop, place.path), "ENOENT");
  leaveStale(place.path);
  assert.equal(refusal(loop, place.path), "ECONNREFUSED");
  assert.ok(existsSync(place.path), "connecting removes nothing");
  writeFileSync(join(place.folder, "file"), "");
  assert.equal(refusal(loop, join(place.folder, "file")), "ECONNREFUSED");
  assert.equal(refusal(loop, join(place.folder, "file/below")), "ENOTDIR");
  assert.equal(refusal(loop, `@twinpoll-nobody-${process.pid}`), "ECONNREFUSED");
});

const setpriv = "/usr/bin/setpriv";
const isRoot = process.getuid?.() === 0;
const rights = "-dac_override,-dac_read_search";
const prefix = isRoot ? [setpriv, `--bounding-set=${rights}`, `--inh-caps=${rights}`] : [];
const mayNot: Skip = isRoot && !existsSync(setpriv) ? "root without setpriv may all" : false;

testEach("a folder or a socket without permission is EACCES", async (backend) => {
  using place = unixPath();
  using loop = new Loop({ backend });
  loop.listen(place.endpoint, {}, { mode: 0 });
  chmodSync(place.folder, 0o555);
  try {
    for (const [verb, syscall] of [["listen", "bind"], ["connect", "connect"]]) {
      const endpoint = verb === "listen" ? place.other : place.endpoint;
      const program = command("tests/programs/denied.ts");
      const { stdout, stderr } = await runChild([...prefix, ...program, backend, verb, endpoint]);
      const told = JSON.parse(stdout || JSON.stringify({ stderr }));
      assert.deepEqual([told.code, told.syscall], ["EACCES", syscall]);
      assert.match(
        told.advice,
        verb === "listen" ? /in a folder/ : /write to the socket at the path/,
      );
    }
  } finally {
    chmodSync(place.folder, 0o755);
  }
}, mayNot);

testLoop("abort: ECONNRESET for a peer whose bytes were not read, else an end", (loop) => {
  using place = unixPath();
  for (const isUnread of [true, false]) {
    const atServer = new Recorder();
    const atClient = new Recorder();
    const { client, server } = openPair(loop, {
      endpoint: place.endpoint,
      server: atServer,
      client: atClient,
    });
    if (isUnread) {
      client.pause();
      turns(loop, 3);
      server.send("never read");
      turns(loop, 3);
    }
    client.abort();
    awaitClosed(loop, client, server);
    assert.equal(atClient.events.at(-1), "close:ABORTED");
    assert.equal(atServer.events.at(-1), isUnread ? "close:ECONNRESET" : "close:null");
  }
});

testLoop("a listener that closes ends what waits for it", (loop) => {
  using place = unixPath();
  using silent = new Loop({ backend: loop.backend });
  const listener = silent.listen(place.endpoint, {});
  const recorder = new Recorder();
  const client = loop.connect(place.endpoint, recorder);
  turnUntil(loop, () => client.state === "open", "a connection in the backlog");
  listener.close();
  silent.close();
  awaitClosed(loop, client);
  assert.match(recorder.events.at(-1)!, /^close:(ECONNRESET|null)$/);
});

testLoop("a full backlog is waited for, and no longer than timeoutMs", (loop) => {
  using place = unixPath();
  using silent = new Loop({ backend: loop.backend });
  const accepted: Connection[] = [];
  silent.listen(place.endpoint, { open: (conn) => void accepted.push(conn) }, { backlog: 1 });
  const fill = [0, 1].map(() => loop.connect(place.endpoint, {}));
  turnUntil(loop, () => fill.every((conn) => conn.state === "open"), "a full backlog");
  const hasty = new Recorder();
  awaitClosed(loop, loop.connect(place.endpoint, hasty, { timeoutMs: 30 }));
  assert.deepEqual(hasty.events, ["close:CONNECT_TIMEOUT"]);
  const late = loop.connect(place.endpoint, {}, { timeoutMs: 0 });
  const called = loop.connect(place.endpoint, {});
  turns(loop, 3);
  assert.equal(late.state, "connecting");
  called.abort();
  turnUntil(loop, () => {
    silent.turn();
    return late.state === "open" && accepted.length >= 3;
  }, "the late one");
  for (const conn of [...fill, late]) conn.abort();
  awaitClosed(loop, called, late, ...fill);
});

testLoop("the peer's credentials are those of its process", (loop) => {
  using place = unixPath();
  const { client, server } = openPair(loop, { endpoint: place.endpoint });
  const own = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() };
  assert.deepEqual(client.peerCredentials, own);
  assert.deepEqual(server.peerCredentials, own);
  client.close();
  awaitClosed(loop, client, server);
});

testEach("the runtime's own sockets are the peer", async (backend) => {
  using place = unixPath();
  using loop = new Loop({ backend });
  listenEcho(loop, place.endpoint);
  loop.attach();
  const received = new Signal();
  let text = "";
  const socket = net.connect(place.path, () => void socket.write(content(100)));
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1");
    if (text.length === 100) received.fire();
  });
  await within(received.promise, "the echo");
  socket.destroy();
  loop.detach();
  turnUntil(loop, () => loop.stats().openConnections === 0, "the connection closed");
  assert.equal(text.length, 100);
  loop.turn();
  assert.equal(loop.stats().buffersInUse, 0);
});

testLoop("a hundred connections over one path, and nothing stays", (loop) => {
  using place = unixPath();
  const listener = listenEcho(loop, place.endpoint);
  const recorders = Array.from({ length: 100 }, () =>
    new Recorder({
      open: (conn) => void conn.send("x"),
      data: (conn) => conn.close(),
    }));
  const conns = recorders.map((recorder) => loop.connect(place.endpoint, recorder));
  awaitClosed(loop, ...conns);
  for (const { events } of recorders) assert.deepEqual(events, ["open", "data", "close:null"]);
  listener.close();
  settle(loop);
});
