//! Watched descriptors as a script sees them, over every backend.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const Script = @import("script_test.zig").Script;
const small_options = @import("script_test.zig").small_options;

const testing = std.testing;
const turns_max = 1000;

const readable = layout.ready_readable;
const writable = layout.ready_writable;
const hangup = layout.ready_hangup;

fn socket_pair() ![2]i32 {
    var pair: [2]i32 = undefined;
    const kind = linux.SOCK.STREAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    const rc = kernel.result(linux.socketpair(linux.AF.UNIX, kind, 0, &pair));
    try testing.expectEqual(@as(i32, 0), rc);
    return pair;
}

/// What the next turn that tells of the slot says, or null when none does for a while.
fn told(instance: anytype, slot: i32) !?i32 {
    for (0..20) |_| {
        const count = instance.turn(0, 1000, 0);
        try testing.expect(count >= 0);
        var result: ?i32 = null;
        for (instance.loop.channel.completions[0..@intCast(count)]) |completion| {
            if (completion.event != .ready or completion.slot != slot) continue;
            // Once in a turn.
            try testing.expectEqual(@as(?i32, null), result);
            result = completion.result;
        }
        if (result) |found| return found;
    }
    return null;
}

fn write(descriptor: i32, text: []const u8) void {
    _ = linux.write(descriptor, text.ptr, text.len);
}

fn drain(descriptor: i32) void {
    var bytes: [64]u8 = undefined;
    while (kernel.result(linux.read(descriptor, &bytes, bytes.len)) > 0) {}
}

fn check_level(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const pair = try socket_pair();
    defer kernel.close(pair[0]);
    const slot = instance.watch(pair[0], readable);
    try testing.expect(slot >= 0);
    const generation = instance.loop.channel.header.result_generation;
    try testing.expectEqual(@as(?i32, null), try told(instance, slot));
    write(pair[1], "hello");
    // As long as it lasts.
    for (0..3) |_| try testing.expectEqual(@as(?i32, readable), try told(instance, slot));
    drain(pair[0]);
    while (try told(instance, slot) != null) {}
    const at: u32 = @intCast(slot);
    try testing.expectEqual(@as(i32, 0), instance.modify_watch(at, generation, writable));
    try testing.expectEqual(@as(?i32, writable), try told(instance, slot));
    try testing.expectEqual(@as(i32, 0), instance.modify_watch(at, generation, readable));
    while (try told(instance, slot) != null) {}
    kernel.close(pair[1]);
    try testing.expectEqual(@as(?i32, readable | hangup), try told(instance, slot));
    try testing.expectEqual(@as(i32, 0), instance.remove_watch(at, generation));
    try testing.expectEqual(@as(?i32, null), try told(instance, slot));
    const gone = kernel.negative(.NOENT);
    try testing.expectEqual(gone, instance.remove_watch(at, generation));
    try testing.expectEqual(gone, instance.modify_watch(at, generation, readable));
    try testing.expectEqual(@as(u32, 0), instance.work.watches.open_count);
}

test "a watched descriptor is told of as long as it is ready" {
    try over_rows(check_level);
}

fn check_edge(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const pair = try socket_pair();
    defer for (pair) |descriptor| kernel.close(descriptor);
    const slot = instance.watch(pair[0], readable | layout.watch_edge);
    if (!Backend.has_edges) {
        try testing.expectEqual(@intFromEnum(layout.Status.unsupported), slot);
        return;
    }
    try testing.expect(slot >= 0);
    for (0..3) |_| {
        write(pair[1], "hello");
        try testing.expectEqual(@as(?i32, readable), try told(instance, slot));
        try testing.expectEqual(@as(?i32, null), try told(instance, slot));
        drain(pair[0]);
    }
}

test "with edges a change is told of once" {
    try over_rows(check_edge);
}

