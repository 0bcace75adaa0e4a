// One figure per way to find messages of 64 bytes in a stream: by a segmenter that native code
// executes, by a function, and by hand in a `data` handler. Both ends are on one loop, and what the
// sender costs is the same for all. Arguments: seconds per visit, rounds.

import process from "node:process";
import {
  type Connection,
  type ConnectionHandlers,
  Loop,
  Segment,
  type Segmenter,
} from "../../mod.ts";

const seconds = Number(process.argv[2] ?? 0.3);
const rounds = Number(process.argv[3] ?? 3);

const messageBytes = 64;
const headerBytes = 2;
/** Messages of one send; the stream does not fit the buffers, so that some lie across two. */
const batch = makeBatch(250);

function makeBatch(count: number): Uint8Array {
  const bytes = new Uint8Array(count * messageBytes);
  for (let at = 0; at < bytes.length; at += messageBytes) {
    bytes[at + 1] = messageBytes - headerBytes;
    bytes.fill(at, at + headerBytes, at + messageBytes);
  }
  return bytes;
}

/** What a program does with a message. */
class Sink {
  count = 0;
  sum = 0;

  take(message: Uint8Array): void {
    this.count += 1;
    this.sum += message[headerBytes];
  }
}

/** Cuts `data` as a program without segmenters does. */
function byHand(sink: Sink): ConnectionHandlers {
  let rest: Uint8Array = new Uint8Array(0);
  return {
    data(_, lease): void {
      let bytes = lease.bytes;
      if (rest.length > 0) {
        const joined = new Uint8Array(rest.length + bytes.length);
        joined.set(rest);
        joined.set(bytes, rest.length);
        bytes = joined;
      }
      let at = 0;
      while (at + headerBytes <= bytes.length) {
        const end = at + headerBytes + (bytes[at] << 8 | bytes[at + 1]);
        if (end > bytes.length) break;
        sink.take(bytes.subarray(at, end));
        at = end;
      }
      rest = bytes.slice(at);
    },
  };
}

const functional: Segmenter = (bytes) =>
  bytes.length < headerBytes ? Segment.needMore : headerBytes + (bytes[0] << 8 | bytes[1]);

const contestants: Readonly<Record<string, Segmenter | undefined>> = {
  "by hand": undefined,
  "declared": { kind: "length", width: 2 },
  "function": functional,
};

/** Messages per second of processor time. */
function visit(segmenter: Segmenter | undefined): number {
  const loop = new Loop();
  const sink = new Sink();
  const handlers: ConnectionHandlers = segmenter === undefined
    ? byHand(sink)
    : { message: (_, lease) => sink.take(lease.bytes) };
  const fill = (conn: Connection): void => {
    while (conn.send(batch) !== "full");
  };
  const listener = loop.listen("tcp://127.0.0.1:0", handlers, { segmenter });
  loop.connect(listener.address, { open: fill, drain: fill });
  while (sink.count < 100_000) loop.turn(1_000);
  const first = sink.count;
  const started = process.cpuUsage();
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) for (let turn = 0; turn < 20; turn++) loop.turn(1_000);
  const { user, system } = process.cpuUsage(started);
  const messages = sink.count - first;
  loop.close();
  return messages / ((user + system) / 1e6);
}

const rates = new Map<string, number[]>();
for (let round = 0; round < rounds; round++) {
  for (const [contestant, segmenter] of Object.entries(contestants)) {
    const known = rates.get(contestant) ?? [];
    known.push(visit(segmenter));
    rates.set(contestant, known);
  }
}
for (const [contestant, all] of rates) {
  const perSecond = all.toSorted((left, right) => left - right)[all.length >> 1];
  console.log(JSON.stringify({ contestant, perSecond: Math.round(perSecond) }));
}
