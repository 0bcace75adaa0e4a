// What a datagram socket can be set to, each option read back; groups, broadcast, and what the
// kernel tells beside datagrams.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import process from "node:process";
import type { DatagramSettings, Lease, Loop } from "../mod.ts";
import { noIpv6 } from "./support/backends.ts";
import { anyUdp, Mailbox, testDatagrams } from "./support/datagrams.ts";
import { turns, turnUntil } from "./support/drive.ts";
import { content } from "./support/streams.ts";

const isLinux = process.platform === "linux";
const notLinux = isLinux ? false : "Linux alone tells it";
const loopback = Object.entries(networkInterfaces())
  .find(([, addresses]) => addresses?.some(({ address }) => address === "127.0.0.1"));
/** Linux gives the loopback interface this index in every network namespace. */
const loopbackIndex = 1;
const noLoopback = isLinux && loopback !== undefined ? false : "no index of the loopback interface";

const values: Required<Omit<DatagramSettings, "mark" | "busyPollUs">> = {
  broadcast: true,
  sendBufferBytes: 20_000,
  receiveBufferBytes: 30_000,
  typeOfService: 0x2a,
  ttl: 17,
  multicastTtl: 3,
  multicastLoop: false,
  multicastInterface: 0,
  priority: 4,
};

function check(loop: Loop, endpoint: string): void {
  const options = { ...values, reuseAddress: true, reusePort: true };
  const bound = loop.bind(endpoint, {}, options);
  const later = loop.bind(endpoint, {});
  later.setOptions(values);
  for (const socket of [bound, later]) {
    for (const [name, value] of Object.entries(values)) {
      const told = socket.getOption(name as keyof typeof values);
      // Linux counts its own share, too.
      const expected = name.endsWith("Bytes") && isLinux ? 2 * Number(value) : Number(value);
      assert.equal(told, expected, name);
    }
  }
  assert.equal(bound.getOption("reuseAddress"), 1);
  assert.equal(bound.getOption("reusePort"), 1);
  assert.equal(later.getOption("reusePort"), 0);
  later.setOptions({ ttl: 99, typeOfService: undefined });
  assert.equal(later.getOption("ttl"), 99);
  assert.equal(later.getOption("typeOfService"), 0x2a);
  for (const socket of [bound, later]) socket.close();
}

testDatagrams("every option is read back", (loop) => check(loop, anyUdp));
testDatagrams(
  "every option is read back, IPv6",
  (loop) => check(loop, "udp://[::1]:0"),
  {},
  noIpv6,
);

testDatagrams("options out of range or of no such socket are refused", (loop) => {
  const socket = loop.bind(anyUdp, {});
  const unix = loop.bind("unix+datagram:", {});
  for (const settings of [{ ttl: 0 }, { ttl: 256 }, { multicastTtl: -1 }, { broadcast: 1 }]) {
    assert.throws(() => socket.setOptions(settings as never), { code: "INVALID_OPTION" });
  }
  for (const settings of [{ reuseAddress: true }, { nonsense: 1 }, { toString: 1 }]) {
    assert.throws(() => socket.setOptions(settings as never), { code: "INVALID_OPTION" });
  }
  assert.throws(() => socket.setOptions(null as never), { code: "INVALID_ARGUMENT" });
  assert.throws(() => socket.getOption("nonsense" as never), { code: "INVALID_OPTION" });
  assert.throws(() => socket.getOption("ipv6Only"), { code: "UNSUPPORTED" });
  assert.throws(() => unix.setOptions({ ttl: 3 }), { code: "UNSUPPORTED" });
  assert.throws(() => unix.getOption("multicastInterface"), { code: "UNSUPPORTED" });
  assert.throws(() => unix.joinGroup("239.1.2.3"), { code: "UNSUPPORTED" });
  socket.close();
  unix.close();
});

/** An interface that takes groups of IPv6, which that of loopback seldom does. */
const scopeIndex = Object.values(networkInterfaces()).flat()
  .map((address) => address?.family === "IPv6" ? address.scopeid ?? 0 : 0)
  .find((index) => index > 0) ?? 0;
const noScope = scopeIndex > 0 ? false : "kernel: no interface takes groups of IPv6";

interface GroupCase {
  readonly group: string;
  readonly endpoint: string;
  readonly index: number;
}

