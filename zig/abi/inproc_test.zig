//! In-process connections as scripts see them, over every backend: between loops of one thread, and
//! of two threads that sleep and wake each other.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const address = @import("../net/address.zig");
const pipes = @import("../net/inproc/pipe.zig");
const on_valgrind = @import("../sys/record_test.zig").on_valgrind;
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const script_module = @import("script_test.zig");
const Script = script_module.Script;
const small_options = script_module.small_options;

const testing = std.testing;
const turns_max = 200_000;

/// A pipe has no options of sockets.
const stream_options: layout.StreamOptions = options: {
    var options = script_module.stream_options;
    options.socket.values = @splat(layout.option_unset);
    break :options options;
};

fn listen(instance: anytype, name: []const u8, backlog: u32) i32 {
    return instance.listen(&.{
        .size = @sizeOf(layout.ListenOptions),
        .address = address.of_name(name),
        .backlog = backlog,
        .stream = stream_options,
    });
}

fn connect(instance: anytype, name: []const u8) i32 {
    return instance.connect(&.{
        .size = @sizeOf(layout.ConnectOptions),
        .address = address.of_name(name),
        .timeout_ms = 5000,
        .stream = stream_options,
    });
}

fn check_passing(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const bad_argument = @intFromEnum(layout.Status.bad_argument);
    var listening: layout.ListenOptions = .{
        .size = @sizeOf(layout.ListenOptions),
        .address = address.of_name("passing"),
        .backlog = 1,
        .stream = stream_options,
    };
    listening.stream.descriptors = 1;
    try testing.expectEqual(bad_argument, instance.listen(&listening));
    var connecting: layout.ConnectOptions = .{
        .size = @sizeOf(layout.ConnectOptions),
        .address = address.of_name("passing"),
        .timeout_ms = 0,
        .stream = listening.stream,
        .attempt_delay_ms = 250,
    };
    try testing.expectEqual(bad_argument, instance.connect(&connecting));
    // Nor over whatever a host name stands for.
    connecting.address = std.mem.zeroes(layout.Address);
    connecting.name[0..9].* = "localhost".*;
    connecting.name_length = 9;
    try testing.expectEqual(bad_argument, instance.connect(&connecting));
    try testing.expectEqual(@as(u32, 0), instance.work.net.open_count());
}

test "descriptors do not go over names" {
    try over_rows(check_passing);
}

fn in_use(instance: anytype) u32 {
    return instance.pool.buffers_in_use;
}

fn check_ends(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const near = try open(Backend, trigger, &options);
    defer near.close();
    const far = try open(Backend, trigger, &options);
    defer far.close();
    var client: Script(Backend) = .{ .instance = near };
    var server: Script(Backend) = .{ .instance = far };

    const listener = listen(far, "ends", 8);
    try testing.expect(listener >= 0);
    try testing.expectEqual(kernel.negative(.ADDRINUSE), listen(near, "ends", 8));
    const slot: u32 = @intCast(connect(near, "ends"));
    const generation = near.loop.channel.header.result_generation;
    try testing.expect(try client.send(slot, generation, 3, 3000));
    for (0..20) |_| {
        try client.turn(0);
        try server.turn(0);
    }
    try testing.expectEqual(@as(u64, 3000), client.received);
    try testing.expectEqual(@as(u64, 9000), client.checksum);
    client.handle(.close, slot, generation);
    for (0..20) |_| {
        try client.turn(0);
        try server.turn(0);
    }
    try testing.expectEqual(@as(u32, 1), client.closed);
    try testing.expectEqual(@as(u32, 1), server.closed);
    try testing.expectEqual(@as(u32, 0), in_use(near) + in_use(far));

    // A loop that closes resets what is open on it.
    const again: u32 = @intCast(connect(near, "ends"));
    _ = again;
    try client.turn(0);
    try server.turn(0);
    try client.turn(0);
    server.handle(.listener_close, @intCast(listener), 0);
    try server.turn(0);
    const refused = connect(near, "ends");
    try testing.expect(refused >= 0);
    for (0..20) |_| try client.turn(0);
    try testing.expectEqual(@as(u32, 2), client.closed);
    try testing.expectEqual(kernel.negative(.CONNREFUSED), client.last_result);
}

test "an in-process connection from its start to its end, on each backend" {
    try over_rows(check_ends);
}

