// Sockets and servers in the shape of `node:net`: with their own kind, with the runtime's sockets
// as foreign peers, and under the runtime's HTTP.

import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { type AddressInfo, connect, createServer, type Server, Socket } from "../net.ts";
import { bestBackend, testEach } from "./support/backends.ts";
import { type IoError, Loop } from "../mod.ts";
import { runChild } from "./support/child.ts";
import { within } from "./support/drive.ts";
import { NameServer } from "./support/name_server.ts";
import { testUnless } from "./support/record.ts";
import { command, root, runtime } from "./support/runtime.ts";
import { content, ContentReader } from "./support/streams.ts";

/** Runs `body` on an attached loop. */
async function withLoop(body: (loop: Loop) => Promise<void>, backend = bestBackend): Promise<void> {
  using loop = new Loop({ backend });
  loop.attach();
  await within(body(loop), "the test");
}

/** Listens on a free port; the port. */
async function listenOn(server: Server | net.Server): Promise<number> {
  // A union of the two has no call signature in common.
  (server as Server).listen(0, "127.0.0.1");
  await once(server as Server, "listening");
  return ((server as Server).address() as AddressInfo).port;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}

testEach("an echo of much, through pipe", async (backend) => {
  await withLoop(async (loop) => {
    const server = createServer({ loop }, (socket) => void socket.pipe(socket));
    const port = await listenOn(server);
    const total = 3_000_000;
    const reader = new ContentReader();
    const socket = connect({ port, host: "127.0.0.1", loop });
    let drains = 0;
    socket.on("drain", () => drains += 1);
    socket.on("data", (data: Buffer) => reader.read(data));
    // Before it is connected.
    assert.equal(socket.connecting, true);
    assert.equal(socket.pending, true);
    assert.equal(socket.readyState, "opening");
    for (let at = 0; at < total; at += 100_000) {
      if (!socket.write(content(100_000, at))) await once(socket, "drain");
    }
    assert.equal(socket.readyState, "open");
    socket.end();
    const [hadError] = await once(socket, "close");
    assert.equal(hadError, false);
    assert.equal(reader.received, total);
    assert.deepEqual([socket.bytesRead, socket.bytesWritten], [total, total]);
    assert.ok(drains > 0);
    assert.equal(socket.readyState, "closed");
    await closed(server);
  }, backend);
});

testEach("of a connection that a relay has, the end is the relay's", async (backend) => {
  await withLoop(async (loop) => {
    const target = createServer({ loop }, (socket) => {
      // The reset of the second one.
      socket.on("error", () => {});
      socket.pipe(socket);
    });
    const targetPort = await listenOn(target);
    const relayed: Socket[] = [];
    const proxy = createServer({ loop }, (socket) => {
      relayed.push(socket);
      loop.relay(socket.connection!, loop.connect(`tcp://127.0.0.1:${targetPort}`, {}));
      if (relayed.length === 1) socket.end();
    });
    const port = await listenOn(proxy);
    const open = async (): Promise<Socket> => {
      const socket = connect({ port, host: "127.0.0.1", loop });
      await once(socket, "connect");
      socket.write("there and back");
      assert.equal(String((await once(socket, "data"))[0]), "there and back");
      return socket;
    };

    const first = await open();
    assert.deepEqual([relayed[0].writableFinished, relayed[0].errored], [true, null]);
    const ends = [once(first, "close"), once(relayed[0], "close")];
    first.end();
    for (const [hadError] of await Promise.all(ends)) assert.equal(hadError, false);

    const second = await open();
    const broken = [once(relayed[1], "error"), once(second, "error")];
    relayed[1].write("to nobody");
    const codes = (await Promise.all(broken)).map(([error]) => (error as IoError).code);
    assert.deepEqual(codes, ["BUSY", "ECONNRESET"]);
    await Promise.all([closed(target), closed(proxy)]);
  }, backend);
});

