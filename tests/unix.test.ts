// Connections over Unix sockets, by path and by a name of Linux.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";

/** Calls `body` with a path in a folder of its own. */
async function withPath(body: (path: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-"));
  try {
    await body(join(folder, "socket"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

testLoop("an echo over a Unix socket, with the addresses of both ends", (loop) => {
  return withPath((path) => {
    const server = loop.listen(`unix:${path}`, { data: (conn, lease) => void conn.send(lease) });
    assert.equal(server.endpoint, `unix:${path}`);
    let received = "";
    let isOver = false;
    const client = loop.connect(server.address, {
      open: (conn) => void conn.send("hello"),
      data(conn, lease): void {
        received += new TextDecoder().decode(lease.bytes);
        assert.equal(conn.remoteAddress.path, path);
        assert.equal(conn.localAddress.path, "");
        conn.close();
      },
      close(_conn, error): void {
        assert.equal(error, null);
        isOver = true;
      },
    });
    turnUntil(loop, () => isOver, "the echo");
    assert.equal(received, "hello");
    assert.equal(client.state, "closed");
    server.close();
  });
});