/// The other end of a connection, on a thread of its own: echoes until its connection has ended.
fn Echo(comptime Backend: type) type {
    return struct {
        const Self = @This();

        trigger: layout.Trigger,
        name: []const u8,
        listens: std.atomic.Value(u32) = .init(0),
        /// Closes its loop in the middle.
        leaves_after: u64 = std.math.maxInt(u64),
        result: anyerror!void = {},

        fn run(self: *Self) void {
            self.result = self.serve();
            self.listens.store(1, .release);
        }

        fn serve(self: *Self) !void {
            var options = small_options();
            const instance = try open(Backend, self.trigger, &options);
            defer instance.close();
            var server: Script(Backend) = .{ .instance = instance };
            try testing.expect(listen(instance, self.name, 8) >= 0);
            self.listens.store(1, .release);
            for (0..turns_max) |_| {
                if (server.closed == 1) break;
                if (instance.loop.counters.received_bytes > self.leaves_after) return;
                try server.turn(wait_us());
            }
            try testing.expectEqual(@as(u32, 1), server.closed);
            try testing.expectEqual(@as(u32, 0), in_use(instance));
        }
    };
}

/// Valgrind lets no other thread run while one waits.
fn wait_us() u32 {
    return if (on_valgrind()) 1000 else 1_000_000;
}

fn start_echo(comptime Backend: type, echo: *Echo(Backend)) !std.Thread {
    const thread = try std.Thread.spawn(.{}, Echo(Backend).run, .{echo});
    while (echo.listens.load(.acquire) == 0) std.Thread.yield() catch {};
    return thread;
}

fn check_threads(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const near = try open(Backend, trigger, &options);
    defer near.close();
    var echo: Echo(Backend) = .{ .trigger = trigger, .name = "threads" };
    const thread = try start_echo(Backend, &echo);
    {
        defer thread.join();
        try exchange(Backend, near);
    }
    try echo.result;
    try testing.expectEqual(@as(u32, 0), in_use(near));
}

fn exchange(comptime Backend: type, near: anytype) !void {
    var client: Script(Backend) = .{ .instance = near };
    const rounds: u64 = if (on_valgrind()) 50 else 1000;
    const opened = connect(near, "threads");
    if (opened < 0) return error.Refused;
    const slot: u32 = @intCast(opened);
    const generation = near.loop.channel.header.result_generation;
    var random = std.Random.DefaultPrng.init(7);
    var sent: u64 = 0;
    var sum: u64 = 0;
    for (0..rounds) |round| {
        const byte: u8 = @truncate(round);
        // Alone they move, several short ones come together, and what is long fills the pipe.
        for (0..random.random().uintAtMost(u32, 3)) |_| {
            const length = random.random().intRangeAtMost(u32, 1, 3000);
            if (!try client.send(slot, generation, byte, length)) break;
            sent += length;
            sum += @as(u64, byte) * length;
        }
        const behind: u64 = if (round % 4 == 0) 0 else 20_000;
        for (0..turns_max) |_| {
            const is_done = client.received + behind >= sent;
            try client.turn(if (is_done) 0 else wait_us());
            if (is_done) break;
        }
    }
    for (0..turns_max) |_| {
        if (client.received == sent) break;
        try client.turn(wait_us());
    }
    try testing.expectEqual(sent, client.received);
    try testing.expectEqual(sum, client.checksum);
    client.handle(.close, slot, generation);
    for (0..turns_max) |_| {
        if (client.closed == 1) break;
        try client.turn(wait_us());
    }
    try testing.expectEqual(@as(i32, 0), client.last_result);
}

test "two threads that sleep and wake each other lose nothing, on each backend" {
    try over_rows(check_threads);
}

fn check_leaving(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const near = try open(Backend, trigger, &options);
    defer near.close();
    const rounds: u64 = if (on_valgrind()) 2 else 20;
    for (0..rounds) |round| {
        var echo: Echo(Backend) = .{
            .trigger = trigger,
            .name = "leaving",
            .leaves_after = round * 1000,
        };
        const thread = try start_echo(Backend, &echo);
        {
            defer thread.join();
            try talk_until_reset(Backend, near);
        }
        try echo.result;
        try testing.expectEqual(@as(u32, 0), in_use(near));
    }
}

fn talk_until_reset(comptime Backend: type, near: anytype) !void {
    var client: Script(Backend) = .{ .instance = near };
    const opened = connect(near, "leaving");
    if (opened < 0) return error.Refused;
    const slot: u32 = @intCast(opened);
    const generation = near.loop.channel.header.result_generation;
    for (0..turns_max) |_| {
        if (client.closed == 1) break;
        _ = try client.send(slot, generation, 1, 700);
        try client.turn(100);
    }
    try testing.expectEqual(kernel.negative(.CONNRESET), client.last_result);
    // What was sent last was refused; its buffers are back after the next turn.
    try client.turn(0);
}

test "a loop that closes on another thread resets its connections, and nothing is lost" {
    const before = pipes.free_count();
    try over_rows(check_leaving);
    // All that were taken are free again.
    try testing.expect(pipes.free_count() >= before);
}
