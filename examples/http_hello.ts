// A small HTTP/1.1 server on layer 0, with keep-alive and pipelining: enough for curl and wrk. It
// answers each request with the same page and takes no bodies. With --any-port it takes a free port
// instead of 8080; with --once it asks itself once and ends.
import process from "node:process";
import { Loop } from "../mod.ts";

const once = process.argv.includes("--once");
const port = once || process.argv.includes("--any-port") ? 0 : 8080;
const body = "hello\n";
const page = new TextEncoder().encode(
  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" +
    `Content-Length: ${body.length}\r\n\r\n${body}`,
);
const tooLarge = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n";
const maxHeadLength = 16_384;
const decoder = new TextDecoder("latin1");

const loop = new Loop();
const listener = loop.listen({ transport: "tcp", host: "127.0.0.1", port }, {
  open(conn): void {
    conn.context = ""; // a request that has not arrived as a whole
  },
  data(conn, lease): void {
    const heads = `${conn.context}${decoder.decode(lease.bytes)}`.split("\r\n\r\n");
    const rest = heads.pop() ?? "";
    for (const head of heads) {
      // Whoever asks on and on and does not read the answers is not waited for.
      if (conn.send(page) === "full") return conn.abort();
      if (/ HTTP\/1\.0|\r\nconnection: *close/i.test(head)) return conn.close();
    }
    conn.context = rest;
    if (rest.length <= maxHeadLength) return;
    conn.send(tooLarge);
    conn.close();
  },
});
const url = `http://127.0.0.1:${listener.address.port}/`;
console.log(`listening on ${url} (${loop.backend})`);

if (once) {
  loop.attach();
  const answer = await fetch(url, { headers: { connection: "close" } });
  console.log(`${answer.status} ${(await answer.text()).trimEnd()}`);
} else {
  await loop.run();
}
loop.close();
