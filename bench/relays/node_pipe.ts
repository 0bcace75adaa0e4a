// A TCP relay over node:net: two sockets piped into each other.

import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { announce, portArgument } from "../servers/protocol.ts";
import { targetArgument } from "./arguments.ts";

const target = targetArgument();

const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const upstream = connect({
    host: "127.0.0.1",
    port: target,
    noDelay: true,
    allowHalfOpen: true,
  });
  client.pipe(upstream);
  upstream.pipe(client);
  client.on("error", () => upstream.destroy());
  upstream.on("error", () => client.destroy());
});
server.listen({ host: "127.0.0.1", port: portArgument(), backlog: 4096 }, () => {
  announce((server.address() as AddressInfo).port);
});
