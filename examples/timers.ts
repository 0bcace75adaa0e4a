// Timers, deferrals and leases that outlive their handler: a server that answers a little later.
import { Loop } from "../mod.ts";

const loop = new Loop();
const listener = loop.listen("tcp://127.0.0.1:0", {
  data(conn, lease): void {
    const kept = lease.retain(); // ours until it is sent or released
    loop.startTimer(() => {
      if (conn.state === "open") conn.send(kept);
      kept[Symbol.dispose](); // does nothing once it was sent
    }, { delayUs: 20_000 });
  },
});

let sentAtUs = 0;
loop.connect(listener.address, {
  open(conn): void {
    sentAtUs = loop.now();
    conn.send("later");
  },
  data(conn, lease): void {
    const text = new TextDecoder().decode(lease.bytes);
    console.log(`${text}: after ${Math.round((loop.now() - sentAtUs) / 1000)} ms`);
    conn.close();
    listener.close();
  },
});

let ticks = 0;
loop.startTimer((timer) => {
  ticks += 1;
  loop.defer(() => console.log(`tick ${ticks}, at the end of its turn`));
  if (ticks === 3) timer.cancel();
}, { delayUs: 0, periodUs: 10_000 });

await loop.run();
loop.close();
