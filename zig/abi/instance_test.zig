//! The native side as a script sees it, over both backends and every rung of the io_uring ladder: a
//! small script in Zig writes submissions and answers completions.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Epoll = @import("../backend/epoll.zig").Epoll;
const IoUring = @import("../backend/io_uring.zig").IoUring;
const uring = @import("../sys/uring.zig");
const Instance = @import("instance.zig").Instance;
const options_module = @import("options.zig");

const testing = std.testing;
const turns_max = 20_000;

/// Echoes what its listener's connections receive, and counts what its own connections get.
fn Script(comptime Backend: type) type {
    return struct {
        const Self = @This();

        instance: *Instance(Backend),
        submissions: u32 = 0,
        opened: u32 = 0,
        received: u64 = 0,
        checksum: u64 = 0,
        ended: u32 = 0,
        drained: u32 = 0,
        closed: u32 = 0,
        timers: u32 = 0,
        last_result: i32 = 0,
        last_error: i32 = 0,
        echo: bool = true,
        /// Release what is only borrowed, again and again.
        greedy: bool = false,
        accepted_slot: u32 = layout.no_slot,
        accepted_generation: u32 = 0,

        fn submit(self: *Self, entry: anytype) void {
            self.instance.loop.channel.submissions[self.submissions] = @bitCast(entry);
            self.submissions += 1;
        }

        fn handle(self: *Self, operation: layout.Operation, slot: u32, generation: u32) void {
            self.submit(std.mem.zeroInit(layout.HandleEntry, .{
                .operation = operation,
                .slot = slot,
                .generation = generation,
            }));
        }

        /// Takes a buffer, fills it and moves it into the connection's queue.
        fn send(self: *Self, slot: u32, generation: u32, byte: u8, length: u32) !void {
            const buffer = self.instance.take_buffer();
            try testing.expect(buffer >= 0);
            const index: u32 = @intCast(buffer);
            @memset(self.instance.pool.pointer(index)[0..length], byte);
            self.submit(std.mem.zeroInit(layout.SendEntry, .{
                .operation = .send,
                .flags = layout.send_flag_move,
                .slot = slot,
                .generation = generation,
                .buffer = index,
                .buffer_generation = self.instance.loop.channel.header.result_generation,
                .length = length,
            }));
        }

        fn turn(self: *Self, wait_us: u32) !void {
            const submissions = self.submissions;
            self.submissions = 0;
            const count = self.instance.turn(submissions, wait_us, 0);
            try testing.expect(count >= 0);
            for (self.instance.loop.channel.completions[0..@intCast(count)]) |completion| {
                self.dispatch(completion);
            }
        }

        fn dispatch(self: *Self, completion: layout.Completion) void {
            switch (completion.event) {
                .none => unreachable,
                .open => {
                    self.opened += 1;
                    if (completion.result < 0) return;
                    self.accepted_slot = completion.slot;
                    self.accepted_generation = completion.generation;
                },
                .data => self.data(completion),
                .end => self.ended += 1,
                .drain => self.drained += 1,
                .closed => {
                    self.closed += 1;
                    self.last_result = completion.result;
                },
                .timer => self.timers += 1,
                .listener_error => self.last_error = completion.result,
                .listener_closed => {},
            }
        }

        fn data(self: *Self, completion: layout.Completion) void {
            if (self.greedy) {
                for (0..3) |_| self.submit(std.mem.zeroInit(layout.BufferEntry, .{
                    .operation = .release,
                    .buffer = completion.buffer,
                    .buffer_generation = completion.buffer_generation,
                }));
            }
            if (completion.slot == self.accepted_slot and self.echo) {
                return self.submit(std.mem.zeroInit(layout.SendEntry, .{
                    .operation = .send,
                    .slot = completion.slot,
                    .generation = completion.generation,
                    .buffer = completion.buffer,
                    .buffer_generation = completion.buffer_generation,
                    .offset = completion.offset,
                    .length = completion.length,
                }));
            }
            self.received += completion.length;
            const bytes = self.instance.pool.pointer(completion.buffer);
            for (bytes[completion.offset..][0..completion.length]) |byte| self.checksum += byte;
        }

        fn listen(self: *Self) !u32 {
            const slot = self.instance.listen(&.{
                .size = @sizeOf(layout.ListenOptions),
                .address = loopback(0),
                .backlog = 128,
                .reuse_port = 0,
                .ipv6_only = 0,
                .stream = stream_options,
            });
            try testing.expect(slot >= 0);
            return @intCast(slot);
        }

        fn connect(self: *Self, port: u32) !u32 {
            const slot = self.instance.connect(&.{
                .size = @sizeOf(layout.ConnectOptions),
                .address = loopback(port),
                .timeout_ms = 5000,
                .stream = stream_options,
            });
            try testing.expect(slot >= 0);
            return @intCast(slot);
        }

        fn port_of(self: *Self, listener: u32) !u32 {
            const generation = self.instance.net.listeners.listeners[listener].generation;
            const rc = self.instance.listener_address(listener, generation);
            try testing.expectEqual(@as(i32, 0), rc);
            return self.instance.loop.channel.header.address.port;
        }
    };
}

