//! Waiting for one of a few descriptors, for threads of this library's own. Source: poll(2).

const std = @import("std");
const kernel = @import("kernel.zig");
const sockets = @import("sockets.zig");

const calls = switch (@import("system.zig").family) {
    .linux => @import("sockets_linux.zig").calls,
    .bsd => @import("sockets_bsd.zig").calls,
};

pub const descriptors_max = 8;

/// What one descriptor is waited for with: to be readable, or to be writable.
pub const Wait = struct {
    descriptor: i32,
    for_writing: bool = false,
    /// Out: a call would not wait now, whatever it answers.
    ready: bool = false,
};

/// Returns once one is ready, after so many milliseconds at the latest, or earlier for no reason.
pub fn wait_any(waits: []Wait, limit_ms: i32) void {
    std.debug.assert(waits.len <= descriptors_max);
    var entries: [descriptors_max]calls.pollfd = undefined;
    for (waits, entries[0..waits.len]) |wait, *entry| {
        const events: i16 = if (wait.for_writing) calls.POLL.OUT else calls.POLL.IN;
        entry.* = .{ .fd = wait.descriptor, .events = events, .revents = 0 };
    }
    const rc = kernel.result(calls.poll(&entries, @intCast(waits.len), limit_ms));
    for (waits, entries[0..waits.len]) |*wait, entry| wait.ready = rc > 0 and entry.revents != 0;
}

test "the one that is ready is told" {
    var first: [2]i32 = undefined;
    var second: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&first));
    defer for (first) |descriptor| sockets.close(descriptor);
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&second));
    defer for (second) |descriptor| sockets.close(descriptor);
    var waits = [_]Wait{ .{ .descriptor = first[0] }, .{ .descriptor = second[0] } };
    wait_any(&waits, 0);
    try std.testing.expect(!waits[0].ready and !waits[1].ready);
    try std.testing.expectEqual(@as(i32, 1), sockets.send(second[1], "x"));
    wait_any(&waits, 5000);
    try std.testing.expect(!waits[0].ready and waits[1].ready);
    waits[0].for_writing = true;
    wait_any(&waits, 5000);
    try std.testing.expect(waits[0].ready and waits[1].ready);
}
