//! Connections that come from elsewhere and leave again, over every backend: what is left of one
//! disturbs no other.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const rights = @import("../sys/rights.zig");
const sockets = @import("../sys/sockets.zig");
const given = @import("../net/given.zig");
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const script_module = @import("script_test.zig");
const Script = script_module.Script;
const small_options = script_module.small_options;

const testing = std.testing;
const turns_max = 1000;

/// A Unix socket has no options of TCP.
const stream_options: layout.StreamOptions = options: {
    var options = script_module.stream_options;
    options.socket.values = @splat(layout.option_unset);
    break :options options;
};

fn open_pair() ![2]i32 {
    var pair: [2]i32 = undefined;
    try testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    return pair;
}

fn adopt(instance: anytype, descriptor: i32) !u32 {
    const slot = instance.adopt_connection(&std.mem.zeroInit(layout.ConnectionOptions, .{
        .size = @sizeOf(layout.ConnectionOptions),
        .descriptor = @as(u32, @intCast(descriptor)),
        .stream = stream_options,
    }));
    try testing.expect(slot >= 0);
    return @intCast(slot);
}

fn generation_of(instance: anytype, slot: u32) u32 {
    return instance.work.net.streams.connections[slot].generation;
}

fn check_unused(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    // Two slots that were used, of which the second one had descriptor `number`.
    const first = try open_pair();
    const second = try open_pair();
    const number = second[0];
    for ([_][2]i32{ first, second }, 0..) |pair, slot| {
        try testing.expectEqual(@as(u32, @intCast(slot)), try adopt(instance, pair[0]));
        try script.turn(0);
    }
    for ([_][2]i32{ first, second }, 1..) |pair, closed| {
        sockets.close(pair[1]);
        for (0..turns_max) |_| {
            if (script.closed == closed) break;
            try script.turn(1000);
        }
        try testing.expectEqual(@as(u32, @intCast(closed)), script.closed);
    }
    try script.turn(0);

    // A connection on the first slot that has that number now.
    const pair = try open_pair();
    defer sockets.close(pair[1]);
    if (pair[0] != number) {
        const moved = kernel.result(linux.dup3(pair[0], number, 0));
        try testing.expectEqual(number, moved);
        sockets.close(pair[0]);
    }
    try testing.expectEqual(@as(u32, 0), try adopt(instance, number));
    try script.turn(0);
    // One that leaves the second slot before it was read.
    const other = try open_pair();
    defer sockets.close(other[1]);
    try testing.expectEqual(@as(u32, 1), try adopt(instance, other[0]));
    script.handle(.detach, 1, generation_of(instance, 1));
    for (0..turns_max) |_| {
        if (script.detached == 1) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 1), script.detached);

    try testing.expectEqual(@as(i32, 1), sockets.send(pair[1], "x"));
    for (0..turns_max) |_| {
        if (script.received == 1) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u64, 1), script.received);
}

test "a connection that leaves before it was read takes nobody's readiness along" {
    try over_rows(check_unused);
}

fn relay(instance: anytype, first: u32, second: u32) i32 {
    return instance.relay(&.{
        .size = @sizeOf(layout.RelayOptions),
        .first_slot = first,
        .first_generation = generation_of(instance, first),
        .second_slot = second,
        .second_generation = generation_of(instance, second),
        .high_water_mark = 65_536,
        .idle_timeout_ms = 0,
        .half_open_timeout_ms = 0,
    });
}

fn set_segmenter(instance: anytype, slot: u32, fixed_bytes: u32) i32 {
    const is_none = fixed_bytes == 0;
    const kind: layout.SegmenterKind = if (is_none) .none else .fixed;
    return instance.set_segmenter(&.{
        .size = @sizeOf(layout.SegmenterOptions),
        .slot = slot,
        .generation = generation_of(instance, slot),
        .dispatched = 0,
        .consumed = 0,
        .segmenter = std.mem.zeroInit(layout.Segmenter, .{
            .kind = @intFromEnum(kind),
            .max_length = fixed_bytes,
            .fixed_bytes = fixed_bytes,
        }),
    });
}