function checkGroup(loop: Loop, { group, endpoint, index }: GroupCase): void {
  const first = new Mailbox(loop, endpoint, { reuseAddress: true });
  const { port, host } = first.address;
  const second = new Mailbox(loop, first.address, { reuseAddress: true });
  const sender = new Mailbox(loop, endpoint, { multicastInterface: index });
  const to = { transport: "udp", host: group, port } as const;
  const where = { interface: index };
  assert.ok(host);
  first.socket.joinGroup(group, where);
  second.socket.joinGroup(group, where);
  assert.throws(() => first.socket.joinGroup(group, where), {
    code: "EADDRINUSE",
    advice: /joined already/,
  });
  sender.socket.send("to all", to);
  turnUntil(loop, () => first.arrived.length + second.arrived.length === 2, "both members");
  assert.deepEqual([first.texts, second.texts], [["to all"], ["to all"]]);
  second.socket.leaveGroup(group, where);
  assert.throws(() => second.socket.leaveGroup(group, where), {
    code: "EADDRNOTAVAIL",
    advice: /that were joined/,
  });
  sender.socket.send("to one", to);
  turnUntil(loop, () => first.arrived.length === 2, "the member that is left");
  sender.socket.setOptions({ multicastLoop: false });
  assert.equal(sender.socket.getOption("multicastInterface"), index);
  for (const { socket } of [first, second, sender]) socket.close();
}

testDatagrams(
  "groups of IPv4",
  (loop) => {
    const index = loopbackIndex;
    checkGroup(loop, { group: "239.101.102.103", endpoint: "udp://0.0.0.0:0", index });
  },
  {},
  noLoopback,
);

testDatagrams(
  "groups of IPv6",
  (loop) => {
    // A group of this machine: nothing leaves it.
    const group = `ff01::7:1234%${scopeIndex}`;
    checkGroup(loop, { group, endpoint: "udp://[::]:0", index: scopeIndex });
  },
  {},
  noScope,
);

testDatagrams(
  "a group with one sender alone",
  (loop) => {
    const group = "232.1.2.3";
    const member = new Mailbox(loop, "udp://0.0.0.0:0");
    const sender = new Mailbox(loop, anyUdp, { multicastInterface: loopbackIndex });
    const to = { transport: "udp", host: group, port: member.address.port } as const;
    const other = { interface: loopbackIndex, source: "127.0.0.2" };
    const ours = { interface: loopbackIndex, source: "127.0.0.1" };
    member.socket.joinGroup(group, other);
    sender.socket.send("not for it", to);
    turns(loop);
    assert.equal(member.arrived.length, 0);
    member.socket.leaveGroup(group, other);
    member.socket.joinGroup(group, ours);
    sender.socket.send("for it", to);
    turnUntil(loop, () => member.arrived.length === 1, "the datagram");
    assert.deepEqual(member.texts, ["for it"]);
    for (const { socket } of [member, sender]) socket.close();
  },
  {},
  noLoopback,
);

testDatagrams("groups that are none are refused", (loop) => {
  const socket = loop.bind(anyUdp, {});
  assert.throws(() => socket.joinGroup("group"), { code: "INVALID_ARGUMENT" });
  assert.throws(() => socket.joinGroup(5 as never), { code: "INVALID_ARGUMENT" });
  assert.throws(() => socket.joinGroup("ff02::1"), { code: "INVALID_ARGUMENT" });
  assert.throws(() => socket.joinGroup("127.0.0.1"), { code: "EINVAL", advice: /group/ });
  assert.throws(() => socket.joinGroup("239.1.1.1", { source: "x" }), { code: "INVALID_ARGUMENT" });
  assert.throws(() => socket.joinGroup("239.1.1.1", { interface: -1 }), { code: "INVALID_OPTION" });
  assert.throws(() => socket.joinGroup("239.1.1.1", { interface: 99_999 }), { code: "ENODEV" });
  socket.close();
});

testDatagrams(
  "broadcast has to be allowed",
  (loop) => {
    const receiver = new Mailbox(loop, "udp://0.0.0.0:0");
    const sender = new Mailbox(loop, anyUdp);
    const to = { transport: "udp", host: "127.255.255.255", port: receiver.address.port } as const;
    sender.socket.send("forbidden", to);
    turnUntil(loop, () => sender.errors.length > 0, "the refusal");
    assert.equal(sender.errors[0].code, "EACCES");
    assert.match(sender.errors[0].advice, /Set broadcast/);
    sender.socket.setOptions({ broadcast: true });
    sender.socket.send("allowed", to);
    turnUntil(loop, () => receiver.arrived.length === 1, "the datagram");
    assert.deepEqual(receiver.texts, ["allowed"]);
    for (const { socket } of [receiver, sender]) socket.close();
  },
  {},
  noLoopback,
);

function checkPacketInfo(loop: Loop, endpoint: string, host: string): void {
  const seen: [string | null, number, number][] = [];
  const receiver = loop.bind(endpoint, {
    message: (_socket, _lease, source) =>
      void seen.push([source.localAddress, source.interface, source.ecn]),
  }, { packetInfo: true, ecn: true });
  const plain = loop.bind(endpoint, {
    message: (_socket, _lease, source) =>
      void seen.push([source.localAddress, source.interface, source.ecn]),
  });
  const sender = loop.bind(endpoint, {}, { typeOfService: 2 });
  for (const { localAddress: { port } } of [receiver, plain]) {
    sender.send("x", { transport: "udp", host, port });
    const before = seen.length;
    turnUntil(loop, () => seen.length > before, "the datagram");
  }
  sender.setOptions({ typeOfService: 0x29 });
  sender.send("x", { transport: "udp", host, port: receiver.localAddress.port });
  turnUntil(loop, () => seen.length === 3, "the last datagram");
  assert.deepEqual(seen, [[host, loopbackIndex, 2], [null, 0, 0], [host, loopbackIndex, 1]]);
  for (const socket of [receiver, plain, sender]) socket.close();
}

