//! The native side as a script sees it, over every backend and trigger, and every rung of the
//! io_uring ladder.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const Epoll = @import("../backend/epoll.zig").Epoll;
const IoUring = @import("../backend/io_uring.zig").IoUring;
const uring = @import("../sys/uring.zig");
const Instance = @import("instance.zig").Instance;
const Script = @import("script_test.zig").Script;
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const skip_backend = @import("script_test.zig").skip_backend;
const small_options = @import("script_test.zig").small_options;
const record = @import("../sys/record_test.zig");

const testing = std.testing;
const turns_max = 20_000;

/// Echoes messages between two connections of one loop, closes, and checks the accounts. `rung`:
/// the best that is left without the denied flags; an older kernel grants a lower one.
fn check_echo(
    comptime Backend: type,
    trigger: layout.Trigger,
    deny_flags: u32,
    rung: u32,
) !void {
    try check_echo_of(Backend, trigger, deny_flags, rung, false);
    try check_echo_of(Backend, trigger, deny_flags, rung, true);
}

fn check_echo_of(
    comptime Backend: type,
    trigger: layout.Trigger,
    deny_flags: u32,
    rung: u32,
    greedy: bool,
) !void {
    var options = small_options();
    options.trigger = @intFromEnum(trigger);
    var failure: contract.Failure = .{};
    const instance = Instance(Backend).open(&options, deny_flags, &failure) catch |err| {
        return if (err == error.Unavailable) skip_backend(Backend.kind, failure) else err;
    };
    defer instance.close();
    try testing.expect(options.rung >= rung);
    var script: Script(Backend) = .{ .instance = instance, .greedy = greedy };
    const listener = try script.listen();
    const slot = try script.connect(try script.port_of(listener));
    const generation = instance.loop.channel.header.result_generation;
    for (0..turns_max) |_| {
        if (script.opened == 2) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 2), script.opened);
    for (0..50) |round| {
        const expected = (round + 1) * 3000;
        try testing.expect(try script.send(slot, generation, 7, 3000));
        for (0..turns_max) |_| {
            if (script.received == expected) break;
            try script.turn(1000);
        }
        try testing.expectEqual(expected, script.received);
    }
    try testing.expectEqual(@as(u64, 50 * 3000 * 7), script.checksum);
    script.handle(.close, slot, generation);
    for (0..turns_max) |_| {
        if (script.closed == 2) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 2), script.closed);
    try testing.expectEqual(@as(i32, 0), script.last_result);
    try script.turn(0);
    try testing.expectEqual(@as(u32, 0), instance.pool.buffers_in_use);
    try testing.expectEqual(@as(u64, 0), instance.pool.in_use_bytes());
    try testing.expectEqual(@as(u32, 0), instance.work.net.streams.slots.open_count);
}

fn check_echo_row(comptime Backend: type, trigger: layout.Trigger) !void {
    try check_echo(Backend, trigger, 0, 0);
}

test "echo on every backend" {
    try over_rows(check_echo_row);
}

test "echo on every rung of the io_uring ladder" {
    try check_echo(IoUring, .default, 0, 0);
    try check_echo(IoUring, .default, uring.setup_no_sqarray, 1);
    try check_echo(IoUring, .default, uring.setup_defer_taskrun, 2);
}

/// More data than there are receive buffers while nothing is read back: receiving starves, holds,
/// recovers, and every byte arrives.
fn check_starvation(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    options.receive_buffers = 8;
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance, .echo = false };
    const listener = try script.listen();
    const slot = try script.connect(try script.port_of(listener));
    const generation = instance.loop.channel.header.result_generation;
    for (0..turns_max) |_| {
        if (script.opened == 2) break;
        try script.turn(1000);
    }
    script.handle(.pause, script.accepted_slot, script.accepted_generation);
    var sent: u64 = 0;
    for (0..200) |_| {
        while (sent < 100 * 4096 and script.submissions < 200) : (sent += 4096) {
            if (!try script.send(slot, generation, 1, 4096)) break;
        }
        try script.turn(0);
    }
    try testing.expectEqual(@as(u64, 0), script.received);
    script.handle(.unpause, script.accepted_slot, script.accepted_generation);
    for (0..turns_max) |_| {
        if (script.received == 100 * 4096) break;
        while (sent < 100 * 4096 and script.submissions < 200) : (sent += 4096) {
            if (!try script.send(slot, generation, 1, 4096)) break;
        }
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u64, 100 * 4096), script.received);
    try testing.expectEqual(script.received, script.checksum);
}

test "a starved receive recovers and loses nothing" {
    try over_rows(check_starvation);
}

