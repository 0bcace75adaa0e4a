//! Free blocks between the arena and the caches of its loops, in four parts with a lock each, so
//! that loops rarely meet. Blocks move in batches.
//!
//! Invariant: a block in stock is owned by the stock; what does not fit is refused, so that the
//! arena can join it with its neighbours.

const std = @import("std");
const classes = @import("classes.zig");
const Lock = @import("../sys/lock.zig").Lock;

pub const parts_count = 4;
/// Blocks of one class in one part.
const blocks_max = 64;

const Part = struct {
    lock: Lock,
    counts: [classes.count]u32,
    names: [classes.count][blocks_max]u32,
};

pub const Stock = struct {
    parts: [parts_count]Part,

    /// All-zero memory is an empty stock; only the counts and locks matter.
    pub fn clear(self: *Stock) void {
        for (&self.parts) |*part| {
            part.lock = .{};
            part.counts = @splat(0);
        }
    }

    /// Fills `out` as far as one part has blocks of the class; how many.
    pub fn take(self: *Stock, part_index: u32, class: u32, out: []u32) u32 {
        const part = &self.parts[part_index % parts_count];
        part.lock.acquire();
        defer part.lock.release();
        const available = part.counts[class];
        const taken: u32 = @min(available, @as(u32, @intCast(out.len)));
        @memcpy(out[0..taken], part.names[class][available - taken .. available]);
        part.counts[class] = available - taken;
        return taken;
    }

    /// Keeps as many of the blocks as one part has room for; how many. No more than a loop keeps.
    pub fn put(self: *Stock, part_index: u32, class: u32, names: []const u32, kept: u32) u32 {
        const part = &self.parts[part_index % parts_count];
        part.lock.acquire();
        defer part.lock.release();
        const room = @min(blocks_max, kept) -| part.counts[class];
        const taken: u32 = @min(room, @as(u32, @intCast(names.len)));
        @memcpy(part.names[class][part.counts[class]..][0..taken], names[0..taken]);
        part.counts[class] += taken;
        return taken;
    }

    /// Blocks of the class in all parts.
    pub fn count(self: *Stock, class: u32) u32 {
        var sum: u32 = 0;
        for (&self.parts) |*part| {
            part.lock.acquire();
            defer part.lock.release();
            sum += part.counts[class];
        }
        return sum;
    }
};

test "a part gives what it has, and takes what it has room for" {
    var stock: Stock = undefined;
    stock.clear();
    const names = [_]u32{ 1, 2, 3, 4, 5, 6 };
    try std.testing.expectEqual(@as(u32, 4), stock.put(1, 3, &names, 4));
    var out: [3]u32 = undefined;
    try std.testing.expectEqual(@as(u32, 0), stock.take(0, 3, &out));
    try std.testing.expectEqual(@as(u32, 3), stock.take(1 + parts_count, 3, &out));
    try std.testing.expectEqualSlices(u32, &.{ 2, 3, 4 }, &out);
    try std.testing.expectEqual(@as(u32, 1), stock.count(3));
}
