// Connects three times with fast open. The first gets a cookie, with which the others send at once;
// what the kernel has counted is told.

import { readFileSync } from "node:fs";
import process from "node:process";
import { type BackendName, Loop } from "../../mod.ts";

const loop = new Loop({ backend: process.argv[2] as BackendName });
const received: string[] = [];
const listener = loop.listen("tcp://127.0.0.1:0", {
  data(conn, lease): void {
    received.push(new TextDecoder().decode(lease.bytes));
    conn.close();
  },
}, { fastOpenBacklog: 16 });

for (let index = 0; index < 3; index++) {
  let isClosed = false;
  loop.connect(listener.address, {
    open: (conn) => void conn.send(`${index}:hello`),
    close: () => void (isClosed = true),
  }, { fastOpen: true });
  for (let turn = 0; turn < 500 && !isClosed; turn++) loop.turn(10_000);
}

/** Counters of the kernel's TCP extensions, by name. */
const [names, values] = readFileSync("/proc/net/netstat", "utf8").split("\n")
  .filter((line) => line.startsWith("TcpExt:")).map((line) => line.split(" "));
const count = (name: string): number => Number(values[names.indexOf(name)]);
console.log(JSON.stringify({
  received,
  active: count("TCPFastOpenActive"),
  passive: count("TCPFastOpenPassive"),
}));
loop.close();