fn check_hostile(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var prng = std.Random.DefaultPrng.init(11);
    const random = prng.random();
    for (0..2000) |_| {
        const count = random.uintAtMost(u32, 64);
        for (instance.loop.channel.submissions[0..count]) |*submission| {
            for (submission) |*word| {
                word.* = if (random.boolean()) random.uintAtMost(u32, 20) else random.int(u32);
            }
        }
        try testing.expect(instance.turn(count, 0, 0) >= 0);
    }
    try testing.expectEqual(@as(i32, -10003), instance.turn(1 << 31, 0, 0));
}

test "arbitrary submissions do nothing" {
    try over_rows(check_hostile);
}

test "timers fire on a virtual clock, in order and not before" {
    var options = small_options();
    options.clock = @intFromEnum(layout.ClockKind.virtual);
    var failure: contract.Failure = .{};
    const instance = try Instance(Epoll).open(&options, 0, &failure);
    defer instance.close();
    var script: Script(Epoll) = .{ .instance = instance };
    for ([_]f64{ 10, 20, 30 }, 0..) |delay_us, slot| {
        script.submit(std.mem.zeroInit(layout.TimerEntry, .{
            .operation = .timer_start,
            .slot = @as(u32, @intCast(slot)),
            .delay_us = delay_us,
            .period_us = if (slot == 2) @as(f64, 5) else 0,
        }));
    }
    try script.turn(0);
    try testing.expectEqual(@as(u32, 0), script.timers);
    try testing.expect(instance.loop.advance_clock(20 * std.time.ns_per_us));
    try script.turn(0);
    try testing.expectEqual(@as(u32, 2), script.timers);
    for (0..3) |_| {
        try testing.expect(instance.loop.advance_clock(10 * std.time.ns_per_us));
        try script.turn(0);
    }
    try testing.expectEqual(@as(u32, 5), script.timers);
}

test "a virtual clock has an end, at which time limits are still to come" {
    var options = small_options();
    options.clock = @intFromEnum(layout.ClockKind.virtual);
    var failure: contract.Failure = .{};
    const instance = try Instance(Epoll).open(&options, 0, &failure);
    defer instance.close();
    var script: Script(Epoll) = .{ .instance = instance };
    try testing.expect(!instance.loop.advance_clock(std.math.maxInt(u64)));
    try testing.expect(instance.loop.advance_clock(1 << 63));
    try testing.expect(!instance.loop.advance_clock(1));
    for ([_]f64{ 1, 1e300 }, 0..) |delay_us, slot| {
        script.submit(std.mem.zeroInit(layout.TimerEntry, .{
            .operation = .timer_start,
            .slot = @as(u32, @intCast(slot)),
            .delay_us = delay_us,
        }));
    }
    try script.turn(0);
    try testing.expectEqual(@as(u32, 0), script.timers);
}

test "a period that is shorter than a microsecond is refused, however short" {
    var options = small_options();
    options.clock = @intFromEnum(layout.ClockKind.virtual);
    var failure: contract.Failure = .{};
    const instance = try Instance(Epoll).open(&options, 0, &failure);
    defer instance.close();
    var script: Script(Epoll) = .{ .instance = instance };
    for ([_]f64{ 0.999, 0.0005, std.math.floatTrueMin(f64) }, 1..) |period_us, refused| {
        script.submit(std.mem.zeroInit(layout.TimerEntry, .{
            .operation = .timer_start,
            .period_us = period_us,
        }));
        try script.turn(0);
        try testing.expectEqual(@as(u32, 0), script.timers);
        try testing.expectEqual(refused, instance.loop.counters.rejected);
    }
}

/// Pages of this process that are in memory.
fn resident_bytes() u64 {
    var buffer: [128]u8 = undefined;
    const text = kernel.read_file("/proc/self/statm", &buffer) orelse return 0;
    var words = std.mem.tokenizeScalar(u8, text, ' ');
    _ = words.next();
    const pages = std.fmt.parseInt(u64, words.next() orelse "0", 10) catch 0;
    return pages * std.heap.page_size_min;
}

/// Both ends of many connections, which say nothing.
fn check_idle(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    options.max_connections = 2048;
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const port = try script.port_of(try script.listen());
    try script.turn(0);
    const before = resident_bytes();
    const pairs: u32 = if (Backend.descriptors_max < 4096) 200 else 1000;
    for (0..pairs) |count| {
        _ = try script.connect(port);
        for (0..turns_max) |_| {
            if (script.opened == 2 * (count + 1)) break;
            try script.turn(1000);
        } else return error.NotOpened;
    }
    try script.turn(0);
    try testing.expectEqual(2 * pairs, instance.work.net.streams.slots.open_count);
    try testing.expectEqual(@as(u32, 0), instance.pool.buffers_in_use);
    const each = (resident_bytes() -| before) / (2 * pairs);
    errdefer std.debug.print("{d} bytes each\n", .{each});
    try testing.expect(each <= 1024);
}