fn check_segmenter(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const pair = try open_pair();
    defer sockets.close(pair[1]);
    const slot = try adopt(instance, pair[0]);
    try script.turn(0);
    try testing.expectEqual(@as(i32, 1), sockets.send(pair[1], "x"));
    script.handle(.detach, slot, generation_of(instance, slot));
    try testing.expectEqual(@as(i32, 0), instance.submit(script.submissions));
    script.submissions = 0;
    const busy = @intFromEnum(layout.Status.busy);
    try testing.expectEqual(busy, set_segmenter(instance, slot, 8));
    for (0..turns_max) |_| {
        if (script.detached == 1) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 1), script.detached);
    try testing.expectEqual(busy, set_segmenter(instance, slot, 8));
    try testing.expectEqual(busy, set_segmenter(instance, slot, 0));
}

test "a connection that is leaving gets no segmenter" {
    try over_rows(check_segmenter);
}

fn check_descriptors(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const pair = try open_pair();
    defer sockets.close(pair[1]);
    var adopting = std.mem.zeroInit(layout.ConnectionOptions, .{
        .size = @sizeOf(layout.ConnectionOptions),
        .descriptor = @as(u32, @intCast(pair[0])),
        .stream = stream_options,
    });
    adopting.stream.descriptors = 1;
    adopting.stream.segmenter.kind = @intFromEnum(layout.SegmenterKind.fixed);
    adopting.stream.segmenter.max_length = 8;
    adopting.stream.segmenter.fixed_bytes = 8;
    const bad_argument = @intFromEnum(layout.Status.bad_argument);
    try testing.expectEqual(bad_argument, instance.adopt_connection(&adopting));
    adopting.stream.segmenter.kind = 0;
    const slot = instance.adopt_connection(&adopting);
    try testing.expect(slot >= 0);
    const unsupported = @intFromEnum(layout.Status.unsupported);
    try testing.expectEqual(unsupported, set_segmenter(instance, @intCast(slot), 8));
    try testing.expectEqual(@as(i32, 0), set_segmenter(instance, @intCast(slot), 0));
}

test "a connection that takes descriptors gets no segmenter" {
    try over_rows(check_descriptors);
}

/// A receive of a Unix socket ends behind bytes that came with descriptors.
fn check_apart(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    var slots: [2]u32 = undefined;
    var peers: [2]i32 = undefined;
    for (&slots, &peers) |*slot, *peer| slot.*, peer.* = try adopt_pair(instance);
    defer for (peers) |peer| sockets.close(peer);
    try script.turn(0);
    var received: u64 = 0;
    for (0..3) |round| {
        var control: [rights.control_bytes]u8 align(8) = undefined;
        const along = rights.encode(&.{peers[1]}, &control);
        try testing.expectEqual(@as(i32, 1), sockets.send_control(peers[0], "x", along));
        try testing.expectEqual(@as(i32, 4), sockets.send(peers[0], "rest"));
        received += 5;
        for (0..turns_max) |_| {
            if (instance.loop.counters.received_bytes == received) break;
            try script.turn(1000);
        }
        try testing.expectEqual(received, instance.loop.counters.received_bytes);
        // The other rounds go through a relay.
        if (round == 0) {
            try testing.expectEqual(@as(i32, 0), relay(instance, slots[0], slots[1]));
        }
        try script.turn(0);
    }
}

test "bytes behind descriptors that nobody wants are received, too" {
    try over_rows(check_apart);
}

/// A connection of the loop, and the descriptor of its peer.
fn adopt_pair(instance: anytype) !struct { u32, i32 } {
    const pair = try open_pair();
    errdefer sockets.close(pair[1]);
    return .{ try adopt(instance, pair[0]), pair[1] };
}

/// What a segmenter held back goes to the other side also when the relay closes at once.
fn check_relay(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const from, const sender = try adopt_pair(instance);
    defer sockets.close(sender);
    const to, const receiver = try adopt_pair(instance);
    defer sockets.close(receiver);
    try testing.expectEqual(@as(i32, 0), set_segmenter(instance, from, 8));
    try testing.expectEqual(@as(i32, 5), sockets.send(sender, "hello"));
    for (0..turns_max) |_| {
        if (instance.loop.counters.received_bytes == 5) break;
        try script.turn(1000);
    }
    try script.turn(0);
    try testing.expectEqual(@as(i32, 0), set_segmenter(instance, from, 0));
    try testing.expectEqual(@as(i32, 0), relay(instance, from, to));
    script.handle(.close, from, generation_of(instance, from));
    for (0..20) |_| try script.turn(0);
    var bytes: [8]u8 = undefined;
    try testing.expectEqual(@as(i32, 5), sockets.receive(receiver, &bytes));
    try testing.expectEqualStrings("hello", bytes[0..5]);
    try testing.expectEqual(@as(i32, 0), sockets.receive(receiver, &bytes));
}

