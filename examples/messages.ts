// Requests and answers as messages with their length before them, in one connection and in any
// order: each has a number, and the server takes its time with some of them.
//
//     deno run --allow-ffi examples/messages.ts
//     bun examples/messages.ts
//
// Native code finds out where messages end. The handlers get whole ones, where they lie.

import { type Connection, type LengthSegmenter, Loop } from "../mod.ts";

/** Four bytes of length, which count what follows; then four of a number, and a text. */
const segmenter: LengthSegmenter = { kind: "length", stripped: true, maxLength: 65_536 };
const decoder = new TextDecoder();
const encoder = new TextEncoder();

function encode(number: number, text: string): Uint8Array {
  const body = encoder.encode(text);
  const message = new Uint8Array(8 + body.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, 4 + body.length);
  view.setUint32(4, number);
  message.set(body, 8);
  return message;
}

function decode(bytes: Uint8Array): { readonly number: number; readonly text: string } {
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return { number, text: decoder.decode(bytes.subarray(4)) };
}

const loop = new Loop();

const listener = loop.listen("tcp://127.0.0.1:0", {
  message(conn, lease): void {
    const { number, text } = decode(lease.bytes);
    const answer = encode(number, text.toUpperCase());
    if (!text.startsWith("slow")) conn.send(answer);
    else loop.startTimer(() => void conn.send(answer), { delayUs: 20_000 });
  },
}, { segmenter });

const requests = ["slow and steady", "quick", "slow again", "at once"];
const waiting = new Map<number, string>();

loop.connect(listener.address, {
  open(conn: Connection): void {
    for (const [number, text] of requests.entries()) {
      waiting.set(number, text);
      conn.send(encode(number, text));
    }
  },
  message(conn, lease): void {
    const { number, text } = decode(lease.bytes);
    console.log(`${waiting.get(number)} -> ${text}`);
    waiting.delete(number);
    if (waiting.size > 0) return;
    conn.close();
    listener.close();
  },
}, { segmenter });

await loop.run();
loop.close();
