// The boundary: whatever bytes and handles cross it, native code answers with a status and goes on
// serving the honest.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Connection, Loop } from "../mod.ts";
import type { LoopState } from "../src/loop_state.ts";
import {
  type Functions,
  Header,
  ListenOptions,
  LoopOptions,
  MachineReport,
  Operation,
  option_unset,
  PeerCredentials,
  socket_option_count,
  SocketControl,
  Status,
} from "../src/native/abi.ts";
import { loadLibrary } from "../src/native/library.ts";
import { bestBackend, testEach, testLoop } from "./support/backends.ts";
import { turnUntil } from "./support/drive.ts";
import { bytesOf, entryWords, RawLoop } from "./support/raw_loop.ts";
import { content, ContentReader, listenEcho } from "./support/streams.ts";

const { functions } = loadLibrary();
const anyWord = fc.integer({ min: 0, max: 0xffff_ffff });
const smallWord = fc.nat(17);

/** Eight words that are nearly a submission; a generation of 0 becomes the valid one. */
const nearEntry = fc.tuple(
  fc.tuple(fc.nat(14), fc.nat(3)).map(([operation, flags]) => operation | flags << 8),
  fc.nat(6),
  fc.constantFrom(0, 0, 0, 1),
  smallWord,
  fc.constantFrom(0, 0, 0, 1),
  fc.oneof(fc.nat(20), fc.nat(600), anyWord),
  fc.oneof(fc.nat(20), fc.nat(600), anyWord),
  anyWord,
);
const anyEntry = fc.array(anyWord, { minLength: entryWords, maxLength: entryWords });
const entries = fc.array(fc.oneof(nearEntry, anyEntry), { maxLength: 64 });

/** A small program of its own still works. */
function checkHonest(backend: Loop["backend"]): void {
  using loop = new Loop({ backend });
  const reader = new ContentReader();
  const listener = listenEcho(loop);
  loop.connect(listener.address, {
    open: (conn) => void conn.send(content(50_000)),
    data: (_, lease) => reader.read(lease.bytes),
  });
  turnUntil(loop, () => reader.received === 50_000, "an honest echo");
}

testEach("arbitrary submissions are taken or dropped, and the loop goes on", (backend) => {
  using raw = new RawLoop(backend);
  let endpoint = raw.listenAndConnect(4);
  fc.assert(
    fc.property(entries, fc.nat(3), (entries, flags) => {
      // What was aborted or closed is opened again, so that there is always something to hit.
      if (raw.words[Header.open_listeners] === 0) endpoint = raw.listenAndConnect(0);
      if (raw.words[Header.open_connections] < 4) raw.connect(endpoint);
      raw.submissions.set(entries.flatMap((entry) => raw.aimed(entry)));
      assert.ok(raw.turn(entries.length, flags) >= 0);
      for (let turn = 0; turn < 3; turn++) assert.ok(raw.turn() >= 0);
      assert.ok(raw.words[Header.buffers_in_use] <= 128);
    }),
    { numRuns: 2_000 },
  );
  checkHonest(backend);
});

testEach("arbitrary submissions from the middle of a turn, too", (backend) => {
  using raw = new RawLoop(backend);
  let endpoint = raw.listenAndConnect(4);
  fc.assert(
    fc.property(entries, entries, fc.nat(8), (first, second, buffers) => {
      if (raw.words[Header.open_listeners] === 0) endpoint = raw.listenAndConnect(0);
      if (raw.words[Header.open_connections] < 4) raw.connect(endpoint);
      for (let taken = 0; taken < buffers; taken++) {
        const buffer = raw.takeBuffer();
        assert.ok(buffer >= 0 || buffer === Status.exhausted, `${buffer}`);
      }
      raw.submissions.set(first.flatMap((entry) => raw.aimed(entry)));
      assert.equal(functions.tp_loop_submit(raw.handle, first.length), 0);
      raw.submissions.set(second.flatMap((entry) => raw.aimed(entry)));
      assert.ok(raw.turn(second.length) >= 0);
      assert.ok(raw.turn() >= 0);
      assert.ok(functions.tp_loop_arm(raw.handle) <= 0, "nothing would wake the host");
    }),
    { numRuns: 1_000 },
  );
  checkHonest(backend);
});

