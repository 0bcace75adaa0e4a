// The limit of select: descriptors from 1,024 on are refused by name, wherever they come from.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IoError, Loop } from "../mod.ts";
import { withLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { Pipe } from "./support/pipe.ts";
import { anyPort, listenEcho, Recorder } from "./support/streams.ts";

const limit = 1024;

/** Takes descriptors until the next one is at the limit or above. */
function fill(): Pipe[] {
  const pipes = [new Pipe()];
  while (pipes.at(-1)!.write < limit) pipes.push(new Pipe());
  return pipes;
}

function release(pipes: readonly Pipe[]): void {
  for (const pipe of pipes) pipe[Symbol.dispose]();
}

function isLimit(error: unknown): boolean {
  return error instanceof IoError && error.code === "DESCRIPTOR_LIMIT" && error.advice !== "";
}

test("listening, connecting and watching above the limit are refused", async () => {
  await withLoop({ backend: "select" }, (loop) => {
    const listener = listenEcho(loop);
    const pipes = fill();
    try {
      assert.throws(() => loop.listen(anyPort, {}), isLimit);
      assert.throws(() => loop.connect(listener.address, {}), isLimit);
      assert.throws(() => loop.watch(pipes.at(-1)!.write, { writable: true }, () => {}), isLimit);
    } finally {
      release(pipes);
    }
    // Below it everything goes on.
    const recorder = new Recorder();
    const conn = loop.connect(listener.address, recorder);
    conn.send("hello");
    turnUntil(loop, () => recorder.text === "hello", "the echo");
    conn.close();
    listener.close();
  });
});

test("a connection accepted above the limit is reset and reported, and others follow", async () => {
  using other = new Loop();
  await withLoop({ backend: "select" }, (loop) => {
    const codes: string[] = [];
    const listener = loop.listen(anyPort, {
      data: (conn, lease) => void conn.send(lease),
      error: (_, error) => void codes.push(error.code),
    });
    const pipes = fill();
    const refused = new Recorder();
    other.connect(listener.address, refused);
    turnUntil(loop, () => {
      other.turn();
      return refused.isClosed && codes.length > 0;
    }, "reset");
    assert.ok(codes.every((code) => code === "DESCRIPTOR_LIMIT"));
    release(pipes);
    const served = new Recorder();
    const conn = other.connect(listener.address, served);
    conn.send("hello");
    turnUntil(loop, () => {
      other.turn();
      return served.text === "hello";
    }, "the echo");
    conn.abort();
    listener.close();
    turnUntil(loop, () => {
      other.turn();
      return loop.stats().openConnections === 0;
    }, "the end");
  });
});
