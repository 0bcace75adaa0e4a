//! What a connection receives that takes descriptors: messages with control data, which become
//! bytes with descriptors before them.
//!
//! Invariant: no descriptor is lost: each is noted with its place in the stream, or closed.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const AF = @import("../sys/sockets.zig").AF;
const rights = @import("../sys/rights.zig");
const plain = @import("../loop/channel.zig").plain;
const Connection = @import("connection.zig").Connection;

/// MSG_CTRUNC, as Linux numbers it.
const control_cut = 8;

comptime {
    std.debug.assert(rights.control_bytes <= contract.message_control_bytes);
}

/// Whether sockets of a family, as the system numbers it, can be opened with such options.
pub fn may_pass(options: *const layout.StreamOptions, family: u32) bool {
    return options.descriptors == 0 or family == AF.UNIX;
}

/// Takes the descriptors out of a received message, and moves its bytes to the buffer's start.
pub fn unpack(streams: anytype, connection: *Connection, buffer: u32, length: u32) void {
    const bytes = streams.loop.pool.pointer(buffer);
    const header = std.mem.bytesToValue(contract.MessageHeader, bytes[0..16]);
    const control_length = @min(header.control_bytes, contract.message_control_bytes);
    var found = rights.decode(bytes[contract.message_control_offset..][0..control_length]);
    if (header.flags & control_cut != 0 or found.is_cut) {
        found.close();
        connection.fail(kernel.negative(.MSGSIZE));
    }
    std.mem.copyForwards(
        u8,
        bytes[0..length],
        bytes[contract.message_payload_offset..][0..length],
    );
    if (found.count == 0) return;
    // Nobody will be told of them.
    if (connection.state != .open or length == 0) return found.close();
    if (!streams.passing.arrive(&connection.arrivals, &found)) {
        connection.fail(kernel.negative(.NFILE));
    }
}

/// Tells of the descriptors that came with the bytes to be delivered next, for which there must be
/// room.
pub fn tell(streams: anytype, slot: u32, connection: *Connection, length: u32) void {
    if (streams.passing.due(&connection.arrivals)) |index| {
        streams.passing.told(&connection.arrivals);
        var completion = plain(.descriptors, slot, connection.generation, @intCast(index));
        completion.buffer_generation = streams.passing.generation_of(index);
        streams.loop.channel.emit(completion);
    }
    connection.arrivals.delivered += length;
}
