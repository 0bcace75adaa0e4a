// Time limits of sockets in the shape of `node:net`: they tell of silence, and do not end it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Loop } from "../mod.ts";
import { type AddressInfo, connect, createServer, type Server } from "../net.ts";
import { bestBackend } from "./support/backends.ts";
import { within } from "./support/drive.ts";

async function withLoop(body: (loop: Loop) => Promise<void>): Promise<void> {
  using loop = new Loop({ backend: bestBackend });
  loop.attach();
  await within(body(loop), "the test");
}

/** Listens on a free port; the port. */
async function listenOn(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}

test("a socket that was quiet emits timeout, and lives on", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop }, (socket) => void socket.pipe(socket));
    const port = await listenOn(server);
    const socket = connect({ port, host: "127.0.0.1", loop, timeout: 10 });
    await once(socket, "timeout");
    assert.equal(socket.timeout, 10);
    socket.write("still there");
    const [data] = await once(socket, "data");
    assert.equal(String(data), "still there");
    await once(socket, "timeout");
    let calls = 0;
    const onTimeout = (): void => void (calls += 1);
    socket.setTimeout(5, onTimeout);
    await once(socket, "timeout");
    assert.equal(calls, 1);
    socket.setTimeout(0, onTimeout);
    assert.equal(socket.listenerCount("timeout"), 0);
    socket.end();
    await once(socket, "close");
    await closed(server);
  });
});

test("a timeout of weeks does not come at once, and one that is none is refused", async () => {
  await withLoop(async (loop) => {
    const server = createServer({ loop });
    const port = await listenOn(server);
    const patient = connect({ port, host: "127.0.0.1", loop, timeout: 1e12 });
    patient.on("timeout", () => assert.fail("it was not quiet for so long"));
    const hasty = connect({ port, host: "127.0.0.1", loop, timeout: 20 });
    await once(hasty, "timeout");
    for (const bad of [-1, NaN, Infinity, "10", undefined]) {
      assert.throws(() => patient.setTimeout(bad as number), { code: "INVALID_ARGUMENT" });
    }
    assert.equal(patient.timeout, 1e12);
    for (const socket of [patient, hasty]) socket.destroy();
    await closed(server);
  });
});
