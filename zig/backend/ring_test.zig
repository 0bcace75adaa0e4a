//! The ring over a kernel of the test's own: index arithmetic across 2^32, partial and failed
//! calls, overflow, the registered descriptor, the kernel's thread, waits.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const uring = @import("../sys/uring.zig");
const contract = @import("contract.zig");
const fake = @import("fake_kernel.zig");
const ring_module = @import("ring.zig");
const Ring = ring_module.Ring(fake);

const testing = std.testing;
const entries = 8;

fn open(options: ring_module.Options, state: fake.State) !Ring {
    fake.reset(state);
    var failure: contract.Failure = .{};
    var all = options;
    all.entries = entries;
    return Ring.init(all, &failure);
}

fn nop(user_data: u64) uring.Sqe {
    return .{ .opcode = .nop, .descriptor = -1, .user_data = user_data };
}

test "submissions are taken in order across the wrap, however few at a time" {
    for ([_]u32{ 0, uring.setup_no_sqarray }) |denied| {
        for ([_]u32{ 1, 3, 8 }) |takes_max| {
            var ring = try open(.{ .entries = 0, .deny_flags = denied }, .{});
            defer ring.deinit();
            fake.state.takes_max = takes_max;
            var written: u64 = 0;
            while (written < 200) {
                for (0..2 * entries) |_| {
                    const sqe = ring.next_sqe() orelse break;
                    sqe.* = nop(written);
                    written += 1;
                }
                try testing.expectEqual(@as(u32, entries), ring.unsubmitted());
                try testing.expectEqual(@as(i32, 0), ring.enter(false, null));
                try testing.expectEqual(entries - takes_max, ring.unsubmitted());
                try testing.expectEqual(takes_max < entries, ring.must_submit());
            }
            for (0..fake.state.taken) |index| {
                try testing.expectEqual(index, fake.submissions[index].user_data);
            }
            try testing.expect(fake.state.taken + entries >= 200);
        }
    }
}

test "what the kernel took is read from its head, whatever it answers" {
    var ring = try open(.{ .entries = 0 }, .{});
    defer ring.deinit();
    for ([_]struct { u32, i32, i32 }{
        .{ 5, kernel.negative(.INTR), kernel.negative(.INTR) },
        .{ 3, kernel.negative(.TIME), kernel.negative(.TIME) },
        .{ 0, kernel.negative(.BUSY), kernel.negative(.BUSY) },
        .{ 2, kernel.negative(.AGAIN), kernel.negative(.AGAIN) },
        .{ 1, entries, 0 },
        .{ 8, 0, 0 },
    }) |case| {
        while (ring.next_sqe()) |sqe| sqe.* = nop(0);
        const taken = fake.state.taken;
        fake.state.takes_max = case[0];
        fake.state.answer = case[1];
        try testing.expectEqual(case[2], ring.enter(true, 1000));
        try testing.expectEqual(taken + case[0], fake.state.taken);
        try testing.expectEqual(entries - case[0], ring.unsubmitted());
    }
}

test "completions come in order across the wrap, in batches of any size" {
    var ring = try open(.{ .entries = 0, .completions = 16 }, .{});
    defer ring.deinit();
    var posted: u64 = 0;
    var taken: u64 = 0;
    for ([_]u32{ 1, 2, 1, 16, 5, 7, 16, 3 }) |batch| {
        try testing.expect(!ring.has_completions());
        for (0..batch) |_| {
            fake.complete(posted, 0, 0);
            posted += 1;
        }
        try testing.expect(ring.has_completions());
        while (ring.take()) |cqe| : (taken += 1) {
            try testing.expectEqual(taken, cqe.user_data);
        }
        try testing.expectEqual(posted, taken);
    }
}

test "completions that found no room come once there is some" {
    var ring = try open(.{ .entries = 0, .completions = 16 }, .{});
    defer ring.deinit();
    for (0..100) |index| fake.complete(index, 0, 0);
    try testing.expect(ring.kernel_has_work());
    try testing.expectEqual(kernel.negative(.BUSY), ring.enter(false, null));
    var taken: u64 = 0;
    for (0..100) |_| {
        while (ring.take()) |cqe| : (taken += 1) try testing.expectEqual(taken, cqe.user_data);
        if (taken == 100) break;
        _ = ring.enter(false, null);
    }
    try testing.expectEqual(@as(u64, 100), taken);
    try testing.expect(!ring.kernel_has_work());
}

test "a registered ring is entered by its place and leaves it" {
    var ring = try open(.{ .entries = 0 }, .{});
    try testing.expect(ring.has(.registered_ring));
    _ = ring.enter(false, null);
    try testing.expectEqual(@as(i32, 7), fake.state.last_name);
    try testing.expect(fake.state.last_flags & uring.enter_registered_ring != 0);
    try testing.expect(fake.state.registered);
    ring.deinit();
    try testing.expect(!fake.state.registered and fake.state.closed);
}

