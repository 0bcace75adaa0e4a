//! Relays that forward, over every backend: when they begin and end it, and that no byte is lost or
//! out of order where the other side does not take all.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const script_module = @import("script_test.zig");
const Script = script_module.Script;

const testing = std.testing;
const turns_max = 1000;
const large_bytes = 16 * 1024;

const stream_options: layout.StreamOptions = options: {
    var options = script_module.stream_options;
    // A Unix socket has no options of TCP.
    options.socket.values = @splat(layout.option_unset);
    break :options options;
};

/// A relay between two connections, and the descriptors of their peers, each of which has sent and
/// received so many bytes of a known content.
fn Bench(comptime Backend: type) type {
    return struct {
        const Self = @This();

        script: Script(Backend),
        slots: [2]u32 = undefined,
        peers: [2]i32 = undefined,
        sent: [2]u32 = .{ 0, 0 },
        received: [2]u32 = .{ 0, 0 },

        fn init(trigger: layout.Trigger) !Self {
            var options = script_module.small_options();
            options.buffer_size = large_bytes;
            options.max_kib = 4096;
            const instance = try open(Backend, trigger, &options);
            errdefer instance.close();
            var bench: Self = .{ .script = .{ .instance = instance } };
            for (&bench.slots, &bench.peers) |*slot, *peer| {
                var pair: [2]i32 = undefined;
                try testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
                peer.* = pair[1];
                slot.* = @intCast(instance.adopt_connection(&std.mem.zeroInit(
                    layout.ConnectionOptions,
                    .{
                        .size = @sizeOf(layout.ConnectionOptions),
                        .descriptor = @as(u32, @intCast(pair[0])),
                        .stream = stream_options,
                    },
                )));
            }
            const connections = instance.work.net.streams.connections;
            try testing.expectEqual(@as(i32, 0), instance.relay(&.{
                .size = @sizeOf(layout.RelayOptions),
                .first_slot = bench.slots[0],
                .first_generation = connections[bench.slots[0]].generation,
                .second_slot = bench.slots[1],
                .second_generation = connections[bench.slots[1]].generation,
                .high_water_mark = 65_536,
                .idle_timeout_ms = 0,
                .half_open_timeout_ms = 0,
            }));
            try bench.script.turn(0);
            return bench;
        }

        fn deinit(self: *Self) void {
            for (self.peers) |peer| if (peer >= 0) sockets.close(peer);
            self.script.instance.close();
        }

        /// As much as the kernel takes now, at most so many bytes.
        fn send(self: *Self, side: usize, length: u32) !u32 {
            var bytes: [large_bytes]u8 = undefined;
            for (bytes[0..length], 0..) |*byte, at| {
                byte.* = content(self.sent[side] + @as(u32, @intCast(at)));
            }
            const rc = sockets.send(self.peers[side], bytes[0..length]);
            if (rc == kernel.negative(.AGAIN)) return 0;
            try testing.expect(rc > 0);
            self.sent[side] += @intCast(rc);
            return @intCast(rc);
        }

        /// What has come to the other side; its bytes are right.
        fn receive(self: *Self, side: usize) !void {
            var bytes: [large_bytes]u8 = undefined;
            while (true) {
                const rc = sockets.receive(self.peers[1 - side], &bytes);
                if (rc <= 0) return;
                for (bytes[0..@intCast(rc)]) |byte| {
                    try testing.expectEqual(content(self.received[side]), byte);
                    self.received[side] += 1;
                }
            }
        }

        fn arrive(self: *Self, side: usize) !void {
            for (0..turns_max) |_| {
                try self.receive(side);
                if (self.received[side] == self.sent[side]) return;
                try self.script.turn(1000);
            }
            return error.TestNotArrived;
        }

        /// Sends large parts until one side forwards.
        fn forward(self: *Self) !void {
            for (0..8) |_| {
                _ = try self.send(0, large_bytes);
                try self.arrive(0);
            }
            try testing.expect(self.forwards(0));
        }

        fn forwards(self: *const Self, side: usize) bool {
            const streams = &self.script.instance.work.net.streams;
            return streams.connections[self.slots[side]].forwards;
        }
    };
}

fn content(position: u32) u8 {
    return @truncate(position *% 31 +% position >> 8);
}

fn check_begin(comptime Backend: type, trigger: layout.Trigger) !void {
    var bench: Bench(Backend) = try .init(trigger);
    defer bench.deinit();
    const instance = bench.script.instance;
    try bench.forward();
    for (0..20) |_| {
        _ = try bench.send(0, 100);
        _ = try bench.send(1, 100);
        try bench.arrive(0);
        try bench.arrive(1);
    }
    // Small parts are for whoever receives from many at once.
    for ([_]usize{ 0, 1 }) |side| {
        try testing.expectEqual(Backend.calls_singly, bench.forwards(side));
    }
    try testing.expectEqual(bench.sent[0] + bench.sent[1], instance.loop.counters.relayed_bytes);
}

test "a relay forwards large parts, and small ones where that costs nothing" {
    try over_rows(check_begin);
}

fn check_full(comptime Backend: type, trigger: layout.Trigger) !void {
    var bench: Bench(Backend) = try .init(trigger);
    defer bench.deinit();
    const instance = bench.script.instance;
    for (0..4) |_| {
        try bench.forward();
        // Nobody reads at the other side until nothing goes on.
        var quiet: u32 = 0;
        while (quiet < 4) {
            quiet = if (try bench.send(0, large_bytes) == 0) quiet + 1 else 0;
            try bench.script.turn(0);
        }
        const streams = &instance.work.net.streams;
        const waiting = streams.connections[bench.slots[1]].queue.bytes;
        try testing.expect(waiting > 0 and waiting <= 65_536);
        try testing.expect(streams.connections[bench.slots[0]].held_back);
        try bench.arrive(0);
    }
    try testing.expectEqual(@as(i32, 0), sockets.shutdown_send(bench.peers[0]));
    for (0..8) |_| try bench.script.turn(1000);
    var byte: [1]u8 = undefined;
    try testing.expectEqual(@as(i32, 0), sockets.receive(bench.peers[1], &byte));
}

test "what a side does not take at once goes on when it does, and the end after it" {
    try over_rows(check_full);
}

fn check_gone(comptime Backend: type, trigger: layout.Trigger) !void {
    var bench: Bench(Backend) = try .init(trigger);
    defer bench.deinit();
    const instance = bench.script.instance;
    try bench.forward();
    const gone = bench.peers[1];
    bench.peers[1] = -1;
    sockets.close(gone);
    _ = try bench.send(0, large_bytes);
    for (0..turns_max) |_| {
        if (bench.script.closed == 2) break;
        try bench.script.turn(1000);
        var bytes: [1]u8 = undefined;
        if (sockets.receive(bench.peers[0], &bytes) == 0) {
            _ = sockets.shutdown_send(bench.peers[0]);
        }
    }
    try testing.expectEqual(@as(u32, 2), bench.script.closed);
    // Nothing is kept for a next relay.
    try testing.expectEqual(@as(u32, 0), instance.pool.buffers_in_use);
}

test "a relay whose one peer is gone ends, and gives everything back" {
    try over_rows(check_gone);
}
