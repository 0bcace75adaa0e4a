// An echo server that lives in the host's event loop, beside its timers, promises and fetch. With
// --once it serves itself one client and ends.
import process from "node:process";
import { Loop } from "../mod.ts";

const once = process.argv.includes("--once");
const loop = new Loop();
const listener = loop.listen(once ? "tcp://127.0.0.1:0" : "tcp://127.0.0.1:7000", {
  data: (conn, lease) => void conn.send(lease),
});
loop.attach();
console.log(`listening on ${listener.endpoint} (${loop.backend})`);

// The host's own work goes on as ever; while there is none of either, the process sleeps.
const ticker = setInterval(() => console.log(`${loop.stats().accepted} accepted`), 500);
const page = await fetch("data:text/plain,fetched beside the loop");
console.log(await page.text());

if (once) {
  loop.connect(listener.address, {
    open: (conn) => void conn.send("hello"),
    data(conn, lease): void {
      console.log(`echoed ${new TextDecoder().decode(lease.bytes)}`);
      conn.close();
      listener.close();
      clearInterval(ticker); // nothing is left: the process ends
    },
  });
}