test "where the kernel registers no rings the descriptor does" {
    const unknown = @as(u64, 1) << uring.register_ring_fds;
    const denied: u32 = @intFromEnum(layout.RingFeature.registered_ring);
    for ([_]bool{ false, true }) |deny| {
        const state: fake.State = .{ .unknown_operations = if (deny) 0 else unknown };
        const no = if (deny) denied else 0;
        var ring = try open(.{ .entries = 0, .deny_features = no }, state);
        defer ring.deinit();
        try testing.expect(!ring.has(.registered_ring));
        _ = ring.enter(false, null);
        try testing.expectEqual(ring.descriptor, fake.state.last_name);
        try testing.expectEqual(uring.enter_getevents, fake.state.last_flags);
    }
}

test "a kernel that does not know a flag gets the next rung" {
    const Case = struct { unknown: u32, rung: u32, sqpoll: bool };
    for ([_]Case{
        .{ .unknown = 0, .rung = 0, .sqpoll = false },
        .{ .unknown = uring.setup_no_sqarray, .rung = 1, .sqpoll = false },
        .{ .unknown = uring.setup_defer_taskrun, .rung = 2, .sqpoll = false },
        .{ .unknown = 0, .rung = 0, .sqpoll = true },
        .{ .unknown = uring.setup_no_sqarray, .rung = 1, .sqpoll = true },
        .{ .unknown = uring.setup_single_issuer, .rung = 2, .sqpoll = true },
    }) |case| {
        const wishes: @FieldType(ring_module.Options, "wishes") = .{ .sqpoll = case.sqpoll };
        const state: fake.State = .{ .unknown_flags = case.unknown };
        var ring = try open(.{ .entries = 0, .wishes = wishes }, state);
        defer ring.deinit();
        try testing.expectEqual(case.rung, ring.grant.rung);
        try testing.expectEqual(case.sqpoll, ring.polled and ring.has(.sqpoll));
        const runs_work = uring.setup_taskrun_flag | uring.setup_coop_taskrun |
            uring.setup_defer_taskrun;
        try testing.expectEqual(case.sqpoll, ring.grant.flags & runs_work == 0);
    }
}

test "a refused kernel thread is an error, or done without" {
    fake.reset(.{ .unknown_flags = uring.setup_sqpoll });
    var options: ring_module.Options = .{ .entries = entries, .wishes = .{ .sqpoll = true } };
    var failure: contract.Failure = .{};
    try testing.expectError(error.NotGranted, Ring.init(options, &failure));
    const field = std.meta.fieldIndex(layout.LoopOptions, "sqpoll").?;
    try testing.expectEqual(@as(u32, field), failure.field);
    try testing.expectEqual(kernel.errno_of(kernel.negative(.INVAL)), failure.errno);
    options.wishes.best_effort = true;
    var ring = try Ring.init(options, &failure);
    defer ring.deinit();
    try testing.expect(!ring.polled and !ring.has(.sqpoll));
    try testing.expectEqual(ring_module.ladder[0], ring.grant.flags);
}

test "the kernel's thread is woken when it sleeps, and only then" {
    var ring = try open(.{ .entries = 0, .wishes = .{ .sqpoll = true } }, .{});
    defer ring.deinit();
    ring.next_sqe().?.* = nop(1);
    try testing.expect(ring.must_submit());
    try testing.expectEqual(@as(u32, 0), fake.take(entries));
    ring.show();
    try testing.expect(!ring.must_submit());
    try testing.expectEqual(@as(u32, 1), fake.take(entries));
    try testing.expectEqual(@as(u32, 0), fake.state.calls);

    fake.fall_asleep();
    try testing.expect(!ring.must_submit());
    ring.next_sqe().?.* = nop(2);
    ring.show();
    try testing.expect(ring.must_submit());
    try testing.expectEqual(@as(i32, 0), ring.enter(false, null));
    try testing.expect(fake.state.last_flags & uring.enter_sq_wakeup != 0);
    try testing.expectEqual(@as(u32, 0), ring.unsubmitted());
    _ = ring.enter(true, null);
    try testing.expectEqual(@as(u32, 0), fake.state.last_flags & uring.enter_sq_wakeup);

    while (ring.next_sqe()) |sqe| sqe.* = nop(3);
    fake.state.takes_max = 1;
    ring.wait_for_room();
    try testing.expect(fake.state.last_flags & uring.enter_sq_wait != 0);
    try testing.expect(ring.next_sqe() != null);
    try testing.expect(ring.next_sqe() == null);
}

test "a wait has its limit, and no longer minimum than that" {
    var ring = try open(.{ .entries = 0 }, .{});
    defer ring.deinit();
    _ = ring.enter(true, null);
    try testing.expect(fake.state.last_argument == null);
    try testing.expectEqual(@as(u32, 1), fake.state.last_wait);
    ring.min_wait_us = 500;
    ring.wait_count = 4;
    for ([_]struct { bool, ?u64, u32, u32 }{
        .{ true, null, 500, 4 },
        .{ true, 2_000_000, 500, 4 },
        .{ true, 200_000, 200, 4 },
        .{ true, 999, 0, 1 },
    }) |case| {
        _ = ring.enter(case[0], case[1]);
        const argument = fake.state.last_argument.?;
        try testing.expectEqual(case[2], argument.min_wait_us);
        try testing.expectEqual(case[3], fake.state.last_wait);
        try testing.expectEqual(case[1] != null, argument.timeout != 0);
    }
    _ = ring.enter(false, 1000);
    try testing.expect(fake.state.last_argument == null);
    try testing.expectEqual(@as(u32, 0), fake.state.last_wait);
}