testEach("a handle of an earlier connection in the same slot is stale", (backend) => {
  using raw = new RawLoop(backend);
  using peer = new Loop({ backend });
  const { endpoint } = peer.listen("tcp://127.0.0.1:0", {});
  const slot = raw.connect(endpoint);
  const generation = raw.words[Header.result_generation];
  raw.submissions.set([Operation.abort, slot, generation, 0, 0, 0, 0, 0]);
  raw.turn(1);
  for (let turn = 0; raw.words[Header.open_connections] > 0; turn++) {
    assert.ok(turn < 1_000, "the connection does not end");
    raw.turn();
  }
  // Its end was reported; from the next turn on the slot is free.
  raw.turn();
  assert.equal(raw.connect(endpoint), slot, "the slot is given out again");
  assert.notEqual(raw.words[Header.result_generation], generation);
  const address = [raw.handle, slot, generation, 0] as const;
  assert.equal(functions.tp_connection_address(...address), Status.stale_handle);
  const stale = [Operation.pause, Operation.shutdown, Operation.close, Operation.abort];
  raw.submissions.set(stale.flatMap((operation) => [operation, slot, generation, 0, 0, 0, 0, 0]));
  raw.turn(stale.length);
  assert.equal(raw.rejected, stale.length);
});

testEach("more submissions than the array holds are refused", (backend) => {
  using raw = new RawLoop(backend);
  for (const count of [raw.entries + 1, 1_000_000, 0xffff_ffff]) {
    assert.equal(raw.turn(count), Status.bad_argument);
    assert.equal(functions.tp_loop_submit(raw.handle, count), Status.bad_argument);
  }
  assert.equal(raw.turn(), 0);
});

testLoop("an honest echo completes among submissions that name nothing", (loop) => {
  const total = 300_000;
  const reader = new ContentReader();
  const listener = listenEcho(loop);
  const conn: Connection = loop.connect(listener.address, {
    open: (conn) => void conn.send(content(total)),
    data: (_, lease) => reader.read(lease.bytes),
  });
  const { queue, words } = (conn as unknown as { loop: LoopState }).loop;
  let dropped = 0;
  const bogus = fc.sample(fc.tuple(fc.nat(14), anyWord, anyWord, anyWord), 5_000);
  for (let index = 0; reader.received < total && index < bogus.length; index++) {
    const [operation, slot, generation, other] = bogus[index];
    // The generations and slots of this loop are small: none of these can be meant.
    const far = (word: number): number => (word | 0x8000_0000) >>> 0;
    if (operation === Operation.send) {
      queue.send(slot % 4, far(generation), far(other), far(slot), other, slot, index % 4, slot);
    } else if (operation === Operation.retain || operation === Operation.release) {
      queue.reference(operation, other, far(generation));
    } else if (operation === Operation.timer_start) {
      queue.startTimer(far(slot), generation, other, other);
    } else if (operation === Operation.timer_stop) {
      queue.stopTimer(slot % 4, far(generation));
    } else {
      queue.handle(operation as typeof Operation.pause, slot % 4, far(generation));
    }
    dropped += 1;
    if (index % 7 === 0) loop.turn();
  }
  turnUntil(loop, () => reader.received === total, "the honest echo");
  assert.ok(dropped > 10);
  assert.equal(loop.stats().rejected, dropped);
  assert.equal(words[Header.open_connections], 2);
  conn.close();
  listener.close();
});

