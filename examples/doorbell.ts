// A Worker that computes hands its results to the loop of the main thread: numbers go through
// shared memory, and a doorbell tells the loop that there are some. The Worker has no loop.
//
//     deno run --allow-ffi --allow-read examples/doorbell.ts
//     bun examples/doorbell.ts
//
// However fast the Worker is, rings come together: one wake-up may find many numbers.

import { isMainThread, Worker, workerData } from "node:worker_threads";
import { type DoorbellMessage, Loop, ring } from "../mod.ts";

const wanted = 10_000;

interface Work {
  readonly doorbell: DoorbellMessage;
  /** How many primes there are so far, and then each of them. */
  readonly shared: SharedArrayBuffer;
}

/** The Worker: finds primes. */
function compute({ doorbell, shared }: Work): void {
  const words = new Int32Array(shared);
  let count = 0;
  for (let candidate = 2; count < wanted; candidate++) {
    if (!isPrime(candidate)) continue;
    words[1 + count] = candidate;
    count += 1;
    Atomics.store(words, 0, count);
    ring(doorbell);
  }
}

function isPrime(candidate: number): boolean {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) {
    if (candidate % divisor === 0) return false;
  }
  return true;
}

/** The main thread: a loop that could serve connections meanwhile. */
function collect(): void {
  const shared = new SharedArrayBuffer(4 * (1 + wanted));
  const words = new Int32Array(shared);
  const loop = new Loop();
  let seen = 0;
  const doorbell = loop.doorbell(() => {
    seen = Atomics.load(words, 0);
    if (seen < wanted) return;
    console.log(`${seen} primes, the last is ${words[seen]}`);
    doorbell.close();
    void worker.terminate();
  });
  const work: Work = { doorbell: doorbell.message, shared };
  const worker = new Worker(new URL(import.meta.url), { workerData: work });
  loop.attach();
}

if (isMainThread) collect();
else compute(workerData as Work);
