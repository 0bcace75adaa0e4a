//! Listeners whose sockets others have changed, or for whose connections there is nothing left,
//! over every backend.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const on_valgrind = @import("../sys/record_test.zig").on_valgrind;
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const script_module = @import("script_test.zig");
const Script = script_module.Script;
const small_options = script_module.small_options;

const testing = std.testing;
const turns_max = 1000;
const clients = 3;

/// A socket that is connected when this returns: it waits in the listener's backlog.
fn connect(port: u32) !i32 {
    const descriptor = sockets.open_stream(sockets.AF.INET, false);
    try testing.expect(descriptor >= 0);
    var address = std.mem.zeroes(sockets.SocketAddress);
    address.storage.in4 = .{
        .port = std.mem.nativeToBig(u16, @intCast(port)),
        .addr = std.mem.nativeToBig(u32, 0x7f00_0001),
    };
    try testing.expectEqual(@as(i32, 0), sockets.connect(descriptor, &address));
    return descriptor;
}

/// A loop and a listener of it.
fn Listening(comptime Backend: type) type {
    return struct {
        const Self = @This();

        script: Script(Backend),
        slot: u32,
        port: u32,

        fn begin(trigger: layout.Trigger, clock: layout.ClockKind) !Self {
            var options = small_options();
            options.clock = @intFromEnum(clock);
            const instance = try open(Backend, trigger, &options);
            errdefer instance.close();
            var script: Script(Backend) = .{ .instance = instance };
            const slot = try script.listen();
            return .{ .script = script, .slot = slot, .port = try script.port_of(slot) };
        }

        fn end(self: *const Self) void {
            self.script.instance.close();
        }

        /// In the next turn.
        fn close_listener(self: *Self, flags: u8) void {
            const listeners = self.script.instance.work.net.listeners.listeners;
            self.script.submit(std.mem.zeroInit(layout.HandleEntry, .{
                .operation = .listener_close,
                .flags = flags,
                .slot = self.slot,
                .generation = listeners[self.slot].generation,
            }));
        }
    };
}

fn check_nonblocking(comptime Backend: type, trigger: layout.Trigger) !void {
    var listening: Listening(Backend) = try .begin(trigger, .monotonic);
    defer listening.end();
    const script = &listening.script;
    const listeners = &script.instance.work.net.listeners;
    const listener = &listeners.listeners[listening.slot];
    const copy = sockets.duplicate(listener.descriptor);
    try testing.expect(copy >= 0);
    defer sockets.close(copy);
    try testing.expectEqual(@as(i32, 0), sockets.set_flags(copy, true));
    for (1..clients + 1) |count| {
        for (0..8) |_| try script.turn(0);
        // It waits for the kernel, and has nothing to do by itself.
        try testing.expect(listener.accepting);
        try testing.expect(!listeners.waiting());
        const client = try connect(listening.port);
        defer sockets.close(client);
        for (0..turns_max) |_| {
            if (script.opened == count) break;
            try script.turn(1000);
        }
        try testing.expectEqual(@as(u32, @intCast(count)), script.opened);
    }
}

test "a listener that others have made non-blocking waits for connections" {
    try over_rows(check_nonblocking);
}

/// Leaves the process without a free descriptor until it is undone.
const Exhaustion = struct {
    limits: linux.rlimit,

    fn begin() !Exhaustion {
        var limits: linux.rlimit = undefined;
        const got = kernel.result(linux.getrlimit(.NOFILE, &limits));
        try testing.expectEqual(@as(i32, 0), got);
        // The lowest number that is free is the first that is not allowed.
        const free = kernel.result(linux.dup(0));
        try testing.expect(free >= 0);
        sockets.close(free);
        const lower: linux.rlimit = .{ .cur = @intCast(free), .max = limits.max };
        const set = kernel.result(linux.setrlimit(.NOFILE, &lower));
        try testing.expectEqual(@as(i32, 0), set);
        return .{ .limits = limits };
    }

    fn end(self: *const Exhaustion) void {
        _ = linux.setrlimit(.NOFILE, &self.limits);
    }
};

fn check_exhausted(comptime Backend: type, trigger: layout.Trigger) !void {
    var listening: Listening(Backend) = try .begin(trigger, .virtual);
    defer listening.end();
    const script = &listening.script;
    const listeners = &script.instance.work.net.listeners;
    var ends: [clients]i32 = undefined;
    for (&ends) |*end| end.* = try connect(listening.port);
    defer for (ends) |end| sockets.close(end);
    listening.close_listener(layout.listener_flag_drain);
    {
        const exhaustion: Exhaustion = try .begin();
        defer exhaustion.end();
        for (0..4) |_| try script.turn(0);
    }
    try testing.expectEqual(kernel.negative(.MFILE), script.last_error);
    try testing.expectEqual(@as(u32, 0), script.opened);
    try testing.expectEqual(@as(u32, 1), listeners.open_count);
    try testing.expect(!listeners.waiting());

    try testing.expect(script.instance.loop.advance_clock(1000 * std.time.ns_per_ms));
    for (0..turns_max) |_| {
        if (listeners.open_count == 0) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 0), listeners.open_count);
    // Valgrind keeps the limit by closing what the kernel has accepted beyond it.
    const lost: u32 = if (on_valgrind()) 1 else 0;
    try testing.expectEqual(clients - lost, script.opened);
}

test "a listener that drains waits for descriptors and loses nobody" {
    try over_rows(check_exhausted);
}

fn check_ended(comptime Backend: type, trigger: layout.Trigger) !void {
    var listening: Listening(Backend) = try .begin(trigger, .virtual);
    defer listening.end();
    const script = &listening.script;
    const client = try connect(listening.port);
    defer sockets.close(client);
    const exhaustion: Exhaustion = try .begin();
    defer exhaustion.end();
    for ([_]u8{ layout.listener_flag_drain, 0 }) |flags| {
        listening.close_listener(flags);
        for (0..4) |_| try script.turn(0);
    }
    try testing.expectEqual(kernel.negative(.MFILE), script.last_error);
    try testing.expectEqual(@as(u32, 0), script.instance.work.net.listeners.open_count);
}

test "a drain that waits for descriptors is ended by closing for good" {
    try over_rows(check_ended);
}
