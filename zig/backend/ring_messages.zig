//! Messages on a ring: a receive that goes on, each message in a provided buffer with its header,
//! address and control data before it; sends by a call of their own.
//!
//! Sending a batch with one call costs the kernel less than an entry per message (`zig build bench`
//! has the program that tells), and what is sent is free at once. The ring only waits for room.

const contract = @import("contract.zig");
const datagrams = @import("../sys/datagrams.zig");
const kernel = @import("../sys/kernel.zig");
const operations = @import("operations.zig");

pub fn receive(ring: anytype, port: u32, epoch: u32, descriptor: i32) bool {
    const sqe = ring.next_sqe() orelse return false;
    // A receive that goes on looks its file up once: nothing is spared by registering it.
    sqe.* = if (ring.buffer_ring.is_shared())
        operations.refusal(.receive_message, port, epoch)
    else
        operations.receive_message(port, epoch, descriptor);
    return true;
}

/// What a receive filled. A message has a buffer also when it is empty.
pub fn take(ring: anytype, completion: *contract.Completion, number: u32) void {
    const buffer = ring.buffer_ring.take(number);
    if (completion.result < contract.message_payload_offset) return ring.provide(buffer);
    completion.result -= contract.message_payload_offset;
    completion.buffer = buffer;
}

pub fn send(
    ring: anytype,
    port: u32,
    epoch: u32,
    descriptor: i32,
    batch: *datagrams.Outgoing,
    waits: bool,
) i32 {
    ring.ring.system_calls += 1;
    const rc = batch.send(descriptor);
    if (rc == kernel.negative(.INTR)) return 0;
    if (rc != kernel.negative(.AGAIN) or !waits) return rc;
    const sqe = ring.next_sqe() orelse return kernel.negative(.BUSY);
    sqe.* = operations.wait_for_room(port, epoch, descriptor);
    return rc;
}
