// Talks to itself over sockets in the shape of `node:net`, and ends by itself: `net close|unref`.

import process from "node:process";
import { type AddressInfo, connect, createServer } from "../../net.ts";

const [how] = process.argv.slice(2);
const server = createServer((socket) => {
  if (how === "unref") socket.unref();
  socket.pipe(socket);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1", () => socket.write("hello"));
  socket.on("data", (data) => {
    console.log(String(data));
    if (how === "unref") {
      socket.unref();
      server.unref();
    } else {
      socket.end();
      server.close();
    }
  });
});
