// One listener for both versions of IP, or for one of them.

import assert from "node:assert/strict";
import type { Connection, ListenOptions, Loop } from "../mod.ts";
import { noIpv6, testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { awaitClosed, Recorder } from "./support/streams.ts";

/** Listens on every address of IPv6, and connects over either version. */
function connectBoth(
  loop: Loop,
  options: ListenOptions,
): { readonly accepted: Connection[]; readonly recorders: Recorder[]; end(): void } {
  const accepted: Connection[] = [];
  const listener = loop.listen(
    "tcp://[::]:0",
    { open: (conn) => void accepted.push(conn) },
    options,
  );
  const { port } = listener.address;
  assert.deepEqual(listener.address, {
    transport: "tcp",
    family: "ipv6",
    host: "::",
    port,
    path: "",
  });
  const recorders = ["127.0.0.1", "[::1]"].map(() => new Recorder());
  const conns = ["127.0.0.1", "[::1]"].map((host, index) => {
    return loop.connect(`tcp://${host}:${port}`, recorders[index]);
  });
  turnUntil(loop, () => {
    const settled = recorders.filter(({ isOpen, isClosed }) => isOpen || isClosed).length;
    const open = recorders.filter(({ isOpen }) => isOpen).length;
    return settled === 2 && accepted.length === open;
  }, "both connects settled");
  return {
    accepted,
    recorders,
    end(): void {
      for (const conn of conns) conn.close();
      awaitClosed(loop, ...conns, ...accepted);
      listener.close();
    },
  };
}

testLoop(
  "a listener on [::] accepts IPv4 as well, and shows its peers' addresses",
  (loop) => {
    const { accepted, recorders, end } = connectBoth(loop, {});
    assert.equal(accepted.length, 2);
    assert.equal(accepted[0].listener!.getOption("ipv6Only"), false);
    const hosts = accepted.map((conn) => conn.remoteAddress.host).sort();
    assert.deepEqual(hosts, ["::1", "::ffff:127.0.0.1"]);
    for (const conn of accepted) {
      assert.equal(conn.remoteAddress.family, "ipv6");
      assert.equal(conn.localAddress.host, conn.remoteAddress.host);
      const isMapped = conn.remoteAddress.host !== "::1";
      const peer = recorders[isMapped ? 0 : 1].conn!;
      assert.equal(peer.localAddress.port, conn.remoteAddress.port);
      assert.equal(peer.localAddress.host, isMapped ? "127.0.0.1" : "::1");
      // What goes to an IPv4 peer has the byte as well.
      conn.setOptions({ typeOfService: 0x20, ttl: 40 });
      assert.equal(conn.getOption("typeOfService"), 0x20);
    }
    end();
  },
  {},
  { skip: noIpv6 },
);

testLoop(
  "with ipv6Only it does not, and the port is free for IPv4",
  (loop) => {
    const { accepted, recorders, end } = connectBoth(loop, { ipv6Only: true });
    assert.equal(accepted.length, 1);
    assert.equal(accepted[0].listener!.getOption("ipv6Only"), true);
    assert.equal(accepted[0].remoteAddress.host, "::1");
    assert.deepEqual(recorders[0].events, ["close:ECONNREFUSED"]);
    const { port } = accepted[0].listener!.address;
    loop.listen(`tcp://0.0.0.0:${port}`, {}).close();
    end();
  },
  {},
  { skip: noIpv6 },
);

testLoop(
  "an IPv4 listener shows plain addresses to whoever connects by a mapped one",
  (loop) => {
    const accepted: Connection[] = [];
    const listener = loop.listen("tcp://127.0.0.1:0", {
      open: (conn) => void accepted.push(conn),
    });
    const conn = loop.connect(`tcp://[::ffff:127.0.0.1]:${listener.address.port}`, {});
    turnUntil(loop, () => conn.state === "open" && accepted.length === 1, "a connection");
    assert.equal(accepted[0].remoteAddress.host, "127.0.0.1");
    assert.equal(conn.remoteAddress.host, "::ffff:127.0.0.1");
    conn.close();
    awaitClosed(loop, conn, ...accepted);
    listener.close();
  },
  {},
  { skip: noIpv6 },
);
