//! Wakes hosts that sleep in their own event loop: one thread for the whole process watches the
//! descriptors of armed loops and writes one byte to a socket pair whose other end the host polls.
//! It never runs JavaScript and never touches a loop's memory.
//!
//! Invariants: the table is only read and written under the lock, and a byte is written under it
//! too, so none ever goes to a descriptor that was closed. Arming is level-triggered and one-shot:
//! what happened before arming wakes as well, and a loop that is not armed costs the thread
//! nothing.

const std = @import("std");
const layout = @import("../layout.zig");
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const Lock = @import("../sys/lock.zig").Lock;
const sockets = @import("../sys/sockets.zig");
const WakeSet = @import("../sys/wake_set.zig").WakeSet;

pub const slots_max = 256;

const Slot = struct {
    open: bool = false,
    generation: u32 = 0,
    /// The loop's descriptor.
    watched: i32 = -1,
    /// Our end of the socket pair.
    pair: i32 = -1,
    timer: WakeSet.Timer = .{},
    /// What the timer is set to; 0 when it is not.
    timer_ns: u64 = 0,
};

var lock: Lock = .{};
var slots: [slots_max]Slot = @splat(.{});
/// What the thread waits for, once it runs.
var set: WakeSet = .{};
var running: bool = false;

const Source = enum(u8) { loop, timer };

/// Starts to wake for a loop. The host's end of the socket pair, which the caller owns, or a
/// negative status with `failed` naming the system call.
pub fn open(index: u32, watched: i32, failed: *layout.Syscall) i32 {
    lock.acquire();
    defer lock.release();
    const started = start_thread(failed);
    if (started < 0) return started;
    close_locked(index);
    var pair: [2]i32 = undefined;
    failed.* = .socketpair;
    const paired = sockets.open_pair(&pair);
    if (paired < 0) return paired;
    const slot = &slots[index];
    slot.* = .{
        .open = true,
        .generation = slot.generation +% 1,
        .watched = watched,
        .pair = pair[0],
    };
    var rc = set.add_timer(&slot.timer, index, word(index, .timer), failed);
    if (rc >= 0) rc = set.add(watched, word(index, .loop), failed);
    if (rc >= 0) return pair[1];
    close_locked(index);
    kernel.close(pair[1]);
    return rc;
}

/// Wakes once when the loop's descriptor is readable, or at `deadline_ns` of the monotonic clock.
pub fn arm(index: u32, deadline_ns: ?u64) i32 {
    lock.acquire();
    defer lock.release();
    const slot = &slots[index];
    if (!slot.open) return @intFromEnum(layout.Status.bad_argument);
    const deadline = deadline_ns orelse 0;
    if (deadline != slot.timer_ns) {
        const rc = set.set_timer(&slot.timer, deadline, word(index, .timer));
        if (rc < 0) return rc;
        slot.timer_ns = deadline;
    }
    return set.arm(slot.watched, word(index, .loop));
}

/// The loop closes; its descriptor is still open.
pub fn close(index: u32) void {
    lock.acquire();
    defer lock.release();
    close_locked(index);
}

/// The child of a fork has none of its parent's threads. What was open is the parent's: only the
/// child's copies of the descriptors go.
pub fn reset() void {
    lock = .{};
    if (running) set.leave_to_parent();
    for (&slots) |*slot| {
        if (!slot.open) continue;
        kernel.close(slot.pair);
        slot.timer.leave_to_parent();
        slot.open = false;
    }
    running = false;
}

fn close_locked(index: u32) void {
    const slot = &slots[index];
    if (!slot.open) return;
    set.remove(slot.watched);
    set.remove_timer(&slot.timer);
    kernel.close(slot.pair);
    slot.open = false;
}

/// What is told of a slot's descriptor or timer.
fn word(index: u32, source: Source) u64 {
    const generation: u64 = slots[index].generation;
    return generation << 32 | @as(u64, index) << 8 | @intFromEnum(source);
}

fn start_thread(failed: *layout.Syscall) i32 {
    if (running) return 0;
    const opened = set.open(failed);
    if (opened < 0) return opened;
    failed.* = .pthread_create;
    if (host.start_thread(run)) {
        running = true;
        return 0;
    }
    set.close();
    return @intFromEnum(layout.Status.no_threads);
}

fn run() void {
    host.block_signals();
    var words: [64]u64 = undefined;
    while (true) {
        const count = set.wait(&words);
        if (count < 0) continue;
        lock.acquire();
        defer lock.release();
        for (words[0..@intCast(count)]) |told| wake(told);
    }
}

fn wake(told: u64) void {
    const slot = &slots[@as(u24, @truncate(told >> 8))];
    if (!slot.open or slot.generation != @as(u32, @truncate(told >> 32))) return;
    const source: Source = @enumFromInt(@as(u8, @truncate(told)));
    if (source == .timer) slot.timer_ns = 0;
    // A full pair means that the host has not read the last byte: it will wake anyway.
    _ = sockets.send(slot.pair, &.{1});
}

fn is_readable_within(descriptor: i32, limit_ms: i32) bool {
    return sockets.ready_within(descriptor, limit_ms, .{ .readable = true }).readable;
}

test "an armed loop wakes its host for what happened before and after, an unarmed one does not" {
    var failed: layout.Syscall = .none;
    var watched: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&watched));
    defer for (watched) |descriptor| kernel.close(descriptor);
    const end = open(7, watched[0], &failed);
    try std.testing.expect(end >= 0);
    defer kernel.close(end);
    defer close(7);
    try std.testing.expectEqual(@as(i32, 1), sockets.send(watched[1], "x"));
    try std.testing.expect(!is_readable_within(end, 20));
    try std.testing.expectEqual(@as(i32, 0), arm(7, null));
    try std.testing.expect(is_readable_within(end, 5000));
}

test "a deadline wakes too, and a closed slot refuses to be armed" {
    var failed: layout.Syscall = .none;
    var watched: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&watched));
    defer for (watched) |descriptor| kernel.close(descriptor);
    const end = open(8, watched[0], &failed);
    try std.testing.expect(end >= 0);
    defer kernel.close(end);
    try std.testing.expectEqual(@as(i32, 0), arm(8, host.now_ns() + std.time.ns_per_ms));
    try std.testing.expect(is_readable_within(end, 5000));
    close(8);
    try std.testing.expect(arm(8, null) < 0);
}
