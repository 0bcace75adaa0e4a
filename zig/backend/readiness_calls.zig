//! What a readiness backend does with sockets and is more than a call: segments sent together,
//! messages with their header, hang-ups. None of it waits; each gives a non-negative value or a
//! negated errno.

const std = @import("std");
const layout = @import("../layout.zig");
const sockets = @import("../sys/sockets.zig");
const contract = @import("contract.zig");

pub fn send(descriptor: i32, segments: []const contract.Segment) i32 {
    if (segments.len == 1) {
        return sockets.send(descriptor, segments[0].pointer[0..segments[0].length]);
    }
    var vectors: [contract.segments_max]std.posix.iovec_const = undefined;
    for (segments, vectors[0..segments.len]) |segment, *vector| {
        vector.* = .{ .base = segment.pointer, .len = segment.length };
    }
    return sockets.send_vectors(descriptor, vectors[0..segments.len]);
}

/// A message with its header, address and control data, as `contract.MessageHeader` tells. What
/// does not fit is cut off: the header then says so, and on Linux has the message's true length.
pub fn receive_message(descriptor: i32, bytes: []align(8) u8) i32 {
    const payload = bytes[contract.message_payload_offset..];
    const address = bytes[contract.message_address_offset..][0..contract.message_address_bytes];
    const control = bytes[contract.message_control_offset..][0..contract.message_control_bytes];
    var message: sockets.Message = .{
        .address = @alignCast(address),
        .control = @alignCast(control),
        .payload = payload,
    };
    const rc = sockets.receive_message(descriptor, &message);
    if (rc < 0) return rc;
    const told: contract.MessageHeader = .{
        .address_bytes = @intCast(message.address.len),
        .control_bytes = @intCast(message.control.len),
        .payload_bytes = @intCast(rc),
        .flags = message.flags,
    };
    @memcpy(bytes[0..@sizeOf(contract.MessageHeader)], std.mem.asBytes(&told));
    return @min(rc, @as(i32, @intCast(payload.len)));
}

/// `layout.ready_error` and `ready_hangup`, as poll(2) has them.
pub fn hangups(descriptor: i32) u32 {
    const told = sockets.ready_within(descriptor, 0, .{});
    var bits: u32 = 0;
    if (told.failed) bits |= layout.ready_error;
    if (told.hangup) bits |= layout.ready_hangup;
    return bits;
}
