// The runtime's own HTTP server and client over connections of this library. With --once it asks
// itself once and ends.
import http from "node:http";
import process from "node:process";
import { type AddressInfo, connect, createServer } from "../net.ts";

const once = process.argv.includes("--once");
const pages = http.createServer((request, response) => {
  response.end(`hello ${request.socket.remoteAddress}, this is ${request.url}\n`);
});
const server = createServer((socket) => void pages.emit("connection", socket));
server.listen(once ? 0 : 8080, "127.0.0.1", () => {
  const { address, port } = server.address() as AddressInfo;
  console.log(`listening on http://${address}:${port}/`);
  if (!once) return;
  // By its type a runtime's socket is asked for; any duplex stream will do.
  const createConnection = (): never => connect(port, address) as never;
  http.get({ createConnection, path: "/page" }, async (response) => {
    let text = "";
    for await (const part of response) text += part;
    console.log(`${response.statusCode} ${text.trimEnd()}`);
    server.close();
  });
});
