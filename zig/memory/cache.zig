//! A loop's own free blocks: per size class a stack, so that the block used last, which is still in
//! the processor's caches, is given out first. No lock, no atomic operation.
//!
//! The block that became free last stands before the stacks: where one is taken and given back over
//! and over, no address then depends on what was just loaded. Invariant: a stack holds no more than
//! its limit and one; it is refilled from the arena, and spills into it, in batches from its cold
//! end.

const std = @import("std");
const classes = @import("classes.zig");
const slabs = @import("slabs.zig");

pub const Cache = struct {
    /// The block that became free last, and its class; `no_class` when there is none.
    last: u32,
    last_class: u32,
    counts: [classes.count]u32,
    limits: [classes.count]u32,
    batches: [classes.count]u32,
    names: [classes.count][classes.kept_max + 1]u32,

    const no_class: u32 = classes.count;

    pub fn init(self: *Cache, limit_bytes: u64) void {
        self.last_class = no_class;
        for (0..classes.count) |class| {
            self.counts[class] = 0;
            self.limits[class] = classes.kept(@intCast(class), limit_bytes);
            self.batches[class] = classes.batch(self.limits[class]);
        }
    }

    /// The block used last, or `slabs.none`.
    pub inline fn pop(self: *Cache, class: u32) u32 {
        if (self.last_class == class) {
            self.last_class = no_class;
            return self.last;
        }
        const count = self.counts[class];
        if (count == 0) return slabs.none;
        self.counts[class] = count - 1;
        return self.names[class][count - 1];
    }

    /// False when the stack is full.
    pub inline fn push(self: *Cache, class: u32, name: u32) bool {
        if (self.counts[class] >= self.limits[class]) return false;
        self.settle();
        self.last = name;
        self.last_class = class;
        return true;
    }

    /// Puts the block that became free last on its stack.
    pub inline fn settle(self: *Cache) void {
        const class = self.last_class;
        if (class == no_class) return;
        const count = self.counts[class];
        self.names[class][count] = self.last;
        self.counts[class] = count + 1;
        self.last_class = no_class;
    }

    /// Where a batch of the class may be written; `add` then says how much of it was.
    pub fn room(self: *Cache, class: u32) []u32 {
        const count = self.counts[class];
        const free = self.limits[class] -| count;
        return self.names[class][count..][0..@min(self.batches[class], free)];
    }

    pub fn add(self: *Cache, class: u32, count: u32) void {
        std.debug.assert(count <= self.limits[class] -| self.counts[class]);
        self.counts[class] += count;
    }

    /// The blocks that have not been used for longest, a batch or what it takes to have room for
    /// one, which are not the cache's any more once `out` was read.
    pub fn spill(self: *Cache, class: u32, out: *[classes.kept_max]u32) []const u32 {
        const count = self.counts[class];
        const surplus = (count + 1) -| self.limits[class];
        const spilled = @min(@max(self.batches[class], surplus), count);
        const names = &self.names[class];
        @memcpy(out[0..spilled], names[0..spilled]);
        std.mem.copyForwards(u32, names[0 .. count - spilled], names[spilled..count]);
        self.counts[class] = count - spilled;
        return out[0..spilled];
    }

    pub fn limit(self: *const Cache, class: u32) u32 {
        return self.limits[class];
    }

    pub fn bytes(self: *const Cache) u64 {
        var sum: u64 = if (self.last_class == no_class) 0 else classes.bytes_of(self.last_class);
        for (self.counts, 0..) |count, class| {
            sum += @as(u64, count) * classes.bytes_of(@intCast(class));
        }
        return sum;
    }
};

test "the block used last comes first, and the coldest spill" {
    var cache: Cache = undefined;
    cache.init(1 << 30);
    const most = cache.limit(5) + 1;
    for (0..most) |name| try std.testing.expect(cache.push(5, @intCast(name)));
    try std.testing.expect(!cache.push(5, 1000));
    try std.testing.expectEqual(@as(u64, most) * classes.bytes_of(5), cache.bytes());
    try std.testing.expectEqual(@as(u32, 128), cache.pop(5));
    try std.testing.expectEqual(@as(u32, 127), cache.pop(5));
    var out: [classes.kept_max]u32 = undefined;
    const spilled = cache.spill(5, &out);
    try std.testing.expectEqual(@as(usize, 32), spilled.len);
    try std.testing.expectEqual(@as(u32, 0), spilled[0]);
    try std.testing.expectEqual(@as(u32, 126), cache.pop(5));
    try std.testing.expectEqual(slabs.none, cache.pop(6));
}

test "a block makes way for one of another class, and is found again" {
    var cache: Cache = undefined;
    cache.init(1 << 30);
    try std.testing.expect(cache.push(3, 30));
    try std.testing.expect(cache.push(4, 40));
    try std.testing.expect(cache.push(3, 31));
    try std.testing.expectEqual(@as(u32, 40), cache.pop(4));
    try std.testing.expectEqual(@as(u32, 31), cache.pop(3));
    try std.testing.expectEqual(@as(u32, 30), cache.pop(3));
    try std.testing.expectEqual(@as(u64, 0), cache.bytes());
}