test "a relay that closes passes on what a segmenter has held back" {
    try over_rows(check_relay);
}

/// The end of a direction is the relay's to bring about.
fn check_shutdown(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const from, const sender = try adopt_pair(instance);
    defer sockets.close(sender);
    const to, const receiver = try adopt_pair(instance);
    defer sockets.close(receiver);
    try testing.expectEqual(@as(i32, 0), relay(instance, from, to));
    try script.turn(0);
    script.handle(.shutdown, to, generation_of(instance, to));
    try script.turn(0);
    try testing.expectEqual(@as(u64, 1), instance.loop.counters.rejected);
    try testing.expectEqual(@as(i32, 5), sockets.send(sender, "hello"));
    try testing.expectEqual(@as(i32, 0), sockets.shutdown_send(sender));
    var bytes: [8]u8 = undefined;
    for (0..20) |_| try script.turn(1000);
    try testing.expectEqual(@as(i32, 5), sockets.receive(receiver, &bytes));
    try testing.expectEqualStrings("hello", bytes[0..5]);
    try testing.expectEqual(@as(i32, 0), sockets.receive(receiver, &bytes));
}

test "a relayed connection is not shut down by the script" {
    try over_rows(check_shutdown);
}

fn check_limit(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    options.clock = @intFromEnum(layout.ClockKind.virtual);
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const pair = try open_pair();
    defer sockets.close(pair[1]);
    const slot = try adopt(instance, pair[0]);
    try script.turn(0);
    const generation = generation_of(instance, slot);
    script.handle(.detach, slot, generation);
    for (0..turns_max) |_| {
        if (script.detached == 1) break;
        try script.turn(1000);
    }
    var control = std.mem.zeroInit(layout.SocketControl, .{
        .size = @sizeOf(layout.SocketControl),
        .kind = @intFromEnum(layout.SocketKind.connection),
        .slot = slot,
        .generation = generation,
        .idle_timeout_ms = 1,
    });
    control.socket.values = @splat(layout.option_unset);
    try testing.expectEqual(@as(i32, 0), instance.configure(&control));
    try testing.expect(instance.loop.advance_clock(1000 * std.time.ns_per_ms));
    for (0..4) |_| try script.turn(0);
    try testing.expectEqual(@as(u32, 0), script.closed);
    try testing.expectEqual(pair[0], instance.work.net.take_detached(slot, generation));
    try testing.expectEqual(@as(i32, 0), given.close(pair[0]));
}

test "a connection that rests is not ended by an idle limit that it gets then" {
    try over_rows(check_limit);
}

fn check_unstaged(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const buffer = instance.take_buffer(100);
    try testing.expect(buffer >= 0);
    script.submit(std.mem.zeroInit(layout.SendEntry, .{
        .operation = .send,
        .flags = layout.send_flag_move | layout.send_flag_descriptors,
        .buffer = @as(u32, @intCast(buffer)),
        .buffer_generation = instance.loop.channel.header.result_generation,
        .length = 100,
        .descriptors = 7,
    }));
    try script.turn(0);
    try testing.expectEqual(@as(u64, 1), instance.loop.counters.rejected);
    try testing.expectEqual(@as(u32, 0), instance.pool.buffers_in_use);
}

test "a send of descriptors that nobody staged gives its buffer back" {
    try over_rows(check_unstaged);
}

fn check_watched(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const listener = sockets.open_stream(sockets.AF.INET, true);
    defer sockets.close(listener);
    try testing.expectEqual(@as(i32, 0), sockets.listen(listener, 1));
    try testing.expect(instance.watch(listener, layout.ready_readable) >= 0);
    var listening: layout.ListenOptions = .{
        .size = @sizeOf(layout.ListenOptions),
        .address = std.mem.zeroes(layout.Address),
        .backlog = 1,
        .stream = stream_options,
    };
    listening.address.family = @intFromEnum(layout.AddressFamily.descriptor);
    listening.address.port = @intCast(listener);
    try testing.expectEqual(kernel.negative(.EXIST), instance.listen(&listening));
}

test "a descriptor that is watched is no listener's" {
    try over_rows(check_watched);
}
