//! Listeners whose sockets others have changed, or for whose connections there is nothing left,
//! over every backend.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
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

fn check_nonblocking(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const slot = try script.listen();
    const port = try script.port_of(slot);
    const listeners = &instance.work.net.listeners;
    const listener = &listeners.listeners[slot];
    const copy = sockets.duplicate(listener.descriptor);
    try testing.expect(copy >= 0);
    defer sockets.close(copy);
    try testing.expectEqual(@as(i32, 0), sockets.set_flags(copy, true));
    for (1..clients + 1) |count| {
        for (0..8) |_| try script.turn(0);
        // It waits for the kernel, and has nothing to do by itself.
        try testing.expect(listener.accepting);
        try testing.expect(!listeners.waiting());
        const client = try connect(port);
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
    var options = small_options();
    options.clock = @intFromEnum(layout.ClockKind.virtual);
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const slot = try script.listen();
    const port = try script.port_of(slot);
    const listeners = &instance.work.net.listeners;
    var ends: [clients]i32 = undefined;
    for (&ends) |*end| end.* = try connect(port);
    defer for (ends) |end| sockets.close(end);
    script.submit(std.mem.zeroInit(layout.HandleEntry, .{
        .operation = .listener_close,
        .flags = layout.listener_flag_drain,
        .slot = slot,
        .generation = listeners.listeners[slot].generation,
    }));
    {
        const exhaustion: Exhaustion = try .begin();
        defer exhaustion.end();
        for (0..4) |_| try script.turn(0);
    }
    try testing.expectEqual(kernel.negative(.MFILE), script.last_error);
    try testing.expectEqual(@as(u32, 0), script.opened);
    try testing.expectEqual(@as(u32, 1), listeners.open_count);
    try testing.expect(!listeners.waiting());

    try testing.expect(instance.loop.advance_clock(1000 * std.time.ns_per_ms));
    for (0..turns_max) |_| {
        if (listeners.open_count == 0) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 0), listeners.open_count);
    try testing.expectEqual(@as(u32, clients), script.opened);
}

test "a listener that drains waits for descriptors and loses nobody" {
    try over_rows(check_exhausted);
}

fn check_ended(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    options.clock = @intFromEnum(layout.ClockKind.virtual);
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const slot = try script.listen();
    const client = try connect(try script.port_of(slot));
    defer sockets.close(client);
    const listeners = &instance.work.net.listeners;
    const generation = listeners.listeners[slot].generation;
    const exhaustion: Exhaustion = try .begin();
    defer exhaustion.end();
    for ([_]u8{ layout.listener_flag_drain, 0 }) |flags| {
        script.submit(std.mem.zeroInit(layout.HandleEntry, .{
            .operation = .listener_close,
            .flags = flags,
            .slot = slot,
            .generation = generation,
        }));
        for (0..4) |_| try script.turn(0);
    }
    try testing.expectEqual(kernel.negative(.MFILE), script.last_error);
    try testing.expectEqual(@as(u32, 0), listeners.open_count);
}

test "a drain that waits for descriptors is ended by closing for good" {
    try over_rows(check_ended);
}
