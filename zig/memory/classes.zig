//! Size classes: 512 bytes, doubling up to 4 MiB. What is larger is a run of whole pages.

const std = @import("std");
const slabs = @import("slabs.zig");

pub const count = 14;
pub const bytes_max: u32 = bytes_of(count - 1);

/// Stand where a class would for what no cache keeps: runs, and blocks of another arena's slabs.
pub const run: u32 = count;
pub const foreign: u32 = count + 1;

/// Bytes of one class that a loop's cache, and each part of the stock, keep at most.
const kept_bytes = 2 << 20;
/// Blocks of one class that they keep at most.
pub const kept_max = 256;
const batch_max = 32;

pub fn bytes_of(class: u32) u32 {
    return slabs.unit_bytes << @intCast(class);
}

/// The smallest class of at least so many bytes; there must be one.
pub fn of(bytes: u32) u32 {
    std.debug.assert(bytes <= bytes_max);
    if (bytes <= slabs.unit_bytes) return 0;
    return 32 - @as(u32, @clz((bytes - 1) / slabs.unit_bytes));
}

/// Bytes of the block that so many bytes take: their class, or whole pages.
pub fn round(bytes: u32) u32 {
    if (bytes <= bytes_max) return bytes_of(of(bytes));
    return std.mem.alignForward(u32, bytes, std.heap.page_size_min);
}

/// Blocks of a class that are worth keeping where all memory together is `limit_bytes`.
pub fn kept(class: u32, limit_bytes: u64) u32 {
    const bytes = @min(kept_bytes, limit_bytes / 32);
    return @intCast(std.math.clamp(bytes / bytes_of(class), 1, kept_max));
}

/// Blocks that are moved at once between a cache that keeps `kept_count` and the stock.
pub fn batch(kept_count: u32) u32 {
    return std.math.clamp(kept_count / 4, 1, batch_max);
}

test "classes double from 512 bytes to 4 MiB" {
    try std.testing.expectEqual(@as(u32, 4 << 20), bytes_max);
    for ([_]struct { u32, u32 }{
        .{ 1, 0 },      .{ 512, 0 },    .{ 513, 1 },
        .{ 16_384, 5 }, .{ 16_385, 6 }, .{ 4 << 20, 13 },
    }) |case| try std.testing.expectEqual(case[1], of(case[0]));
    try std.testing.expectEqual(@as(u32, (4 << 20) + 4096), round((4 << 20) + 1));
    try std.testing.expectEqual(@as(u32, 1024), round(600));
}

test "what is kept is bounded in bytes, in blocks, and by the whole" {
    try std.testing.expectEqual(@as(u32, 256), kept(0, 1 << 30));
    try std.testing.expectEqual(@as(u32, 128), kept(5, 1 << 30));
    try std.testing.expectEqual(@as(u32, 1), kept(13, 1 << 30));
    try std.testing.expectEqual(@as(u32, 4), kept(0, 1 << 16));
    try std.testing.expectEqual(@as(u32, 1), kept(5, 1 << 16));
    try std.testing.expectEqual(@as(u32, 32), batch(256));
    try std.testing.expectEqual(@as(u32, 1), batch(1));
}
