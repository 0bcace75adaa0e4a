//! Checks and completes the options of a loop.

const std = @import("std");
const layout = @import("../layout.zig");

const Rule = struct {
    field: []const u8,
    default: u32,
    least: u32,
    most: u32,
    power_of_two: bool = false,
};

const rules = [_]Rule{
    .{ .field = "backend", .default = 0, .least = 0, .most = 2 },
    .{ .field = "mode", .default = 0, .least = 0, .most = 2 },
    .{ .field = "clock", .default = 0, .least = 0, .most = 1 },
    .{ .field = "max_connections", .default = 65_536, .least = 1, .most = 1 << 20 },
    .{ .field = "max_listeners", .default = 64, .least = 1, .most = 4096 },
    .{ .field = "max_timers", .default = 65_536, .least = 1, .most = 1 << 20 },
    .{ .field = "entries", .default = 4096, .least = 64, .most = 65_536, .power_of_two = true },
    .{
        .field = "buffer_size",
        .default = 16_384,
        .least = 512,
        .most = 1 << 20,
        .power_of_two = true,
    },
    .{
        .field = "receive_buffers",
        .default = 1024,
        .least = 8,
        .most = 32_768,
        .power_of_two = true,
    },
    .{ .field = "send_buffers", .default = 1024, .least = 8, .most = 32_768 },
    .{ .field = "spin_ceiling_us", .default = 50, .least = 1, .most = 1_000_000 },
};

/// Most bytes of a loop's buffers, so that every offset fits a u32.
const buffers_bytes_max: u64 = 1 << 31;

/// Fills in defaults; false, with `error_detail` naming the field, when one is out of range.
pub fn complete(options: *layout.LoopOptions) bool {
    inline for (rules) |rule| {
        const value = &@field(options, rule.field);
        if (value.* == 0) value.* = rule.default;
        const in_range = value.* >= rule.least and value.* <= rule.most;
        const shaped = !rule.power_of_two or std.math.isPowerOfTwo(value.*);
        if (!in_range or !shaped) {
            options.error_detail = comptime std.meta.fieldIndex(layout.LoopOptions, rule.field).?;
            return false;
        }
    }
    const count: u64 = options.receive_buffers + options.send_buffers;
    if (count * options.buffer_size <= buffers_bytes_max) return true;
    options.error_detail = comptime std.meta.fieldIndex(layout.LoopOptions, "send_buffers").?;
    return false;
}

test "zero means the default, and what is out of range is named" {
    var options = std.mem.zeroes(layout.LoopOptions);
    try std.testing.expect(complete(&options));
    try std.testing.expectEqual(@as(u32, 4096), options.entries);
    options.entries = 100;
    try std.testing.expect(!complete(&options));
    try std.testing.expectEqual(
        @as(u32, std.meta.fieldIndex(layout.LoopOptions, "entries").?),
        options.error_detail,
    );
    options.entries = 64;
    options.buffer_size = 1 << 20;
    options.receive_buffers = 32_768;
    try std.testing.expect(!complete(&options));
}
