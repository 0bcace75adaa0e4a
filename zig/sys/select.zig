//! select(2): the oldest way to wait for descriptors, and the one that every system has.
//!
//! A set has a bit for each descriptor below `descriptors_max`; others must never reach it.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const sockets = @import("sockets.zig");

/// FD_SETSIZE of every system's headers.
pub const descriptors_max = 1024;

pub const Set = struct {
    words: [descriptors_max / 64]u64,

    pub const empty: Set = .{ .words = @splat(0) };

    pub fn has(self: *const Set, descriptor: u32) bool {
        return self.words[descriptor / 64] >> @intCast(descriptor % 64) & 1 != 0;
    }

    pub fn put(self: *Set, descriptor: u32, wanted: bool) void {
        const bit = @as(u64, 1) << @intCast(descriptor % 64);
        const word = &self.words[descriptor / 64];
        word.* = if (wanted) word.* | bit else word.* & ~bit;
    }
};

/// Leaves in the sets what is ready, of descriptors below `count`. How many bits that are, or a
/// negated errno. `wait_ns`: the longest wait; the largest number for no limit.
pub fn wait(count: u32, readable: *Set, writable: *Set, wait_ns: u64) i32 {
    std.debug.assert(count <= descriptors_max);
    const endless = wait_ns == std.math.maxInt(u64);
    if (@import("system.zig").family == .linux) {
        const time: linux.kernel_timespec = .{
            .sec = @intCast(wait_ns / std.time.ns_per_s),
            .nsec = @intCast(wait_ns % std.time.ns_per_s),
        };
        return kernel.result(linux.syscall6(
            .pselect6,
            count,
            @intFromPtr(&readable.words),
            @intFromPtr(&writable.words),
            0,
            if (endless) 0 else @intFromPtr(&time),
            0,
        ));
    }
    // Some systems refuse more than 10^8 seconds; waking early only means waiting again.
    const seconds = @min(wait_ns / std.time.ns_per_s, 100_000_000);
    var time: std.c.timeval = .{
        .sec = @intCast(seconds),
        .usec = @intCast((wait_ns % std.time.ns_per_s + 999) / 1000 % 1_000_000),
    };
    const rc = select(
        @intCast(count),
        &readable.words,
        &writable.words,
        null,
        if (endless) null else &time,
    );
    return if (rc >= 0) rc else kernel.last_error();
}

extern "c" fn select(
    count: c_int,
    readable: ?*anyopaque,
    writable: ?*anyopaque,
    exceptional: ?*anyopaque,
    time: ?*std.c.timeval,
) c_int;

test "what is ready stays in the set" {
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    defer for (pair) |descriptor| kernel.close(descriptor);
    var readable: Set = .empty;
    var writable: Set = .empty;
    readable.put(@intCast(pair[0]), true);
    try std.testing.expectEqual(@as(i32, 0), wait(descriptors_max, &readable, &writable, 0));
    try std.testing.expect(!readable.has(@intCast(pair[0])));
    try std.testing.expectEqual(@as(i32, 1), sockets.send(pair[1], "x"));
    readable.put(@intCast(pair[0]), true);
    writable.put(@intCast(pair[0]), true);
    const forever = std.math.maxInt(u64);
    try std.testing.expectEqual(@as(i32, 2), wait(descriptors_max, &readable, &writable, forever));
    try std.testing.expect(readable.has(@intCast(pair[0])));
}
