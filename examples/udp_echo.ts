// A UDP echo server. With --once it asks itself a few datagrams and ends.
import process from "node:process";
import { Loop } from "../mod.ts";

const once = process.argv.includes("--once");
const loop = new Loop();
const server = loop.bind(once ? "udp://127.0.0.1:0" : "udp://127.0.0.1:7000", {
  message: (socket, lease, source) => void socket.send(lease, source), // nothing is copied
});
console.log(`listening on port ${server.localAddress.port} (${loop.backend})`);

if (once) {
  let missing = 3;
  const client = loop.bind("udp://127.0.0.1:0", {
    message(socket, lease): void {
      console.log(`echoed ${new TextDecoder().decode(lease.bytes)}`);
      missing -= 1;
      if (missing > 0) return;
      socket.close();
      server.close();
    },
  }, { remote: server.localAddress });
  for (const text of ["one", "two", "three"]) client.send(text);
}
await loop.run(); // ends with the last handle
loop.close();