test "an idle connection costs at most 1 KiB and holds no receive buffer" {
    if (@import("builtin").sanitize_thread) {
        const why = "thread sanitizer: it keeps memory of its own for whatever is touched";
        return record.skip(why, .{});
    }
    // A page of 2 MiB would count whole, wherever the address space happens to have room for it.
    const huge_pages_off = @intFromEnum(linux.PR.SET_THP_DISABLE);
    _ = linux.prctl(huge_pages_off, 1, 0, 0, 0);
    defer _ = linux.prctl(huge_pages_off, 0, 0, 0, 0);
    try over_rows(check_idle);
}

/// A short answer in a receive buffer, while others hold most of these.
fn check_copy_out(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    options.receive_buffers = 8;
    options.max_kib = 256;
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const pool = &instance.pool;
    for ([_]bool{ false, true }) |scarce| {
        while (scarce and !pool.receive_is_scarce()) {
            pool.received(pool.take_for_backend().?, layout.no_slot, 0);
        }
        var script: Script(Backend) = .{ .instance = instance };
        const listener = try script.listen();
        const slot = try script.connect(try script.port_of(listener));
        const generation = instance.loop.channel.header.result_generation;
        for (0..turns_max) |_| {
            if (script.opened == 2) break;
            try script.turn(1000);
        }
        try testing.expect(try script.send(slot, generation, 7, 100));
        // What the echo submits stays unsubmitted once the message is there.
        for (0..turns_max) |_| {
            try script.turn(1000);
            if (script.submissions > 0) break;
        }
        try testing.expectEqual(@as(i32, 0), instance.submit(script.submissions));
        script.submissions = 0;
        const streams = &instance.work.net.streams;
        const queue = &streams.connections[script.accepted_slot].queue;
        const state = pool.state(streams.nodes.nodes[queue.head].buffer);
        try testing.expectEqual(@as(u32, if (scarce) 512 else 4096), state.bytes);
        for (0..turns_max) |_| {
            if (script.received == 100) break;
            try script.turn(1000);
        }
        try testing.expectEqual(@as(u64, 100 * 7), script.checksum);
    }
}

test "while receive buffers are scarce a short answer does not keep one" {
    try over_rows(check_copy_out);
}

/// A plain socket that is connected to the script's listener, which has accepted it.
fn connect_to(script: anytype) !i32 {
    const port = try script.port_of(try script.listen());
    const client = sockets.open_stream(sockets.AF.INET, false);
    errdefer kernel.close(client);
    var address: sockets.SocketAddress = undefined;
    address.storage.in4 = .{
        .port = std.mem.nativeToBig(u16, @intCast(port)),
        .addr = std.mem.nativeToBig(u32, 0x7f00_0001),
    };
    try testing.expectEqual(@as(i32, 0), sockets.connect(client, &address));
    for (0..turns_max) |_| {
        if (script.opened == 1) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 1), script.opened);
    return client;
}

test "a connection that ended and that another process has too keeps no loop awake" {
    for ([_]layout.Trigger{ .edge, .level }) |trigger| {
        var options = small_options();
        const instance = try open(Epoll, trigger, &options);
        defer instance.close();
        var script: Script(Epoll) = .{ .instance = instance };
        const client = try connect_to(&script);
        defer kernel.close(client);
        const slot = script.accepted_slot;
        // As after a fork.
        const other = kernel.result(linux.dup(
            instance.work.net.streams.connections[slot].descriptor,
        ));
        try testing.expect(other >= 0);
        defer kernel.close(other);
        script.handle(.abort, slot, script.accepted_generation);
        for (0..turns_max) |_| {
            if (script.closed == 1) break;
            try script.turn(1000);
        }
        try testing.expectEqual(@as(i32, 1), sockets.send(client, "x"));
        try script.turn(0);
        try testing.expectEqual(@as(i32, 0), instance.loop.backend.poller.wait(0));
    }
}

/// The kernel ends a receive before a byte of urgent data, however much follows.
fn check_urgent(comptime Backend: type, trigger: layout.Trigger) !void {
    // It does not tell of urgent data.
    if (Backend.kind == .kqueue and trigger == .edge) return;
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance, .echo = false };
    const client = try connect_to(&script);
    defer kernel.close(client);
    try testing.expectEqual(@as(i32, 3), sockets.send(client, "abc"));
    try testing.expectEqual(@as(usize, 1), linux.sendto(client, "!", 1, linux.MSG.OOB, null, 0));
    try testing.expectEqual(@as(i32, 3), sockets.send(client, "def"));
    for (0..200) |_| {
        if (script.received == 6) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u64, 6), script.received);
}

test "urgent data holds nothing back" {
    try over_rows(check_urgent);
}