fn check_errors(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    options.max_watches = 2;
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const pair = try socket_pair();
    defer for (pair) |descriptor| kernel.close(descriptor);
    const bad = kernel.negative(.BADF);
    try testing.expectEqual(bad, instance.watch(-1, readable));
    try testing.expectEqual(bad, instance.watch(900_000, readable));
    const argument = @intFromEnum(layout.Status.bad_argument);
    for ([_]u32{ 0, layout.ready_error, 32, layout.watch_edge }) |interest| {
        try testing.expectEqual(argument, instance.watch(pair[0], interest));
    }
    const file = kernel.result(linux.open("/proc/self/exe", .{ .CLOEXEC = true }, 0));
    try testing.expect(file >= 0);
    defer kernel.close(file);
    try testing.expectEqual(kernel.negative(.PERM), instance.watch(file, readable));
    const first = instance.watch(pair[0], readable);
    try testing.expect(first >= 0);
    try testing.expectEqual(kernel.negative(.EXIST), instance.watch(pair[0], writable));
    try testing.expect(instance.watch(pair[1], readable) >= 0);
    const event = kernel.result(linux.eventfd(0, linux.EFD.CLOEXEC));
    defer kernel.close(event);
    const exhausted = @intFromEnum(layout.Status.exhausted);
    try testing.expectEqual(exhausted, instance.watch(event, readable));
}

test "what cannot be watched is refused by name" {
    try over_rows(check_errors);
}

/// A number that is closed right after its watch was removed, and is another descriptor then.
fn check_reuse(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var number: i32 = -1;
    for (0..50) |_| {
        const pair = try socket_pair();
        defer for (pair) |descriptor| kernel.close(descriptor);
        if (number >= 0) try testing.expectEqual(number, pair[0]);
        number = pair[0];
        const slot = instance.watch(pair[0], readable);
        try testing.expect(slot >= 0);
        const generation = instance.loop.channel.header.result_generation;
        try testing.expectEqual(@as(i32, 0), instance.turn(0, 0, 0));
        write(pair[1], "x");
        try testing.expectEqual(@as(?i32, readable), try told(instance, slot));
        const rc = instance.remove_watch(@intCast(slot), generation);
        try testing.expectEqual(@as(i32, 0), rc);
    }
}

test "a descriptor may be closed and its number watched again as soon as its watch is removed" {
    try over_rows(check_reuse);
}

/// Select fails as a whole while it is given a descriptor that is none.
fn check_closed_by_others(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const closed = try socket_pair();
    const kept = try socket_pair();
    defer for (kept) |descriptor| kernel.close(descriptor);
    try testing.expect(instance.watch(closed[0], readable) >= 0);
    const slot = instance.watch(kept[0], readable);
    try testing.expectEqual(@as(i32, 0), instance.turn(0, 0, 0));
    for (closed) |descriptor| kernel.close(descriptor);
    write(kept[1], "x");
    try testing.expectEqual(@as(?i32, readable), try told(instance, slot));
}

test "a watched descriptor that somebody closes does not disturb the others" {
    try over_rows(check_closed_by_others);
}

/// A connection is accepted under the number of a watch that was removed and has not ended.
fn check_accepted_under_number(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const port = try script.port_of(try script.listen());
    const pair = try socket_pair();
    defer kernel.close(pair[1]);
    const client = sockets.open_stream(sockets.AF.INET, false);
    defer kernel.close(client);
    const slot = instance.watch(pair[0], readable);
    try testing.expect(slot >= 0);
    const generation = instance.loop.channel.header.result_generation;
    try script.turn(0);
    const rc = instance.remove_watch(@intCast(slot), generation);
    try testing.expectEqual(@as(i32, 0), rc);
    kernel.close(pair[0]);
    var address: sockets.SocketAddress = undefined;
    address.storage.in4 = .{
        .port = std.mem.nativeToBig(u16, @intCast(port)),
        .addr = std.mem.nativeToBig(u32, 0x7f00_0001),
    };
    try testing.expectEqual(@as(i32, 0), sockets.connect(client, &address));
    script.echo = false;
    for (0..turns_max) |_| {
        if (script.opened == 1) break;
        try script.turn(1000);
    }
    const connection = &instance.work.net.streams.connections[script.accepted_slot];
    try testing.expectEqual(pair[0], connection.descriptor);
    script.accepted_slot = layout.no_slot;
    write(client, "x");
    for (0..turns_max) |_| {
        if (script.received == 1 or script.closed == 1) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u64, 1), script.received);
}

