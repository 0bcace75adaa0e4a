// How the tasks read what test runners and tests report, and what they make of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { blocksIn } from "../scripts/lib/doc_examples.mjs";
import {
  addNativeTests,
  demandAll,
  judge,
  type Outcome,
  skipLines,
} from "../scripts/lib/outcome.mjs";
import { describe, isExcused, neverOpened, parseRecord } from "../scripts/lib/records.mjs";
import { parseJunit, parseTap, parseZigRunner, parseZigSummary } from "../scripts/lib/results.mjs";

test("Deno's report: steps count, their parents do not", () => {
  const cases = parseJunit(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="4" failures="1" errors="0" time="0.1">
  <testsuite name="./tests/a.test.ts" tests="4" disabled="0" errors="0" failures="1">
    <testcase name="alone &amp; &lt;well&gt;" classname="./tests/a.test.ts" time="0.0"/>
    <testcase name="parent" classname="./tests/a.test.ts" time="0.0"/>
    <testcase name="parent > step" classname="./tests/a.test.ts"><failure message="no"/></testcase>
    <testcase name="left out" classname="./tests/a.test.ts"><skipped/></testcase>
  </testsuite>
</testsuites>`);
  assert.deepEqual(cases, [
    { name: "alone & <well>", status: "passed" },
    { name: "parent > step", status: "failed" },
    { name: "left out", status: "skipped" },
  ]);
});

test("Bun's report: suites nest, and a skip may have a message", () => {
  const cases = parseJunit(`<testsuites name="bun test">
  <testsuite name="tests/a.test.ts"><testsuite name="outer">
    <testcase name="inner" time="0" /></testsuite>
    <testcase name="left out"><skipped message="kernel: io_uring: no" /></testcase>
  </testsuite></testsuites>`);
  assert.deepEqual(cases, [
    { name: "outer > inner", status: "passed" },
    { name: "left out", status: "skipped", reason: "kernel: io_uring: no" },
  ]);
});

test("Node's report: a subtest precedes its parent, a directive gives the reason", () => {
  const cases = parseTap(`TAP version 13
# Subtest: parent
    # Subtest: step \\#1
    ok 1 - step \\#1
    1..1
ok 1 - parent
# Subtest: left out
ok 2 - left out # SKIP kernel: io_uring: no
# Subtest: wrong
not ok 3 - wrong
1..3`);
  assert.deepEqual(cases, [
    { name: "parent > step #1", status: "passed" },
    { name: "left out", status: "skipped", reason: "kernel: io_uring: no" },
    { name: "wrong", status: "failed" },
  ]);
});

test("the summary of a build", () => {
  assert.deepEqual(parseZigSummary("Build Summary: 7/7 steps succeeded; 102/102 tests passed"), {
    passed: 102,
    failed: 0,
    skipped: 0,
  });
  const mixed = "x\nBuild Summary: 5/7 steps succeeded (1 failed); 95/102 tests passed " +
    "(6 skipped, 1 failed)\ntest failure";
  assert.deepEqual(parseZigSummary(mixed), { passed: 95, failed: 1, skipped: 6 });
  assert.equal(parseZigSummary("error: the build itself failed"), undefined);
});

test("native tests that run on their own", () => {
  const started = "1/2 a.test.one...OK\n2/2 a.test.two...";
  assert.deepEqual(parseZigRunner(`${started}OK\nAll 2 tests passed.\n==1== ERROR SUMMARY`), {
    passed: 2,
    failed: 0,
    skipped: 0,
  });
  assert.deepEqual(parseZigRunner(`${started}SKIP\n1 passed; 1 skipped; 0 failed.\n`), {
    passed: 1,
    failed: 0,
    skipped: 1,
  });
  assert.equal(parseZigRunner(started), undefined);
});

test("native tests of which none is counted have failed", () => {
  const cases: [counts: Parameters<typeof addNativeTests>[1], code: number, failed: number][] = [
    [{ passed: 3, failed: 0, skipped: 1 }, 0, 0],
    [{ passed: 3, failed: 2, skipped: 0 }, 1, 2],
    // A sanitizer has found something.
    [{ passed: 3, failed: 0, skipped: 0 }, 99, 1],
    [{ passed: 0, failed: 0, skipped: 3 }, 0, 1],
    [undefined, 0, 1],
    [undefined, 1, 1],
  ];
  for (const [counts, code, failed] of cases) {
    const stage: Outcome = { passed: 0, failed: 0, skipped: [], output: "" };
    addNativeTests(stage, counts, { code, output: "what they printed" });
    assert.equal(stage.failed, failed, JSON.stringify([counts, code]));
    assert.equal(stage.passed, counts?.passed ?? 0);
    assert.equal(stage.skipped.length, counts?.skipped ?? 0);
    assert.match(stage.output, code === 0 && failed > 0 ? /No tests were counted/ : /printed/);
  }
});

const lines = [
  "kernel\t6.18.44",
  "offers\tio_uring",
  "offers\tepoll",
  "opened\tio_uring\t2\tminWait napi\t clamp coop_taskrun",
  "opened\tio_uring\t0\tnapi sqpoll\t clamp defer_taskrun",
  "skipped\t\tkernel: no seccomp filters",
  "skipped\tover IPv6\tkernel: IPv6: no address",
  "opened\tepoll\t0\t\t",
  "",
];

/** What a stage with one test that passed leaves. */
function outcome(...skipped: string[]): Outcome {
  const cases = skipped.map((name) => ({ name, status: "skipped" as const }));
  return { passed: 1, failed: 0, skipped: cases, output: "" };
}

test("a record tells backends, rungs and reasons", () => {
  const record = parseRecord(lines.join("\n"));
  assert.deepEqual(neverOpened(record), []);
  assert.equal(
    describe(record),
    "io_uring (rungs 0, 2; minWait napi sqpoll; CLAMP COOP_TASKRUN DEFER_TASKRUN), epoll " +
      "on Linux 6.18.44",
  );
  const stage = outcome("a native test", "over IPv6");
  judge(stage, record, true);
  assert.equal(stage.failed, 0);
  assert.deepEqual(stage.skipped.map(({ reason }) => reason), [
    "kernel: no seccomp filters",
    "kernel: IPv6: no address",
  ]);
});

test("a backend that is offered and that no test opened is a failure of a whole run", () => {
  const record = parseRecord(lines.filter((line) => !line.startsWith("opened\tepoll")).join("\n"));
  assert.deepEqual(neverOpened(record), ["epoll"]);
  const whole = outcome();
  judge(whole, record, true);
  assert.equal(whole.failed, 1);
  assert.match(whole.output, /offers epoll, and no test has opened it/);
  const part = outcome();
  judge(part, record, false);
  assert.equal(part.failed, 0);
  const silent = outcome();
  judge(silent, parseRecord(""), true);
  assert.equal(silent.failed, 1);
});

test("in CI a skip is a failure, unless the kernel is the reason", () => {
  const stage = outcome("a native test", "over IPv6", "without a tool", "without a reason");
  judge(stage, parseRecord(lines.concat("skipped\twithout a tool\tno setpriv").join("\n")), true);
  assert.deepEqual(skipLines(stage), [
    "a native test (kernel: no seccomp filters)",
    "over IPv6 (kernel: IPv6: no address)",
    "without a tool (no setpriv)",
    "without a reason (no reason given)",
  ]);
  demandAll(stage);
  assert.equal(stage.failed, 2);
  assert.match(stage.output, /without a tool \(no setpriv\)/);
  assert.match(stage.output, /without a reason \(no reason given\)/);
  assert.equal(stage.skipped.length, 2);

  const absent = { ...outcome(), absent: "bun" };
  demandAll(absent);
  assert.equal(absent.failed, 1);
});

test("tests that were skipped for one reason are one line", () => {
  const stage = outcome("one", "two", "three");
  for (const skip of stage.skipped) skip.reason = "kernel: kqueue: no";
  assert.deepEqual(skipLines(stage), ["one and 2 more (kernel: kqueue: no)"]);
});

test("only kernel and Valgrind excuse", () => {
  for (const reason of ["kernel: io_uring: old", "valgrind: no mlock2"]) {
    assert.ok(isExcused(reason), reason);
  }
  for (const reason of [undefined, "", "kernel:", "kernel: ", "a kernel: no", "no setpriv"]) {
    assert.ok(!isExcused(reason), reason);
  }
});

test("examples are the blocks that say nothing but their language", () => {
  const text = "/**\n * @example\n * ```ts\n * one();\n *\n * two();\n * ```\n *\n" +
    " * ```ts no-run\n * three();\n * ```\n */\n";
  assert.deepEqual(blocksIn(text), ["one();\n\ntwo();\n"]);
});
