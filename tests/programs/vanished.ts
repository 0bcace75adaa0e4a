// Connections whose peer is not reachable any more, because the network of this namespace goes
// down: one that has bytes to send, one that is silent, and one that nobody looks after.

import { execFileSync } from "node:child_process";
import process from "node:process";
import { type BackendName, Loop } from "../../mod.ts";

const loop = new Loop({ backend: process.argv[2] as BackendName });
let accepted = 0;
const listener = loop.listen("tcp://127.0.0.1:0", { open: () => void (accepted += 1) });
const ends = new Map<string, string>();

function connect(name: string, options: object): ReturnType<Loop["connect"]> {
  return loop.connect(listener.address, {
    close: (_, error) => void ends.set(name, error?.code ?? "null"),
  }, options);
}

const keepAlive = { idleSeconds: 1, intervalSeconds: 1, count: 1 };
const conns = {
  sending: connect("sending", { userTimeoutMs: 700 }),
  silent: connect("silent", { keepAlive }),
  plain: connect("plain", {}),
};

function until(done: () => boolean): void {
  for (let turn = 0; turn < 1_500 && !done(); turn++) loop.turn(10_000);
}

until(() => accepted === 3 && Object.values(conns).every((conn) => conn.state === "open"));
execFileSync("ip", ["link", "set", "lo", "down"]);
conns.sending.send("to nobody");
until(() => ends.size === 2);
console.log(JSON.stringify({
  sending: ends.get("sending"),
  silent: ends.get("silent"),
  plain: conns.plain.state,
}));
loop.close();
