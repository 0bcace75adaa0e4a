//! Wakes hosts that sleep in their own event loop: one thread for the whole process watches the
//! descriptors of armed loops and writes one byte to a socket pair whose other end the host polls.
//! It never runs JavaScript and never touches a loop's memory.
//!
//! Invariants: the table is only read and written under the lock, and a byte is written under it
//! too, so none ever goes to a descriptor that was closed. Arming is level-triggered and one-shot:
//! what happened before arming wakes as well, and a loop that is not armed costs the thread
//! nothing.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const Lock = @import("../sys/lock.zig").Lock;

pub const slots_max = 256;

const Slot = struct {
    open: bool = false,
    generation: u32 = 0,
    /// The loop's descriptor.
    watched: i32 = -1,
    /// Our end of the socket pair.
    pair: i32 = -1,
    timer: i32 = -1,
    /// What the timer is set to; 0 when it is not.
    timer_ns: u64 = 0,
};

var lock: Lock = .{};
var slots: [slots_max]Slot = @splat(.{});
/// The thread's epoll descriptor, once it runs.
var epoll: i32 = -1;

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
    const kind = linux.SOCK.STREAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    failed.* = .socketpair;
    const paired = kernel.result(linux.socketpair(linux.AF.UNIX, kind, 0, &pair));
    if (paired < 0) return paired;
    const slot = &slots[index];
    slot.* = .{
        .open = true,
        .generation = slot.generation +% 1,
        .watched = watched,
        .pair = pair[0],
    };
    failed.* = .timerfd;
    const timer = kernel.result(linux.timerfd_create(
        .MONOTONIC,
        .{ .CLOEXEC = true, .NONBLOCK = true },
    ));
    slot.timer = timer;
    var rc = timer;
    if (rc >= 0) {
        failed.* = .epoll_ctl;
        rc = watch(linux.EPOLL.CTL_ADD, timer, linux.EPOLL.IN | linux.EPOLL.ET, index, .timer);
    }
    if (rc >= 0) rc = watch(linux.EPOLL.CTL_ADD, watched, linux.EPOLL.ONESHOT, index, .loop);
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
        const setting: linux.itimerspec = .{
            .it_interval = .{ .sec = 0, .nsec = 0 },
            .it_value = .{
                .sec = @intCast(deadline / std.time.ns_per_s),
                .nsec = @intCast(deadline % std.time.ns_per_s),
            },
        };
        const rc = kernel.result(linux.timerfd_settime(
            slot.timer,
            .{ .ABSTIME = true },
            &setting,
            null,
        ));
        if (rc < 0) return rc;
        slot.timer_ns = deadline;
    }
    const events = linux.EPOLL.IN | linux.EPOLL.ONESHOT;
    return watch(linux.EPOLL.CTL_MOD, slot.watched, events, index, .loop);
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
    for (&slots) |*slot| {
        if (slot.open) kernel.close(slot.pair);
        if (slot.open and slot.timer >= 0) kernel.close(slot.timer);
        slot.open = false;
    }
    if (epoll >= 0) kernel.close(epoll);
    epoll = -1;
}

fn close_locked(index: u32) void {
    const slot = &slots[index];
    if (!slot.open) return;
    _ = linux.epoll_ctl(epoll, linux.EPOLL.CTL_DEL, slot.watched, null);
    if (slot.timer >= 0) kernel.close(slot.timer);
    kernel.close(slot.pair);
    slot.open = false;
}

fn watch(operation: u32, descriptor: i32, events: u32, index: u32, source: Source) i32 {
    const generation: u64 = slots[index].generation;
    var event: linux.epoll_event = .{
        .events = events,
        .data = .{ .u64 = generation << 32 | @as(u64, index) << 8 | @intFromEnum(source) },
    };
    return kernel.result(linux.epoll_ctl(epoll, operation, descriptor, &event));
}

fn start_thread(failed: *layout.Syscall) i32 {
    if (epoll >= 0) return 0;
    failed.* = .epoll_create;
    const created = kernel.result(linux.epoll_create1(linux.EPOLL.CLOEXEC));
    if (created < 0) return created;
    epoll = created;
    failed.* = .pthread_create;
    if (host.start_thread(run)) return 0;
    kernel.close(created);
    epoll = -1;
    return @intFromEnum(layout.Status.no_threads);
}

fn run() void {
    block_signals();
    var events: [64]linux.epoll_event = undefined;
    while (true) {
        const count = kernel.result(linux.epoll_wait(epoll, &events, events.len, -1));
        if (count < 0) continue;
        lock.acquire();
        defer lock.release();
        for (events[0..@intCast(count)]) |event| wake(event.data.u64);
    }
}

/// Signals are for the host's threads.
fn block_signals() void {
    const all: linux.sigset_t = @splat(std.math.maxInt(@typeInfo(linux.sigset_t).array.child));
    _ = linux.sigprocmask(linux.SIG.BLOCK, &all, null);
}

fn wake(data: u64) void {
    const slot = &slots[@as(u24, @truncate(data >> 8))];
    if (!slot.open or slot.generation != @as(u32, @truncate(data >> 32))) return;
    const source: Source = @enumFromInt(@as(u8, @truncate(data)));
    if (source == .timer) slot.timer_ns = 0;
    // A full pair means that the host has not read the last byte: it will wake anyway.
    const byte = [1]u8{1};
    const flags = linux.MSG.DONTWAIT | linux.MSG.NOSIGNAL;
    _ = linux.sendto(slot.pair, &byte, byte.len, flags, null, 0);
}

fn readable_within(descriptor: i32, limit_ms: i32) bool {
    var poll = [1]linux.pollfd{.{ .fd = descriptor, .events = linux.POLL.IN, .revents = 0 }};
    return kernel.result(linux.poll(&poll, 1, limit_ms)) == 1;
}

test "an armed loop wakes its host for what happened before and after, an unarmed one does not" {
    var failed: layout.Syscall = .none;
    const watched = kernel.result(linux.eventfd(0, linux.EFD.CLOEXEC));
    defer kernel.close(watched);
    const end = open(7, watched, &failed);
    try std.testing.expect(end >= 0);
    defer kernel.close(end);
    defer close(7);
    const one: u64 = 1;
    _ = linux.write(watched, std.mem.asBytes(&one), 8);
    try std.testing.expect(!readable_within(end, 20));
    try std.testing.expectEqual(@as(i32, 0), arm(7, null));
    try std.testing.expect(readable_within(end, 5000));
}

test "a deadline wakes too, and a closed slot refuses to be armed" {
    var failed: layout.Syscall = .none;
    const watched = kernel.result(linux.eventfd(0, linux.EFD.CLOEXEC));
    defer kernel.close(watched);
    const end = open(8, watched, &failed);
    try std.testing.expect(end >= 0);
    defer kernel.close(end);
    try std.testing.expectEqual(@as(i32, 0), arm(8, host.now_ns() + std.time.ns_per_ms));
    try std.testing.expect(readable_within(end, 5000));
    close(8);
    try std.testing.expect(arm(8, null) < 0);
}
