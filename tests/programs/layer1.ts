// Talks to itself over streams on the shared loop, and ends by itself or stays: `layer1 HOW`.

import process from "node:process";
import { connect, listen } from "../../mod.ts";

const [how] = process.argv.slice(2);
const server = await listen("tcp://127.0.0.1:0");
const stream = await connect(server.endpoint);
const far = (await server.accept())!;
await stream.write("hello");
console.log(new TextDecoder().decode(await far.read() ?? undefined));
if (how === "close") {
  server.close();
  await Promise.all([stream.close(), far.close()]);
} else if (how === "unref") {
  for (const handle of [server, stream, far]) handle.unref();
} else if (how === "wait") {
  // Waits for what never comes, and that does not keep the process alive.
  for (const handle of [server, stream, far]) handle.unref();
  void stream.read();
  void server.accept();
} else if (how === "shutdown") {
  const shutdown = server.shutdown({ timeoutMs: 60_000 });
  await Promise.all([stream.close(), far.close()]);
  console.log(`${await shutdown} aborted`);
} else if (how === "stay") {
  console.log(`listening ${server.address.port}`);
}