test("the runtime's sockets are peers of both", async () => {
  await withLoop(async (loop) => {
    const ours = createServer({ loop }, (socket) => void socket.end("from ours"));
    const theirs = net.createServer((socket) => void socket.end("from theirs"));
    const texts: string[] = [];
    for (const [server, open] of [[ours, net.connect], [theirs, connect]] as const) {
      const port = await listenOn(server);
      const socket: Duplex = (open as typeof net.connect)(port, "127.0.0.1");
      let text = "";
      socket.setEncoding("utf8");
      socket.on("data", (data: string) => text += data);
      await once(socket, "end");
      socket.end();
      texts.push(text);
    }
    assert.deepEqual(texts, ["from ours", "from theirs"]);
    await closed(ours);
    theirs.close();
  });
});

test("addresses are told as node:net tells them", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop });
    assert.equal(server.address(), null);
    assert.equal(server.listening, false);
    const port = await listenOn(server);
    assert.deepEqual(server.address(), { address: "127.0.0.1", family: "IPv4", port });
    assert.equal(server.listening, true);
    const near = connect({ port, host: "127.0.0.1", loop });
    const [[far]] = await Promise.all([once(server, "connection"), once(near, "connect")]);
    assert.deepEqual(
      [near.remoteAddress, near.remotePort, near.remoteFamily],
      ["127.0.0.1", port, "IPv4"],
    );
    assert.deepEqual(near.address(), {
      address: far.remoteAddress,
      family: far.remoteFamily,
      port: far.remotePort,
    });
    assert.deepEqual([near.localPort, near.localAddress], [far.remotePort, "127.0.0.1"]);
    assert.equal(near.localFamily, "IPv4");
    near.destroy();
    far.destroy();
    await closed(server);
    const fresh = new Socket();
    assert.deepEqual(fresh.address(), {});
    assert.equal(fresh.remoteAddress, undefined);
  });
});

test("without a host a server listens everywhere", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop }, (socket) => void socket.end("here"));
    server.listen();
    await once(server, "listening");
    const { address, port } = server.address() as AddressInfo;
    assert.ok(["::", "0.0.0.0"].includes(address));
    let text = "";
    for await (const data of connect({ port, host: "127.0.0.1", loop })) text += data;
    assert.equal(text, "here");
    await closed(server);
  });
});

test("socket options are set, also before there is a connection", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop });
    const port = await listenOn(server);
    const near = new Socket({ loop }).setNoDelay(false).setKeepAlive(true, 7_900);
    near.connect(port, "127.0.0.1");
    const accepted = once(server, "connection") as Promise<[Socket]>;
    await once(near, "connect");
    const [far] = await accepted;
    const connection = near.connection!;
    assert.equal(connection.getOption("noDelay"), false);
    assert.equal((connection.getOption("keepAlive") as { idleSeconds: number }).idleSeconds, 7);
    near.setNoDelay().setKeepAlive(false);
    assert.equal(connection.getOption("noDelay"), true);
    assert.equal(connection.getOption("keepAlive"), false);
    near.destroy();
    near.setNoDelay(false);
    far.destroy();
    await closed(server);
  });
});

test("what goes wrong is an error event, and close says so", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop });
    const port = await listenOn(server);
    const second = createServer({ loop });
    second.listen(port, "127.0.0.1");
    const [inUse] = await once(second, "error");
    assert.equal(inUse.code, "EADDRINUSE");
    await closed(server);
    for (
      const [options, code] of [
        [{ port, host: "127.0.0.1", loop }, "ECONNREFUSED"],
        [{ port: 0, host: "127.0.0.1", loop }, "INVALID_ENDPOINT"],
        [{ path: "/nowhere/at/all", loop }, "ENOENT"],
      ] as const
    ) {
      const socket = connect(options);
      const closing = new Promise((resolve) => void socket.once("close", resolve));
      const [error] = await once(socket, "error");
      assert.equal(error.code, code);
      assert.equal(await closing, true);
    }
    const missing = await new Promise((resolve) => void second.close(resolve));
    assert.equal((missing as { code: string }).code, "STALE_HANDLE");
  });
});

test("half-close with allowHalfOpen, and without", async () => {
  await withLoop(async (loop) => {
    for (const allowHalfOpen of [true, false]) {
      const server = createServer({ loop, allowHalfOpen }, (socket) => {
        socket.on("end", () => {
          if (allowHalfOpen) setImmediate(() => socket.end("after the end"));
        });
        socket.resume();
      });
      const port = await listenOn(server);
      const socket = connect({ port, host: "127.0.0.1", loop, allowHalfOpen: true });
      socket.end("question");
      let text = "";
      socket.on("data", (data) => text += data);
      await once(socket, "close");
      assert.equal(text, allowHalfOpen ? "after the end" : "");
      await closed(server);
    }
  });
});