const stream_options: layout.StreamOptions = .{
    .no_delay = 1,
    .high_water_mark = 65_536,
    .linger_timeout_ms = 1000,
    .allow_half_open = 0,
};

fn loopback(port: u32) layout.Address {
    return .{
        .family = 4,
        .port = port,
        .scope = 0,
        .bytes = [_]u8{ 127, 0, 0, 1 } ++ [_]u8{0} ** 12,
    };
}

fn small_options() layout.LoopOptions {
    var options = std.mem.zeroInit(layout.LoopOptions, .{
        .size = @sizeOf(layout.LoopOptions),
        .max_connections = 64,
        .max_timers = 64,
        .entries = 256,
        .buffer_size = 4096,
        .receive_buffers = 16,
        .send_buffers = 16,
    });
    std.debug.assert(options_module.complete(&options));
    return options;
}

/// Echoes messages between two connections of one loop, closes, and checks the accounts. `rung`:
/// the best that is left without the denied flags; an older kernel grants a lower one.
fn check_echo(comptime Backend: type, deny_flags: u32, rung: u32) !void {
    try check_echo_of(Backend, deny_flags, rung, false);
    try check_echo_of(Backend, deny_flags, rung, true);
}

fn check_echo_of(comptime Backend: type, deny_flags: u32, rung: u32, greedy: bool) !void {
    var options = small_options();
    var failure: contract.Failure = .{};
    const instance = Instance(Backend).open(&options, deny_flags, &failure) catch |err| {
        if (Backend == IoUring and failure.reason != .none) return error.SkipZigTest;
        return err;
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
        try script.send(slot, generation, 7, 3000);
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
    try testing.expectEqual(@as(u32, 16), instance.loop.receive_buffers_free());
    try testing.expectEqual(@as(u32, 16), instance.pool.free_count);
    try testing.expectEqual(@as(u32, 0), instance.net.streams.open_count);
}

test "echo on epoll" {
    try check_echo(Epoll, 0, 0);
}

test "echo on every rung of the io_uring ladder" {
    try check_echo(IoUring, 0, 0);
    try check_echo(IoUring, uring.setup_no_sqarray, 1);
    try check_echo(IoUring, uring.setup_defer_taskrun, 2);
}

/// More data than there are receive buffers while nothing is read back: receiving starves, holds,
/// recovers, and every byte arrives.
fn check_starvation(comptime Backend: type) !void {
    var options = small_options();
    options.receive_buffers = 8;
    var failure: contract.Failure = .{};
    const instance = Instance(Backend).open(&options, 0, &failure) catch |err| {
        if (failure.reason != .none) return error.SkipZigTest;
        return err;
    };
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
        while (instance.pool.free_count > 0 and sent < 100 * 4096) : (sent += 4096) {
            try script.send(slot, generation, 1, 4096);
        }
        try script.turn(0);
    }
    try testing.expectEqual(@as(u64, 0), script.received);
    script.handle(.unpause, script.accepted_slot, script.accepted_generation);
    for (0..turns_max) |_| {
        if (script.received == 100 * 4096) break;
        while (instance.pool.free_count > 0 and sent < 100 * 4096) : (sent += 4096) {
            try script.send(slot, generation, 1, 4096);
        }
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u64, 100 * 4096), script.received);
    try testing.expectEqual(script.received, script.checksum);
}

test "a starved receive recovers and loses nothing" {
    try check_starvation(Epoll);
    try check_starvation(IoUring);
}

fn check_hostile(comptime Backend: type) !void {
    var options = small_options();
    var failure: contract.Failure = .{};
    const instance = Instance(Backend).open(&options, 0, &failure) catch |err| {
        if (failure.reason != .none) return error.SkipZigTest;
        return err;
    };
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
    try check_hostile(Epoll);
    try check_hostile(IoUring);
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
    instance.loop.advance_clock(20 * std.time.ns_per_us);
    try script.turn(0);
    try testing.expectEqual(@as(u32, 2), script.timers);
    for (0..3) |_| {
        instance.loop.advance_clock(10 * std.time.ns_per_us);
        try script.turn(0);
    }
    try testing.expectEqual(@as(u32, 5), script.timers);
}
