//! Messages on a readiness backend: received in batches, each into a buffer with its header,
//! address and control data before it, and sent again once there is room.
//!
//! A free buffer keeps its place among those of a batch until it is filled, so that a call that
//! finds one message prepares no more than one.

const contract = @import("contract.zig");
const datagrams = @import("../sys/datagrams.zig");
const kernel = @import("../sys/kernel.zig");
const Port = @import("readiness_port.zig").Port;
const Writer = @import("readiness_port.zig").Writer;

pub fn visit_send(state: *Port, writer: *Writer) void {
    state.sending_messages = false;
    writer.put(.send_messages, false, 0);
}

/// One call, for as many messages as there are buffers and room for.
pub fn visit_receive(backend: anytype, state: *Port, writer: *Writer) void {
    const incoming = &backend.incoming;
    const room = writer.out.len - writer.count;
    const count: u32 = @intCast(@min(room, backend.free_count));
    if (count == 0) {
        state.receiving = false;
        writer.put(.receive_message, false, kernel.negative(.NOBUFS));
        return;
    }
    for (@min(backend.placed, backend.free_count)..backend.free_count) |slot| {
        place(backend, incoming, backend.free[slot], place_of(slot));
    }
    backend.placed = backend.free_count;
    backend.calls += 1;
    const rc = incoming.receive(state.descriptor, place_of(backend.free_count - 1), count);
    if (rc > 0) {
        for (0..@intCast(rc)) |_| {
            backend.free_count -= 1;
            const buffer = backend.free[backend.free_count];
            const bytes = finish(backend, incoming, buffer, place_of(backend.free_count));
            writer.put_buffer(.receive_message, true, @intCast(bytes), buffer);
        }
        backend.placed = backend.free_count;
        // With fewer than asked for there are no more; a pending error does not come again.
        if (rc < count and !state.ending) state.readable = false;
    } else switch (rc) {
        kernel.negative(.AGAIN) => {
            state.readable = false;
            state.ending = false;
        },
        kernel.negative(.INTR) => {},
        else => {
            state.receiving = false;
            writer.put(.receive_message, false, rc);
        },
    }
}

/// The place of a free buffer: the one that was put back last comes first.
fn place_of(slot: usize) u32 {
    return @intCast(datagrams.batch_max - 1 - slot);
}

fn place(backend: anytype, incoming: *datagrams.Incoming, buffer: u32, index: u32) void {
    const start: [*]align(8) u8 = @alignCast(backend.pool.pointer(buffer));
    const bytes = start[0..backend.pool.buffer_size];
    incoming.place(
        index,
        @alignCast(bytes[contract.message_address_offset..][0..datagrams.address_bytes]),
        @alignCast(bytes[contract.message_control_offset..][0..datagrams.control_bytes]),
        bytes[contract.message_payload_offset..],
    );
}

/// Writes the header; the bytes of the message that are there.
fn finish(backend: anytype, incoming: *datagrams.Incoming, buffer: u32, index: u32) u32 {
    const told = incoming.told(index);
    const start: [*]align(8) u8 = @alignCast(backend.pool.pointer(buffer));
    const header: *contract.MessageHeader = @ptrCast(start);
    header.* = .{
        .address_bytes = told.address_bytes,
        .control_bytes = told.control_bytes,
        .payload_bytes = told.payload_bytes,
        .flags = told.flags,
    };
    return @min(told.payload_bytes, backend.pool.buffer_size - contract.message_payload_offset);
}