test("pause() holds the peer back", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop, pauseOnConnect: true });
    const port = await listenOn(server);
    const near = connect({ port, host: "127.0.0.1", loop });
    const [far] = await once(server, "connection") as [Socket];
    assert.equal(far.isPaused(), true);
    const chunk = content(65_521);
    let written = 0;
    // Whatever lies between them is full at some time.
    while (written < 2 ** 26 && near.writableLength < 4 * chunk.length) {
      near.write(chunk);
      written += chunk.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(near.writableLength > 0, "nothing held it back");
    const reader = new ContentReader();
    far.on("data", (data: Buffer) => reader.read(data));
    far.resume();
    near.end();
    await Promise.all([once(far, "end"), once(near, "close")]);
    assert.equal(reader.received, written);
    await closed(server);
  });
});

test("destroying at each state", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop }, (socket) => void socket.on("error", () => {}));
    const port = await listenOn(server);
    const fresh = new Socket({ loop });
    fresh.destroy();
    await once(fresh, "close");
    const connecting = connect({ port, host: "127.0.0.1", loop });
    connecting.destroy();
    await once(connecting, "close");
    const failing = connect({ port, host: "127.0.0.1", loop });
    await once(failing, "connect");
    failing.destroy(new Error("mine"));
    const [error] = await once(failing, "error");
    assert.equal(error.message, "mine");
    const reset = connect({ port, host: "127.0.0.1", loop });
    const [[far]] = await Promise.all([once(server, "connection"), once(reset, "connect")]);
    reset.resetAndDestroy();
    const [reason] = await once(far as Socket, "error");
    assert.equal(reason.code, "ECONNRESET");
    const soon = connect({ port, host: "127.0.0.1", loop });
    const [other] = await once(server, "connection") as [Socket];
    soon.write("all of it");
    soon.destroySoon();
    const [data] = await once(other, "data");
    assert.equal(String(data), "all of it");
    await closed(server);
  });
});

test("a server closes after its last connection, and drops beyond its limit", async () => {
  await withLoop(async (loop) => {
    await using server = createServer({ loop });
    server.maxConnections = 1;
    const port = await listenOn(server);
    const first = connect({ port, host: "127.0.0.1", loop });
    const [far] = await once(server, "connection") as [Socket];
    const second = connect({ port, host: "127.0.0.1", loop });
    await once(server, "drop");
    second.resume();
    await once(second, "close");
    assert.throws(() => server.listen(0), { code: "BUSY", advice: /server/ });
    const count = await new Promise((resolve) => {
      server.getConnections((_error, count) => resolve(count));
    });
    assert.equal(count, 1);
    let isClosed = false;
    server.once("close", () => isClosed = true);
    server.close();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isClosed, false);
    first.destroy();
    far.destroy();
    await once(server, "close");
  });
});

test("a Unix socket by its path, and a signal that closes", async () => {
  await withLoop(async (loop) => {
    const path = `@twinpoll-net-${process.pid}`;
    const controller = new AbortController();
    const server = createServer({ loop }, (socket) => void socket.end("by path"));
    server.listen({ path, signal: controller.signal });
    await once(server, "listening");
    assert.equal(server.address(), path);
    const socket = new Socket({ loop }).connect(path);
    let text = "";
    for await (const data of socket) text += data;
    assert.equal(text, "by path");
    controller.abort();
    await once(server, "close");
  });
});

