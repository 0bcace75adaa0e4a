// Messages between two Workers of one process: `exchange.ts TRANSPORT JOB SECONDS [BACKEND]` prints
// one line of JSON. The main thread only waits.
//
// TRANSPORT: `postMessage` (between the main thread and one Worker, which is all it can do),
// `MessageChannel`, `tcp`, `inproc`. JOB: `trip`, one message of 64 bytes there and back; `rate`,
// messages of 64 bytes one way; `leases`, buffers of 16 KiB one way. Rates count whole messages
// that the receiver has looked at: each begins with its number, which must be the next.

import { spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import process from "node:process";
import {
  isMainThread,
  MessageChannel,
  type MessagePort,
  parentPort,
  Worker,
  workerData,
} from "node:worker_threads";
import { type BackendName, type Connection, Loop } from "../../mod.ts";
import { place } from "../lib/machine.ts";

type Transport = "postMessage" | "MessageChannel" | "tcp" | "inproc";
type Job = "trip" | "rate" | "leases";

interface Task {
  readonly role: "near" | "far";
  readonly transport: Transport;
  readonly job: Job;
  readonly seconds: number;
  readonly backend: BackendName | "auto";
  readonly port?: MessagePort;
  /** Where the far Worker's loop listens. */
  readonly endpoint?: string;
}

/** What the receiver of a job has counted, or of round trips the near side. */
interface Figure {
  readonly messages: number;
  readonly seconds: number;
  readonly systemCalls: number | null;
}

/** Part of a visit that is not counted: compilers warm up in it. */
const warmupPart = 0.3;
/** Most that a sender without backpressure is ahead of the receiver. */
const aheadMax = 1024;
/** Messages that a sender writes in one go. */
const burst = 256;

const now = (): number => performance.now() / 1000;

/** Counts from the end of the warm-up on, until the time is over. */
class Meter {
  #count = 0;
  #since = 0;
  #callsSince = 0;
  readonly #start = now();
  readonly #seconds: number;
  readonly #calls: () => number | null;

  constructor(seconds: number, calls: () => number | null) {
    this.#seconds = seconds;
    this.#calls = calls;
  }

  /** The figure, once the time is over. */
  add(messages: number): Figure | null {
    this.#count += messages;
    const time = now();
    if (this.#since === 0) {
      if (time - this.#start < this.#seconds * warmupPart) return null;
      this.#since = time;
      this.#callsSince = this.#calls() ?? 0;
      this.#count = 0;
      return null;
    }
    const seconds = time - this.#since;
    if (seconds < this.#seconds) return null;
    const calls = this.#calls();
    const systemCalls = calls === null ? null : calls - this.#callsSince;
    return { messages: this.#count, seconds, systemCalls };
  }
}

/** Checks numbered messages in a stream of them. */
class Counter {
  #next = 0;
  /** Bytes of the message that has begun. */
  #begun = 0;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  /** The messages that are complete with `bytes`. */
  read(bytes: Uint8Array): number {
    const size = this.#size;
    let at = this.#begun === 0 ? 0 : size - this.#begun;
    let complete = this.#begun > 0 && at <= bytes.length ? 1 : 0;
    for (; at < bytes.length; at += size) {
      if (bytes[at] !== (this.#next & 255)) {
        throw new Error(`message ${this.#next} begins with ${bytes[at]}`);
      }
      this.#next += 1;
      if (at + size <= bytes.length) complete += 1;
    }
    this.#begun = (this.#begun + bytes.length) % size;
    return complete;
  }
}

function sizeOf(job: Job): number {
  return job === "leases" ? 16_384 : 64;
}

interface Port {
  postMessage(message: unknown): void;
  on(event: "message", listener: (message: never) => void): unknown;
}

/** Messages are arrays as they come, and a number from the receiver says how many it has had. */
function post(task: Task, port: Port, done: (figure: Figure) => void): void {
  const size = sizeOf(task.job);
  if (task.role === "far") {
    const meter = new Meter(task.seconds, () => null);
    const counter = new Counter(size);
    let received = 0;
    port.on("message", (bytes: Uint8Array) => {
      if (task.job === "trip") return port.postMessage(bytes);
      counter.read(bytes);
      received += 1;
      if (received % burst === 0) port.postMessage(received);
      const figure = meter.add(1);
      if (figure !== null) done(figure);
    });
    return;
  }
  if (task.job === "trip") {
    const meter = new Meter(task.seconds, () => null);
    port.on("message", (bytes: Uint8Array) => {
      port.postMessage(bytes);
      const figure = meter.add(1);
      if (figure !== null) done(figure);
    });
    port.postMessage(new Uint8Array(size));
    return;
  }
  let sent = 0;
  let had = 0;
  const write = (): void => {
    while (sent - had < aheadMax) {
      const bytes = new Uint8Array(size);
      bytes[0] = sent & 255;
      sent += 1;
      port.postMessage(bytes);
    }
  };
  port.on("message", (received: number) => {
    had = received;
    write();
  });
  write();
}

/** One connection between the loops of two Workers. */
async function exchange(
  task: Task,
  listening: (endpoint: string) => void,
  done: (figure: Figure) => void,
): Promise<void> {
  const loop = new Loop({ backend: task.backend, maxConnections: 64 });
  const size = sizeOf(task.job);
  const calls = (): number => loop.stats().systemCalls;
  if (task.role === "far") {
    let meter: Meter | null = null;
    const counter = new Counter(size);
    const endpoint = task.transport === "tcp" ? "tcp://127.0.0.1:0" : "inproc://bench";
    const listener = loop.listen(endpoint, {
      data(conn, lease): void {
        if (task.job === "trip") return void conn.send(lease);
        meter ??= new Meter(task.seconds, calls);
        const figure = meter.add(counter.read(lease.bytes));
        if (figure !== null) done(figure);
      },
    });
    listening(listener.endpoint);
    return await loop.run();
  }
  const meter = new Meter(task.seconds, calls);
  const bytes = new Uint8Array(size);
  let sent = 0;
  const write = (conn: Connection): void => {
    if (task.job === "leases") writeLeases(conn);
    else writeBytes(conn);
  };
  const again = (conn: Connection) => (): void => write(conn);
  const writeBytes = (conn: Connection): void => {
    for (let count = 0; count < burst; count++) {
      bytes[0] = sent & 255;
      if (conn.send(bytes) === "full") return;
      sent += 1;
    }
    loop.defer(again(conn));
  };
  const writeLeases = (conn: Connection): void => {
    for (let count = 0; count < burst; count++) {
      const lease = loop.allocate(size);
      if (lease === undefined) break;
      lease.bytes[0] = sent & 255;
      if (conn.send(lease) === "full") {
        lease.release();
        return;
      }
      sent += 1;
    }
    loop.defer(again(conn));
  };
  loop.connect(task.endpoint!, {
    open(conn): void {
      if (task.job === "trip") conn.send(bytes);
      else write(conn);
    },
    data(conn, lease): void {
      conn.send(lease);
      const figure = meter.add(1);
      if (figure !== null) done(figure);
    },
    drain: write,
  });
  await loop.run();
}

/** Keeps the calling thread on a core of its own, where there is one for each Worker. */
function pin(role: Task["role"]): void {
  const { server, load } = place();
  if (server === undefined || load === undefined) return;
  const thread = readlinkSync("/proc/thread-self").split("/").at(-1)!;
  spawnSync("taskset", ["-cp", String(role === "near" ? load : server), thread]);
}

function work(task: Task): void {
  pin(task.role);
  const port = parentPort!;
  const done = (figure: Figure): void => port.postMessage({ figure });
  if (task.transport === "postMessage") return post(task, port as unknown as Port, done);
  if (task.transport === "MessageChannel") return post(task, task.port as unknown as Port, done);
  void exchange(task, (endpoint) => port.postMessage({ endpoint }), done);
}

async function main(): Promise<void> {
  const [transport, job, seconds, backend = "auto"] = process.argv.slice(2);
  const shared = { transport, job, seconds: Number(seconds), backend } as Omit<Task, "role">;
  const file = new URL(import.meta.url);
  const workers: Worker[] = [];
  const figure = await new Promise<Figure>((resolve, reject) => {
    const start = (task: Task, ports: MessagePort[] = []): Worker => {
      const worker = new Worker(file, { workerData: task, transferList: ports });
      worker.on("error", reject);
      worker.on("message", (message: { figure?: Figure; endpoint?: string }) => {
        if (message.figure !== undefined) resolve(message.figure);
        else if (message.endpoint !== undefined) {
          start({ ...shared, role: "near", endpoint: message.endpoint });
        }
      });
      workers.push(worker);
      return worker;
    };
    if (transport === "postMessage") {
      const worker = start({ ...shared, role: "far" });
      pin("near");
      post({ ...shared, role: "near" }, worker as unknown as Port, resolve);
    } else if (transport === "MessageChannel") {
      const { port1, port2 } = new MessageChannel();
      start({ ...shared, role: "far", port: port1 }, [port1]);
      start({ ...shared, role: "near", port: port2 }, [port2]);
    } else {
      start({ ...shared, role: "far" });
    }
  });
  console.log(JSON.stringify(figure));
  for (const worker of workers) void worker.terminate();
  process.exit(0);
}

if (isMainThread) await main();
else work(workerData as Task);