testEach("arbitrary handles to every function are answered with a status", (backend) => {
  using raw = new RawLoop(backend);
  raw.listenAndConnect(2);
  const handle = anyWord.filter((handle) => handle !== raw.handle);
  type Name = Exclude<keyof Functions, "tp_abi_version" | "tp_layout_hash">;
  const calls: Record<Name, (handle: number, a: number, b: number, bytes: Uint8Array) => unknown> =
    {
      tp_probe: (_, __, ___, bytes) => functions.tp_probe(bytes, bytes.length),
      tp_loop_open: (_, __, ___, bytes) => functions.tp_loop_open(bytes, bytes.length),
      tp_loop_close: (handle) => functions.tp_loop_close(handle),
      tp_loop_region: (handle) => functions.tp_loop_region(handle) ? 0 : -1,
      tp_slab: (handle, a) => functions.tp_slab(handle, a) ? 0 : -1,
      tp_slab_bytes: (handle, a) => functions.tp_slab_bytes(handle, a),
      tp_loop_turn: (handle, a, b) => functions.tp_loop_turn(handle, a, 0, b),
      tp_loop_submit: (handle, a) => functions.tp_loop_submit(handle, a),
      tp_loop_arm: (handle) => functions.tp_loop_arm(handle),
      tp_loop_wake_descriptor: (handle) => functions.tp_loop_wake_descriptor(handle),
      tp_clock_advance: (handle, a, b) => functions.tp_clock_advance(handle, a, b),
      tp_listen: (handle, _, __, bytes) => functions.tp_listen(handle, bytes, bytes.length),
      tp_listener_address: (handle, a, b) => functions.tp_listener_address(handle, a, b),
      tp_connect: (handle, _, __, bytes) => functions.tp_connect(handle, bytes, bytes.length),
      tp_connection_address: (handle, a, b) => functions.tp_connection_address(handle, a, b, a),
      tp_relay: (handle, _, __, bytes) => functions.tp_relay(handle, bytes, bytes.length),
      tp_connection_adopt: (handle, _, __, bytes) =>
        functions.tp_connection_adopt(handle, bytes, bytes.length),
      tp_connection_read: (handle, a, b) => functions.tp_connection_read(handle, a, b),
      tp_connection_take: (handle, a, b) => functions.tp_connection_take(handle, a, b),
      tp_connection_hand_off: (handle, a, b) => functions.tp_connection_hand_off(handle, a, b),
      tp_connection_receive: (handle, _, __, bytes) =>
        functions.tp_connection_receive(handle, bytes, bytes.length),
      tp_listener_share: (handle, a, b) => functions.tp_listener_share(handle, a, b),
      tp_descriptors_stage: (handle, _, __, bytes) =>
        functions.tp_descriptors_stage(handle, bytes, bytes.length),
      tp_descriptors_read: (handle, a, _, bytes) =>
        functions.tp_descriptors_read(handle, a, bytes, bytes.length),
      tp_descriptors_forgo: (handle, a, b) => functions.tp_descriptors_forgo(handle, a, b),
      tp_descriptor_close: (_, a) => functions.tp_descriptor_close(a | 0),
      // A small number may be a descriptor of this process.
      tp_descriptor_inherit: (_, a) => functions.tp_descriptor_inherit(a | 0x4000_0000),
      tp_bind: (handle, _, __, bytes) => functions.tp_bind(handle, bytes, bytes.length),
      tp_socket_address: (handle, a, b) => functions.tp_socket_address(handle, a, b, a),
      tp_socket_request: (handle, _, __, bytes) =>
        functions.tp_socket_request(handle, bytes, bytes.length),
      tp_socket_configure: (handle, _, __, bytes) =>
        functions.tp_socket_configure(handle, bytes, bytes.length),
      tp_socket_read: (handle, _, __, bytes) =>
        functions.tp_socket_read(handle, bytes, bytes.length),
      tp_peer_credentials: (handle, _, __, bytes) =>
        functions.tp_peer_credentials(handle, bytes, bytes.length),
      tp_connection_segmenter: (handle, _, __, bytes) =>
        functions.tp_connection_segmenter(handle, bytes, bytes.length),
      tp_watch: (handle, a, b) => functions.tp_watch(handle, a | 0, b),
      tp_watch_modify: (handle, a, b) => functions.tp_watch_modify(handle, a, b, a),
      tp_watch_remove: (handle, a, b) => functions.tp_watch_remove(handle, a, b),
      tp_doorbell: (handle) => functions.tp_doorbell(handle),
      tp_doorbell_remove: (handle, a, b) => functions.tp_doorbell_remove(handle, a, b),
      tp_doorbell_ring: (_, a, b) => functions.tp_doorbell_ring(a, b, b),
      tp_buffer_take: (handle, a) => functions.tp_buffer_take(handle, a),
      tp_buffer_release: (handle, a, b) => functions.tp_buffer_release(handle, a, b),
      tp_buffer_transfer: (handle, a, b) => functions.tp_buffer_transfer(handle, a, b, a),
      tp_buffer_receive: (handle, a, b) => functions.tp_buffer_receive(handle, a, b, a),
      tp_memory_adopt: (handle, _, __, bytes) =>
        functions.tp_memory_adopt(handle, bytes, bytes.length),
      tp_pool_report: (handle, _, __, bytes) =>
        functions.tp_pool_report(handle, bytes, bytes.length),
      tp_resolve: (handle, _, __, bytes) => functions.tp_resolve(handle, bytes, bytes.length),
      tp_resolve_report: (handle, _, __, bytes) =>
        functions.tp_resolve_report(handle, bytes, bytes.length),
      tp_resolve_cancel: (handle, a, b) => functions.tp_resolve_cancel(handle, a, b),
      tp_resolver_files: (_, __, ___, bytes) => functions.tp_resolver_files(bytes, bytes.length),
    };
  const names = Object.keys(calls) as Name[];
  fc.assert(
    fc.property(
      handle,
      anyWord,
      anyWord,
      fc.uint8Array({ maxLength: 130 }),
      (handle, a, b, bytes) => {
        for (const name of names) {
          const status = calls[name](handle, a, b, bytes);
          assert.ok(typeof status === "number" && status < 0, `${name}: ${String(status)}`);
        }
      },
    ),
    { numRuns: 500 },
  );
  // The right loop, but slots, generations and regions that are not.
  fc.assert(fc.property(anyWord, anyWord.filter((word) => word > 100), (a, b) => {
    assert.equal(functions.tp_listener_address(raw.handle, a, b), Status.stale_handle);
    assert.equal(functions.tp_connection_address(raw.handle, a, b, a), Status.stale_handle);
    assert.equal(functions.tp_socket_address(raw.handle, a, b, a), Status.stale_handle);
    const far = (b | 0x4000_0000) >>> 0;
    assert.ok(!functions.tp_slab(raw.handle, far));
    assert.equal(functions.tp_slab_bytes(raw.handle, far), Status.bad_argument);
    for (
      const moved of [
        functions.tp_connection_read(raw.handle, a, b),
        functions.tp_connection_take(raw.handle, a, b),
        functions.tp_connection_hand_off(raw.handle, a, b),
        functions.tp_listener_share(raw.handle, a, b),
        functions.tp_descriptors_forgo(raw.handle, a, b),
      ]
    ) assert.equal(moved, Status.stale_handle);
    assert.ok(functions.tp_watch(raw.handle, far | 0, b) < 0);
    assert.ok(functions.tp_watch_modify(raw.handle, a, b, 1) < 0);
    assert.ok(functions.tp_watch_remove(raw.handle, a, b) < 0);
    assert.equal(functions.tp_buffer_release(raw.handle, a, b), Status.stale_handle);
    assert.equal(functions.tp_buffer_transfer(raw.handle, a, b, 1), Status.stale_handle);
    assert.equal(functions.tp_buffer_receive(raw.handle, a, b, b), Status.stale_handle);
    assert.equal(functions.tp_resolve_cancel(raw.handle, a, b), Status.stale_handle);
    const taken = functions.tp_buffer_take(raw.handle, b);
    assert.ok(b <= 65_536 || taken === Status.bad_argument);
    assert.equal(functions.tp_clock_advance(raw.handle, a, b), Status.bad_argument);
  }));
  assert.ok(raw.turn() >= 0);
});

