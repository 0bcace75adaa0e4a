// What the commands share: durations, counts as text, and how a signal ends them.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { durationMs } from "../src/command/duration.ts";
import { Interrupt } from "../src/command/interrupt.ts";
import { Misuse } from "../src/command/misuse.ts";
import { type Counts, countsText, Totals } from "../src/command/totals.ts";
import { within } from "./support/drive.ts";

test("durations are seconds unless they name a unit", () => {
  const cases: [text: string, ms: number][] = [
    ["0", 0],
    ["30", 30_000],
    ["1.5", 1_500],
    ["1.5s", 1_500],
    ["200ms", 200],
    ["0.0001s", 1],
    ["5m", 300_000],
    ["1h", 3_600_000],
  ];
  for (const [text, ms] of cases) assert.equal(durationMs("--for", text), ms, text);
});

test("what is no duration is misuse, and names the option", () => {
  for (const text of ["", "s", "-1", "1e3", "1d", "1 s", "Infinity", "61m", "1.5.5", "0x10"]) {
    assert.throws(() => durationMs("--for", text), (error: Error) => {
      return error instanceof Misuse && error.message.startsWith(`--for ${JSON.stringify(text)}:`);
    }, text);
  }
});

test("counts as people read them", () => {
  assert.equal(countsText({ open: 1_234, receivedBytes: 0 }), "1,234 open, 0 bytes received");
  assert.equal(countsText({ sentBytes: 1_536, idleEnds: 2 }), "1.5 KiB sent, 2 idle ends");
  assert.equal(
    countsText({ sentBytes: 3 << 20 }, { sentBytes: 1 << 20 }, 2),
    [
      "3.0 MiB sent (1.0 MiB/s)",
    ].join(),
  );
});

test("totals are told at the end, as text and as JSON", () => {
  const lines: string[] = [];
  let counts: Counts = { accepted: 0 };
  for (const json of [false, true]) {
    using _totals = new Totals({ read: () => counts, json, print: (line) => lines.push(line) });
    counts = { accepted: 2 };
  }
  assert.match(lines[0], /^ended after [\d.]+ s: 2 accepted$/);
  const { seconds, ...end } = JSON.parse(lines[1]);
  assert.deepEqual(end, { event: "end", accepted: 2 });
  assert.ok(seconds >= 0);
  assert.equal(lines.length, 2);
});

test("a signal aborts once, and afterwards signals are the process's own again", async () => {
  const before = process.listenerCount("SIGTERM");
  {
    using interrupt = new Interrupt();
    assert.equal(process.listenerCount("SIGTERM"), before + 1);
    const aborted = new Promise<void>((resolve) => {
      interrupt.signal.addEventListener("abort", () => resolve());
    });
    process.kill(process.pid, "SIGTERM");
    await within(aborted, "the signal");
    assert.equal(process.listenerCount("SIGTERM"), before);
  }
  using _unused = new Interrupt();
  assert.equal(process.listenerCount("SIGINT"), 1);
});
