// An echo server and its client with web streams, `await using` and no loop in sight.
import { connect, listen } from "../mod.ts";

await using server = await listen("tcp://127.0.0.1:0");
console.log(`listening on ${server.endpoint}`);

const serving = (async () => {
  for await (const stream of server) {
    // Backpressure goes through: a client that does not read is not read from.
    stream.readable.pipeTo(stream.writable).catch((error) => console.error(error.code));
  }
})();

await using stream = await connect(server.endpoint, { timeoutMs: 5_000 });
const lines = ["one", "two", "three"].map((line) => `${line}\n`);
const writer = stream.writable.getWriter();
for (const line of lines) await writer.write(line);
await writer.close(); // ends this direction; the other one goes on

for await (const text of stream.readable.pipeThrough(new TextDecoderStream())) {
  console.log(`echoed ${JSON.stringify(text)}`);
}
console.log(`closed ${await stream.closed}`);
server.close();
await serving;