/** A struct of the right size whose fields are arbitrary, for the most part far out of range. */
function wildStruct(byteLength: number): fc.Arbitrary<Uint32Array<ArrayBuffer>> {
  const field = fc.oneof(smallWord, anyWord, fc.integer({ min: 0x4000_0001, max: 0xffff_ffff }));
  const length = byteLength / 4 - 1;
  return fc.array(field, { minLength: length, maxLength: length })
    .map((fields) => Uint32Array.from([byteLength, ...fields]));
}

testEach("arbitrary options for listening and connecting are granted or refused", (backend) => {
  using raw = new RawLoop(backend);
  fc.assert(
    fc.property(wildStruct(ListenOptions.byte_length), (words) => {
      // An address of this machine, so that now and then one is granted.
      if (words[2] % 2 === 0) words.set([4, 0, 0, 0x0100_007f], ListenOptions.address);
      const slot = functions.tp_listen(raw.handle, bytesOf(words), words.byteLength);
      assert.ok(slot < 64);
      assert.ok(raw.turn() >= 0);
    }),
    { numRuns: 500 },
  );
  checkHonest(backend);
});

testEach("arbitrary options of open sockets are granted or refused", (backend) => {
  using raw = new RawLoop(backend);
  raw.listenAndConnect(2);
  assert.ok(raw.turn() >= 0);
  const near = wildStruct(SocketControl.byte_length);
  fc.assert(
    fc.property(near, fc.nat(2), fc.nat(3), fc.boolean(), (words, kind, slot, isSparse) => {
      words.set([kind, slot, 0], SocketControl.kind);
      // Most values are out of their range; alone they get as far as the kernel.
      if (isSparse) {
        const [only] = [words[SocketControl.socket] % socket_option_count];
        const at = SocketControl.socket + only;
        const value = words[at] % 70_000;
        words.fill(option_unset, SocketControl.socket);
        words[at] = value;
        words[SocketControl.idle_timeout_ms] %= 2 ** 30;
      }
      const bytes = bytesOf(words);
      const configured = functions.tp_socket_configure(raw.handle, bytes, bytes.length);
      const read = functions.tp_socket_read(raw.handle, bytes, bytes.length);
      assert.ok(configured <= 0 && read <= 0);
      if (kind > 1) assert.deepEqual([configured, read], Array(2).fill(Status.bad_argument));
      const who = new Uint32Array(PeerCredentials.byte_length / 4);
      who.set([PeerCredentials.byte_length, slot, 0]);
      const asked = functions.tp_peer_credentials(raw.handle, bytesOf(who), who.byteLength);
      assert.ok(asked === Status.unsupported || asked === Status.stale_handle);
      assert.ok(raw.turn() >= 0);
    }),
    { numRuns: 300 },
  );
  checkHonest(backend);
});

test("arbitrary options of a loop are refused with the field that is wrong", () => {
  fc.assert(
    fc.property(wildStruct(LoopOptions.byte_length), (words) => {
      // Out of every range, so that no loop is opened with gigabytes of buffers.
      words[LoopOptions.max_listeners] |= 0x1000_0000;
      const status = functions.tp_loop_open(bytesOf(words), words.byteLength);
      assert.equal(status, Status.bad_argument);
      const field = words[LoopOptions.error_detail];
      assert.ok(field >= LoopOptions.backend && field <= LoopOptions.spin_ceiling_us);
    }),
    { numRuns: 500 },
  );
  checkHonest(bestBackend);
});

test("structs of another size are refused, and nothing is written to them", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    const before = bytes.slice();
    for (const length of [LoopOptions.byte_length, MachineReport.byte_length]) {
      if (bytes.length === length) return;
    }
    assert.equal(functions.tp_loop_open(bytes, bytes.length), Status.bad_layout);
    assert.equal(functions.tp_probe(bytes, bytes.length), Status.bad_layout);
    assert.deepEqual(bytes, before);
  }));
});
