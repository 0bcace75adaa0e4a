// UDP echo over Deno.listenDatagram, one datagram after the other, as its documentation has it.

import { announce, portArgument } from "./protocol.ts";

interface NetAddress {
  readonly port: number;
}

interface DenoSocket {
  readonly addr: NetAddress;
  receive(buffer: Uint8Array): Promise<[Uint8Array, NetAddress]>;
  send(data: Uint8Array, to: NetAddress): Promise<number>;
}

interface DenoGlobal {
  listenDatagram(options: { transport: "udp"; hostname: string; port: number }): DenoSocket;
}

const { listenDatagram } = (globalThis as unknown as { Deno: DenoGlobal }).Deno;
const socket = listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: portArgument() });
announce(socket.addr.port);
const buffer = new Uint8Array(2048);
for (;;) {
  const [data, from] = await socket.receive(buffer);
  await socket.send(data, from);
}