test("a server listens at a name, and can be closed while it is looked up", async () => {
  await withLoop(async (loop) => {
    const hosts = "198.51.100.7 own.test\n127.77.0.1 own.test\n198.51.100.7 nowhere.test\n";
    const names = new NameServer(loop, { "silent.test": "silence" }, hosts);
    const server = createServer({ loop }, (socket) => void socket.end("by name"));
    server.listen({ host: "own.test", port: 0 });
    assert.throws(() => server.listen(0), { code: "BUSY" });
    await once(server, "listening");
    const { address, port } = server.address() as AddressInfo;
    assert.equal(address, "127.77.0.1");
    let text = "";
    for await (const data of connect({ port, host: address, loop })) text += data;
    assert.equal(text, "by name");
    server.close();
    await once(server, "close");
    for (
      const [host, code] of [
        ["nowhere.test", "EADDRNOTAVAIL"],
        ["missing.test", "NAME_NOT_FOUND"],
        ["no name", "INVALID_ENDPOINT"],
      ]
    ) {
      server.listen({ host, port: 0 });
      const [error] = await once(server, "error") as [IoError];
      assert.equal(error.code, code, host);
    }
    server.listen({ host: "silent.test", port: 0 }, () => assert.fail("it was closed"));
    while (names.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => server.close(() => resolve()));
    server.listen({ host: "silent.test", port: 0, signal: AbortSignal.abort() });
    await once(server, "close");
    assert.equal(server.listening, false);
    names.close();
  });
});

test("HTTP of the runtime, over ours on both sides", async () => {
  await withLoop(async (loop) => {
    const pages = http.createServer((request, response) => {
      let body = "";
      request.on("data", (data) => body += data);
      request.on("end", () => {
        response.setHeader("x-peer", String(request.socket.remoteAddress));
        response.end(`${request.method} ${request.url} ${body.length}`);
      });
    });
    const server = createServer({ loop }, (socket) => void pages.emit("connection", socket));
    const port = await listenOn(server);
    for (
      const [method, path, body] of [
        ["GET", "/", ""],
        ["POST", "/form", "x".repeat(1_000_000)],
        ["PUT", "/last", "short"],
      ]
    ) {
      const request = http.request({
        method,
        path,
        // Nobody else could reach that.
        host: "nowhere.invalid",
        createConnection: () => connect({ port, host: "127.0.0.1", loop }) as unknown as net.Socket,
      });
      request.end(body);
      const [response] = await once(request, "response") as [http.IncomingMessage];
      let text = "";
      for await (const part of response) text += part;
      assert.deepEqual([response.statusCode, text], [200, `${method} ${path} ${body.length}`]);
      assert.equal(response.headers["x-peer"], "127.0.0.1");
    }
    await closed(server);
  });
});

const curl = spawnSync("curl", ["--version"]).status === 0 ? false : "curl is not installed";

testUnless(curl, "curl takes several pages", async () => {
  await withLoop(async (loop) => {
    const pages = http.createServer((request, response) => void response.end(`${request.url}\n`));
    // Some runtimes end a connection after each answer unless their own server listens as well.
    Object.defineProperty(pages, "listening", { value: true });
    let accepted = 0;
    const server = createServer({ loop }, (socket) => {
      accepted += 1;
      pages.emit("connection", socket);
    });
    const port = await listenOn(server);
    const urls = ["/one", "/two", "/three"].map((path) => `http://127.0.0.1:${port}${path}`);
    const { code, stdout } = await runChild(["curl", "-sS", "--max-time", "20", ...urls]);
    assert.deepEqual([code, stdout, accepted], [0, "/one\n/two\n/three\n", 1]);
    await closed(server);
  });
});

if (runtime === "node") {
  test("the package's entries have named classes and the shared loop in common", async () => {
    const entry = (file: string): string => pathToFileURL(join(root, "dist", file)).href;
    const api = await import(entry("mod.js"));
    const shape = await import(entry("net.js"));
    const socket = shape.connect(1, "127.0.0.1");
    const [error] = await once(socket, "error");
    assert.ok(error instanceof api.IoError);
    assert.deepEqual([api.IoError.name, api.Loop.name], ["IoError", "Loop"]);
    const loop = new api.Loop();
    const server = shape.createServer({ loop });
    loop.attach();
    await listenOn(server);
    await closed(server);
    loop.close();
  });
}

for (const how of ["close", "unref"]) {
  test(`a process with such sockets ends by itself after: ${how}`, async () => {
    const { code, stdout, stderr } = await runChild([
      ...command("tests/programs/net.ts", ["--allow-ffi"]),
      how,
    ]);
    assert.deepEqual([code, stdout, stderr], [0, "hello\n", ""]);
  });
}
