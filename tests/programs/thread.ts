// A worker that uses the main thread's loop, which must be refused, and then one of its own.
// Answers with one message.

import { parentPort, workerData } from "node:worker_threads";
import { type BackendName, Loop } from "../../mod.ts";
import { loadLibrary } from "../../src/native/library.ts";

const { handle, backend } = workerData as { handle: number; backend: BackendName };
const { functions } = loadLibrary();
const bytes = new Uint8Array(64);
const statuses = {
  tp_loop_turn: functions.tp_loop_turn(handle, 0, 0, 0),
  tp_loop_submit: functions.tp_loop_submit(handle, 0),
  tp_loop_arm: functions.tp_loop_arm(handle),
  tp_loop_wake_descriptor: functions.tp_loop_wake_descriptor(handle),
  tp_clock_advance: functions.tp_clock_advance(handle, 1, 0),
  tp_listen: functions.tp_listen(handle, bytes, bytes.length),
  tp_connect: functions.tp_connect(handle, bytes, bytes.length),
  tp_listener_address: functions.tp_listener_address(handle, 0, 0),
  tp_connection_address: functions.tp_connection_address(handle, 0, 0, 0),
  tp_connection_adopt: functions.tp_connection_adopt(handle, bytes, bytes.length),
  tp_connection_read: functions.tp_connection_read(handle, 0, 0),
  tp_connection_take: functions.tp_connection_take(handle, 0, 0),
  tp_connection_hand_off: functions.tp_connection_hand_off(handle, 0, 0),
  tp_connection_receive: functions.tp_connection_receive(handle, bytes, bytes.length),
  tp_listener_share: functions.tp_listener_share(handle, 0, 0),
  tp_descriptors_stage: functions.tp_descriptors_stage(handle, bytes, bytes.length),
  tp_descriptors_read: functions.tp_descriptors_read(handle, 0, bytes, bytes.length),
  tp_descriptors_forgo: functions.tp_descriptors_forgo(handle, 0, 0),
  tp_watch: functions.tp_watch(handle, 0, 1),
  tp_watch_modify: functions.tp_watch_modify(handle, 0, 0, 1),
  tp_watch_remove: functions.tp_watch_remove(handle, 0, 0),
  tp_doorbell: functions.tp_doorbell(handle),
  tp_doorbell_remove: functions.tp_doorbell_remove(handle, 0, 0),
  tp_buffer_take: functions.tp_buffer_take(handle, 512),
  tp_buffer_release: functions.tp_buffer_release(handle, 0, 0),
  tp_buffer_transfer: functions.tp_buffer_transfer(handle, 0, 0, 0),
  tp_buffer_receive: functions.tp_buffer_receive(handle, 0, 0, 0),
  tp_memory_adopt: functions.tp_memory_adopt(handle, bytes, bytes.length),
  tp_pool_report: functions.tp_pool_report(handle, bytes, bytes.length),
  tp_slab_bytes: functions.tp_slab_bytes(handle, 0),
  tp_loop_close: functions.tp_loop_close(handle),
};
const isRegionRefused = !functions.tp_loop_region(handle) && !functions.tp_slab(handle, 0);

const loop = new Loop({ backend });
let echoed = "";
const listener = loop.listen("tcp://127.0.0.1:0", { data: (conn, lease) => void conn.send(lease) });
loop.connect(listener.address, {
  open: (conn) => void conn.send("of this thread"),
  data(conn, lease): void {
    echoed = new TextDecoder().decode(lease.bytes);
    conn.close();
    listener.close();
  },
});
await loop.run();
loop.close();
parentPort!.postMessage({ statuses, isRegionRefused, echoed });