testDatagrams(
  "local address, interface and ECN bits",
  (loop) => {
    checkPacketInfo(loop, "udp://0.0.0.0:0", "127.0.0.1");
  },
  {},
  notLinux,
);

testDatagrams(
  "local address, interface and ECN bits, IPv6",
  (loop) => {
    checkPacketInfo(loop, "udp://[::]:0", "::1");
  },
  {},
  notLinux || noIpv6,
);

for (const gso of [true, false]) {
  testDatagrams(`bytes are cut into datagrams of one size (gso: ${gso})`, (loop) => {
    const server = new Mailbox(loop);
    const client = new Mailbox(loop, anyUdp, { gso });
    const bytes = content(1_050);
    client.socket.send(bytes, server.address, { segmentSize: 100 });
    client.socket.send("short", server.address, { segmentSize: 100 });
    turnUntil(loop, () => server.arrived.length === 12, "the parts");
    assert.deepEqual(server.arrived.map(({ length }) => length), [...Array(10).fill(100), 50, 5]);
    const whole = server.texts.slice(0, 11).join("");
    assert.equal(whole, String.fromCharCode(...bytes));
    assert.equal(loop.stats().datagramsSent, 12);
    for (const { socket } of [server, client]) socket.close();
  });
}

testDatagrams("more parts than the kernel takes at once are datagrams all the same", (loop) => {
  const server = new Mailbox(loop, anyUdp, { receiveBufferBytes: 4 << 20 });
  const client = new Mailbox(loop);
  client.socket.send(content(150), server.address, { segmentSize: 1 });
  turnUntil(loop, () => server.arrived.length === 150, "the parts");
  assert.equal(server.texts.join(""), String.fromCharCode(...content(150)));
  assert.deepEqual(client.errors, []);
  for (const { socket } of [server, client]) socket.close();
});

testDatagrams(
  "datagrams of one size come as one with gro, and their size is told",
  (loop) => {
    const sizes: [number, number][] = [];
    let text = "";
    const server = loop.bind(anyUdp, {
      message(_socket, lease: Lease, source): void {
        sizes.push([lease.length, source.segmentSize]);
        text += String.fromCharCode(...lease.bytes);
      },
    }, { gro: true });
    const client = loop.bind(anyUdp, {});
    const bytes = content(2_050);
    client.send(bytes, server.localAddress, { segmentSize: 100 });
    client.send("alone", server.localAddress);
    turnUntil(loop, () => text.length === 2_055, "all bytes");
    assert.equal(text, `${String.fromCharCode(...bytes)}alone`);
    assert.ok(sizes[0][0] > 100, "joined");
    assert.equal(sizes[0][1], 100);
    assert.deepEqual(sizes.at(-1), [5, 0]);
    for (const socket of [server, client]) socket.close();
  },
  { pool: { bufferSize: 131_072 } },
  notLinux,
);

testDatagrams("runs of one size are joined on their way, and others are not", (loop) => {
  const server = new Mailbox(loop, anyUdp, { receiveBufferBytes: 1 << 20 });
  const other = new Mailbox(loop);
  const client = new Mailbox(loop);
  const sent: string[] = [];
  const elsewhere: string[] = [];
  for (let index = 0; index < 300; index++) {
    const text = String(index).padStart(1 + (index >> 4) % 3, "_");
    const isOther = index % 23 === 0;
    (isOther ? elsewhere : sent).push(text);
    client.socket.send(text, isOther ? other.address : server.address);
  }
  turnUntil(loop, () => server.arrived.length + other.arrived.length === 300, "all of them");
  assert.deepEqual(server.texts, sent);
  assert.deepEqual(other.texts, elsewhere);
  for (const { socket } of [server, other, client]) socket.close();
});

testDatagrams(
  "what the kernel had no room for is counted",
  (loop) => {
    const server = new Mailbox(loop, anyUdp, { receiveBufferBytes: 4_096, countDrops: true });
    const client = new Mailbox(loop);
    server.socket.pause();
    turns(loop, 3, 0);
    for (let index = 0; index < 200; index++) client.socket.send("x".repeat(200), server.address);
    turns(loop, 5, 0);
    server.socket.resume();
    turnUntil(loop, () => server.arrived.length > 0, "those that it had room for");
    turns(loop);
    // It tells with the next one.
    client.socket.send("later", server.address);
    turnUntil(loop, () => server.texts.at(-1) === "later", "the last");
    assert.equal(server.arrived.length - 1 + loop.stats().datagramsDropped, 200);
    assert.ok(loop.stats().datagramsDropped > 0);
    for (const { socket } of [server, client]) socket.close();
  },
  {},
  notLinux,
);
