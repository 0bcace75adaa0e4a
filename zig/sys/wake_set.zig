//! Descriptors and deadlines that one thread sleeps on while others arm them. Each is armed with a
//! word, which `wait` tells once when it is ready; then it rests until it is armed again. What was
//! ready before counts as well.
//!
//! Any thread may call anything at any time; a descriptor is taken out before it is closed.

const system = switch (@import("system.zig").family) {
    .linux => @import("wake_set_linux.zig"),
    .bsd => @import("wake_set_bsd.zig"),
};

/// Results are negated errnos or not negative, and `failed` then names the call:
///
/// - `open`, `close`.
/// - `add` takes a descriptor in without arming it, `arm` arms it, `remove` takes it out.
/// - `add_timer` makes a timer with a number of its own, `set_timer` arms it for a time on the
///   clock of `host.now_ns`, or disarms it with 0, and `remove_timer` ends it.
/// - `wait` sleeps until something is ready and tells the words: how many.
/// - `leave_to_parent`, of a set or a timer, is what a child of a fork does instead of closing.
pub const WakeSet = system.WakeSet;

const std = @import("std");
const host = @import("host.zig");
const kernel = @import("kernel.zig");
const layout = @import("../layout.zig");
const sockets = @import("sockets.zig");

test "words are told once for each time that they are armed" {
    var failed: layout.Syscall = .none;
    var set: WakeSet = .{};
    try std.testing.expect(set.open(&failed) >= 0);
    defer set.close();
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    defer for (pair) |end| kernel.close(end);
    var timer: WakeSet.Timer = .{};
    try std.testing.expect(set.add_timer(&timer, 5, 50, &failed) >= 0);
    defer set.remove_timer(&timer);
    try std.testing.expect(set.add(pair[0], 1, &failed) >= 0);
    try std.testing.expectEqual(@as(i32, 1), sockets.send(pair[1], "x"));

    var words: [4]u64 = undefined;
    // Not armed: only the timer is told of.
    try std.testing.expect(set.set_timer(&timer, 1, 50) >= 0);
    try std.testing.expectEqual(@as(i32, 1), set.wait(&words));
    try std.testing.expectEqual(@as(u64, 50), words[0]);
    for ([_]u64{ 2, 3 }) |word| {
        try std.testing.expect(set.arm(pair[0], word) >= 0);
        try std.testing.expectEqual(@as(i32, 1), set.wait(&words));
        try std.testing.expectEqual(word, words[0]);
    }
    // What rests, was disarmed or taken out tells nothing beside the timer.
    try std.testing.expect(set.set_timer(&timer, host.now_ns(), 50) >= 0);
    try std.testing.expectEqual(@as(i32, 1), set.wait(&words));
    try std.testing.expectEqual(@as(u64, 50), words[0]);
    try std.testing.expect(set.set_timer(&timer, host.now_ns() + std.time.ns_per_hour, 50) >= 0);
    try std.testing.expect(set.set_timer(&timer, 0, 50) >= 0);
    try std.testing.expect(set.arm(pair[0], 4) >= 0);
    set.remove(pair[0]);
    try std.testing.expect(set.set_timer(&timer, host.now_ns(), 50) >= 0);
    try std.testing.expectEqual(@as(i32, 1), set.wait(&words));
    try std.testing.expectEqual(@as(u64, 50), words[0]);
}
