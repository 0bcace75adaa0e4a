//! A real fork(2) with a loop open: the child is refused and makes its own, the parent goes on.

const std = @import("std");
const layout = @import("../layout.zig");
const fork = @import("../sys/fork.zig");
const pages = @import("../sys/pages.zig");
const record = @import("../sys/record_test.zig");
const registry = @import("registry.zig");
const script_test = @import("script_test.zig");
const Script = script_test.Script;

const testing = std.testing;
const turns_max = 20_000;

fn open(kind: layout.BackendKind) !u32 {
    var options = script_test.small_options();
    options.backend = @intFromEnum(kind);
    const handle = registry.open(&options);
    if (handle == @intFromEnum(layout.Status.backend_unavailable)) {
        return script_test.skip_backend(kind, .{
            .reason = @enumFromInt(options.error_reason),
            .errno = options.error_errno,
        });
    }
    try testing.expect(handle > 0);
    return @intCast(handle);
}

/// One message there and back on a loop.
fn exchange(handle: u32) !void {
    switch (try registry.find(handle)) {
        inline else => |instance| {
            var script: Script(@TypeOf(instance.loop).Backend) = .{ .instance = instance };
            const listener = try script.listen();
            const slot = try script.connect(try script.port_of(listener));
            const generation = instance.loop.channel.header.result_generation;
            try testing.expect(try script.send(slot, generation, 7, 3000));
            for (0..turns_max) |_| {
                if (script.received == 3000) break;
                try script.turn(1000);
            }
            try testing.expectEqual(@as(u64, 3000 * 7), script.checksum);
            script.handle(.close, slot, generation);
            for (0..turns_max) |_| {
                if (script.closed == 2) break;
                try script.turn(1000);
            }
            try testing.expectEqual(@as(u32, 2), script.closed);
        },
    }
}

const Child = struct {
    parents: u32,
    kind: layout.BackendKind,

    /// 0, or the step that went wrong.
    fn live(self: Child) u8 {
        if (registry.find(self.parents)) |_| return 1 else |err| if (err != error.Forked) return 2;
        if (registry.close(self.parents)) |_| return 3 else |_| {}
        const own = open(self.kind) catch return 4;
        if (own == self.parents) return 5;
        if (registry.find(self.parents)) |_| return 6 else |err| if (err != error.Stale) return 7;
        exchange(own) catch return 8;
        registry.close(own) catch return 9;
        return 0;
    }
};

fn check(kind: layout.BackendKind) !void {
    const handle = try open(kind);
    defer registry.close(handle) catch {};
    try exchange(handle);
    const child: Child = .{ .parents = handle, .kind = kind };
    try testing.expectEqual(@as(u8, 0), try fork.exit_code_of_child(child, Child.live));
    try exchange(handle);
}

test "the child of a fork is refused, makes its own loop, and leaves the parent unharmed (epoll)" {
    try check(.epoll);
}

test "the same on io_uring" {
    // It takes what madvise(2) keeps out of a child for mapped there, and refuses a new ring.
    if (record.on_valgrind()) return record.skip("valgrind: its map of a child is not true", .{});
    try check(.io_uring);
}

const Toucher = struct {
    address: usize,

    fn live(self: Toucher) u8 {
        return @intFromBool(pages.is_mapped(self.address, 512));
    }
};

test "slabs, channel and rings are not in the child's memory" {
    const handle = try open(.auto);
    defer registry.close(handle) catch {};
    switch (try registry.find(handle)) {
        inline else => |instance| {
            const name = instance.pool.take(512).?;
            const slab = @intFromPtr(instance.pool.pointer(name));
            const channel = @intFromPtr(instance.loop.channel.region.ptr);
            for ([_]usize{ slab, channel }) |address| {
                const toucher: Toucher = .{ .address = address };
                const code = try fork.exit_code_of_child(toucher, Toucher.live);
                try testing.expectEqual(@as(u8, 0), code);
            }
            if (@TypeOf(instance.loop).Backend.kind != .io_uring) return;
            const ring = &instance.loop.backend.ring;
            for ([_]usize{ @intFromPtr(ring.sqes.ptr), @intFromPtr(ring.cqes.ptr) }) |address| {
                const toucher: Toucher = .{ .address = address };
                const code = try fork.exit_code_of_child(toucher, Toucher.live);
                try testing.expectEqual(@as(u8, 0), code);
            }
        },
    }
}