test "a connection under the number of a watch that is ending is read" {
    try over_rows(check_accepted_under_number);
}

fn is_readable(descriptor: i32) bool {
    return sockets.ready_within(descriptor, 0, .{ .readable = true }).readable;
}

/// Select takes for ready what its loop's other poller does not take at all.
fn check_armed(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const wakes = instance.loop.backend.wake_descriptor();
    try testing.expect(wakes >= 0);
    const nothing = kernel.result(linux.open("/dev/null", .{ .CLOEXEC = true }, 0));
    try testing.expect(nothing >= 0);
    defer kernel.close(nothing);
    const slot = instance.watch(nothing, readable);
    try testing.expect(slot >= 0);
    const generation = instance.loop.channel.header.result_generation;
    for (0..3) |_| {
        const result = try told(instance, slot) orelse return error.NothingTold;
        // Others tell that it cannot be watched, and are done.
        if (result < 0) return;
        if (!instance.loop.arm(&instance.work)) continue;
        try testing.expect(is_readable(wakes));
    }
    _ = instance.turn(0, 0, 0);
    try testing.expectEqual(@as(i32, 0), instance.remove_watch(@intCast(slot), generation));
    for (0..3) |_| _ = instance.turn(0, 0, 0);
    try testing.expect(instance.loop.arm(&instance.work));
    try testing.expect(!is_readable(wakes));
}

test "a host that sleeps is woken by what is always ready" {
    try over_rows(check_armed);
}

/// While a loop closes its turns do not go on.
fn check_rest_ends(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const pair = try socket_pair();
    defer for (pair) |descriptor| kernel.close(descriptor);
    const slot = instance.watch(pair[0], writable);
    try testing.expectEqual(@as(?i32, writable), try told(instance, slot));
    try testing.expect(instance.work.close_all());
    try testing.expect(!instance.work.watches.waiting());
}

test "a loop that closes rests for no watch" {
    try over_rows(check_rest_ends);
}

/// A connection that has a watched descriptor's number, because that was closed too early.
fn check_lost(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const port = try script.port_of(try script.listen());
    const pair = try socket_pair();
    const watch = instance.watch(pair[0], readable);
    const watch_generation = instance.loop.channel.header.result_generation;
    try script.turn(0);
    for (pair) |descriptor| kernel.close(descriptor);
    const slot = try script.connect(port);
    const generation = instance.loop.channel.header.result_generation;
    const streams = &instance.work.net.streams;
    try testing.expectEqual(pair[0], streams.connections[slot].descriptor);
    for (0..turns_max) |_| {
        if (script.opened == 2) break;
        try script.turn(1000);
    }
    const rc = instance.remove_watch(@intCast(watch), watch_generation);
    // A backend that notices has ended it by itself.
    try testing.expect(rc == 0 or rc == kernel.negative(.NOENT));
    try testing.expect(try script.send(slot, generation, 7, 100));
    for (0..turns_max) |_| {
        if (script.received == 100) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u64, 100 * 7), script.checksum);
}

test "the end of a watch leaves alone who has its descriptor's number" {
    try over_rows(check_lost);
}

/// Whoever closed it is told, where that can be noticed; everywhere else nothing comes of it.
fn check_told_closed(comptime Backend: type, trigger: layout.Trigger) !void {
    if (Backend.kind != .select) return;
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const pair = try socket_pair();
    defer kernel.close(pair[1]);
    const slot = instance.watch(pair[0], readable);
    const generation = instance.loop.channel.header.result_generation;
    try testing.expectEqual(@as(i32, 0), instance.turn(0, 0, 0));
    kernel.close(pair[0]);
    try testing.expectEqual(@as(?i32, kernel.negative(.BADF)), try told(instance, slot));
    const gone = kernel.negative(.NOENT);
    try testing.expectEqual(gone, instance.remove_watch(@intCast(slot), generation));
}

test "select tells that a watched descriptor was closed" {
    try over_rows(check_told_closed);
}
