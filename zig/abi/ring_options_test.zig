//! What an io_uring loop may be asked for, on the real kernel: each option carries a checked stream
//! with backpressure, closes with everything in flight, and is refused or done without where it is
//! denied.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const record = @import("../sys/record_test.zig");
const IoUring = @import("../backend/io_uring.zig").IoUring;
const instance_module = @import("instance.zig");
const options_module = @import("options.zig");
const Script = @import("script_test.zig").Script;
const skip_backend = @import("script_test.zig").skip_backend;
const small_options = @import("script_test.zig").small_options;

const testing = std.testing;
const Feature = layout.RingFeature;
const Instance = instance_module.Instance(IoUring);
const turns_max = 20_000;
const yes = @intFromEnum(layout.Wish.yes);

const Case = struct { feature: Feature, field: []const u8, value: u32 };

const cases = [_]Case{
    .{ .feature = .sqpoll, .field = "sqpoll", .value = yes },
    .{ .feature = .zero_copy, .field = "zero_copy_bytes", .value = 1 },
    .{ .feature = .min_wait, .field = "min_wait_us", .value = 100 },
    .{ .feature = .napi, .field = "napi_us", .value = 1 },
    .{ .feature = .bundles, .field = "bundles", .value = yes },
    .{ .feature = .incremental, .field = "incremental_buffers", .value = yes },
};

fn options_of(comptime case: Case) layout.LoopOptions {
    var options = small_options();
    options.buffer_size = 1024;
    options.receive_buffers = 32;
    options.max_kib = 512;
    options.sqpoll_idle_ms = 5;
    @field(options, case.field) = case.value;
    return options;
}

/// Opens a loop; skips where there is no io_uring, or not this of it.
fn open(options: *layout.LoopOptions, deny: instance_module.Deny) !*Instance {
    var failure: contract.Failure = .{};
    return Instance.open_without(options, deny, &failure) catch |err| {
        if (failure.reason != .none) return skip_backend(.io_uring, failure);
        if (err != error.NotGranted or failure.errno == 0) return err;
        const args = .{ options.error_detail, failure.errno };
        return record.skip("kernel: io_uring: option {d} is not granted (errno {d})", args);
    };
}

const Ends = struct { script: Script(IoUring), slot: u32, generation: u32 };

fn connect(instance: *Instance) !Ends {
    var ends: Ends = .{ .script = .{ .instance = instance }, .slot = 0, .generation = 0 };
    const listener = try ends.script.listen();
    ends.slot = try ends.script.connect(try ends.script.port_of(listener));
    ends.generation = instance.loop.channel.header.result_generation;
    for (0..turns_max) |_| {
        if (ends.script.opened == 2) break;
        try ends.script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 2), ends.script.opened);
    return ends;
}

/// Sends until the mark is reached; what it sent.
fn send_some(ends: *Ends, first: u8) !u32 {
    var sent: u32 = 0;
    for (0..24) |index| {
        const byte: u8 = first +% @as(u8, @intCast(index));
        const length: u32 = 700 + 100 * @as(u32, @intCast(index % 5));
        if (!try ends.script.send(ends.slot, ends.generation, byte, length)) break;
        sent += length;
    }
    return sent;
}

fn exchange(ends: *Ends, rounds: u32) !void {
    const script = &ends.script;
    var total: u64 = script.received;
    for (0..rounds) |round| {
        total += try send_some(ends, @truncate(round));
        for (0..turns_max) |_| {
            if (script.received == total) break;
            try script.turn(1000);
        }
        try testing.expectEqual(total, script.received);
    }
}

/// Every buffer is back, also those that the kernel still read.
fn expect_all_back(script: *Script(IoUring)) !void {
    const instance = script.instance;
    for (0..turns_max) |_| {
        if (instance.pool.buffers_in_use == 0) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 0), instance.pool.buffers_in_use);
    try testing.expectEqual(@as(u32, 0), contract.holding(&instance.loop.backend));
}

fn check_echo(comptime case: Case) anyerror!void {
    var options = options_of(case);
    const instance = try open(&options, .{});
    defer instance.close();
    const bit: u32 = @intFromEnum(case.feature);
    try testing.expect(options.granted_features & bit != 0);
    var ends = try connect(instance);
    const script = &ends.script;
    try exchange(&ends, 50);
    // Reading stops and goes on.
    script.handle(.pause, script.accepted_slot, script.accepted_generation);
    try script.turn(0);
    const before = script.received;
    const held = try send_some(&ends, 9);
    for (0..20) |_| try script.turn(0);
    try testing.expectEqual(before, script.received);
    script.handle(.unpause, script.accepted_slot, script.accepted_generation);
    for (0..turns_max) |_| {
        if (script.received == before + held) break;
        try script.turn(1000);
    }
    try testing.expectEqual(before + held, script.received);
    script.handle(.close, ends.slot, ends.generation);
    for (0..turns_max) |_| {
        if (script.closed == 2) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(i32, 0), script.last_result);
    try expect_all_back(script);
    if (case.feature == .zero_copy) {
        const counts = instance.loop.backend.zero_copies();
        try testing.expect(counts.sends > 0 and counts.copied <= counts.sends);
        // Loopback copies in the end, and a kernel from 6.2 on tells.
        const tells = instance.loop.backend.notice_flags != 0;
        try testing.expectEqual(tells, counts.copied > 0);
    }
}

