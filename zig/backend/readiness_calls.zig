//! What a readiness backend does with sockets and is more than a call: segments sent together,
//! hang-ups. None of it waits; each gives a non-negative value or a negated errno.

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

/// `layout.ready_error` and `ready_hangup`, as poll(2) has them.
pub fn hangups(descriptor: i32) u32 {
    const told = sockets.ready_within(descriptor, 0, .{});
    var bits: u32 = 0;
    if (told.failed) bits |= layout.ready_error;
    if (told.hangup) bits |= layout.ready_hangup;
    return bits;
}