fn check_close(comptime case: Case) anyerror!void {
    var options = options_of(case);
    const instance = try open(&options, .{});
    const arena = instance.pool.arena();
    const lost_before = arena.report().lost_bytes;
    var ends = try connect(instance);
    for (0..3) |round| {
        _ = try send_some(&ends, @truncate(round));
        try ends.script.turn(0);
    }
    instance.close();
    try testing.expectEqual(lost_before, arena.report().lost_bytes);
}

fn check_denied(comptime case: Case) anyerror!void {
    var options = options_of(case);
    var failure: contract.Failure = .{};
    const bit: u32 = @intFromEnum(case.feature);
    const deny: instance_module.Deny = .{ .features = bit };
    if (Instance.open_without(&options, deny, &failure)) |instance| {
        instance.close();
        return error.TestUnexpectedResult;
    } else |err| {
        if (failure.reason != .none) return skip_backend(.io_uring, failure);
        try testing.expectEqual(error.NotGranted, err);
    }
    try testing.expectEqual(options_module.index_of_field(case.field), options.error_detail);
    options = options_of(case);
    options.best_effort = yes;
    const instance = try open(&options, deny);
    defer instance.close();
    try testing.expectEqual(@as(u32, 0), options.granted_features & bit);
    var ends = try connect(instance);
    try exchange(&ends, 3);
}

/// Each case that this kernel can; skips when there is none.
fn check_each(comptime check: fn (comptime Case) anyerror!void) !void {
    var checked: u32 = 0;
    inline for (cases) |case| {
        if (check(case)) {
            checked += 1;
        } else |err| if (err != error.SkipZigTest) {
            std.debug.print("{t}\n", .{case.feature});
            return err;
        }
    }
    if (checked == 0) return error.SkipZigTest;
}

test "each option carries a stream with backpressure" {
    try check_each(check_echo);
}

test "a loop with an option closes with everything in flight, and nothing is lost" {
    try check_each(check_close);
}

test "a loop is not idle while the kernel reads its buffers" {
    var options = options_of(cases[1]);
    const instance = try open(&options, .{});
    defer instance.close();
    // As if one notification did not come.
    instance.loop.backend.notices.holding += 1;
    try testing.expect(!instance.work.close_all());
    instance.loop.backend.notices.holding -= 1;
    try testing.expect(instance.work.close_all());
}

test "a denied option is refused by name, or done without" {
    try check_each(check_denied);
}

test "a connection for whose parts there is no place ends, and the others go on" {
    var options = options_of(cases[cases.len - 1]);
    const instance = try open(&options, .{});
    defer instance.close();
    const nodes = &instance.work.net.streams.held_nodes;
    nodes.deinit();
    nodes.* = try .init(4);
    var ends = try connect(instance);
    const script = &ends.script;
    const connections = instance.work.net.streams.connections;
    connections[script.accepted_slot].options.high_water_mark = 2 * options.buffer_size;
    // More than a turn delivers, in many parts.
    _ = try send_some(&ends, 1);
    var result: i32 = 0;
    for (0..turns_max) |_| {
        try script.turn(1000);
        if (result == 0) result = script.last_result;
        if (script.closed == 2) break;
    }
    try testing.expectEqual(kernel.negative(.NOBUFS), result);
    try testing.expectEqual(@as(u32, 2), script.closed);
    var others = try connect(instance);
    try exchange(&others, 3);
    try expect_all_back(&others.script);
}

test "without registered rings and files everything works" {
    var options = small_options();
    const denied: u32 = @intFromEnum(Feature.registered_ring) |
        @intFromEnum(Feature.registered_files);
    const instance = try open(&options, .{ .features = denied });
    defer instance.close();
    try testing.expectEqual(@as(u32, 0), options.granted_features & denied);
    var ends = try connect(instance);
    try exchange(&ends, 3);
}

test "more loops than a thread may register rings" {
    var instances: [20]*Instance = undefined;
    var opened: u32 = 0;
    defer for (instances[0..opened]) |instance| instance.close();
    var registered: u32 = 0;
    for (&instances) |*instance| {
        var options = small_options();
        options.max_kib = 64;
        options.slab_kib = 64;
        options.buffer_size = 512;
        options.receive_buffers = 8;
        instance.* = try open(&options, .{});
        opened += 1;
        const bit: u32 = @intFromEnum(Feature.registered_ring);
        registered += @intFromBool(options.granted_features & bit != 0);
    }
    try testing.expect(registered == 16 or registered == 0);
    var ends = try connect(instances[19]);
    try exchange(&ends, 2);
}
