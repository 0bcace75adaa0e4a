//! How many receive buffers the kernel should have at hand.
//!
//! It uses them in the order in which they came, so with few of them each is used again while it is
//! still in the processor's caches; with too few, receives end for want of one and start anew. So:
//! some more than the most that was used between two calls of late. Where much is written into each
//! there is little to spare.

const std = @import("std");

/// Buffers that there should be, at least.
const least: u32 = 64;
/// The same where buffers are filled with much.
const least_large: u32 = 16;
/// Bytes in each from where on it is much: `least` of these are the larger part of a cache.
const large_bytes = 4096;
/// Calls after which what was used before is forgotten.
const window_calls = 1024;

pub const BufferDemand = struct {
    /// Buffers to have ready.
    target: u32,
    most: u32,
    /// Most that was wanted in this window.
    recent: u32 = 0,
    calls: u32 = 0,
    /// Bytes that were filled since the last call.
    bytes: u64 = 0,

    /// `most`: buffers that there are.
    pub fn init(most: u32) BufferDemand {
        return .{ .target = @min(most, least), .most = most };
    }

    /// So many were used since it was last asked, and so many are left.
    pub fn used(self: *BufferDemand, count: u32, left: u32) void {
        const wanted = @min(self.wanted_for(count, left), self.most);
        self.bytes = 0;
        self.recent = @max(self.recent, wanted);
        self.target = @max(self.target, wanted);
        self.calls += 1;
        if (self.calls < window_calls) return;
        self.target = self.recent;
        self.recent = 0;
        self.calls = 0;
    }

    fn wanted_for(self: *const BufferDemand, count: u32, left: u32) u32 {
        const is_large = count > 0 and self.bytes / count >= large_bytes;
        // With none left there may have been more to fill.
        if (!is_large or left == 0) return @max(2 * count, if (is_large) least_large else least);
        return @max(count + count / 4, least_large);
    }
};

fn use(demand: *BufferDemand, times: u32, count: u32, bytes_each: u32) void {
    for (0..times) |_| {
        demand.bytes += @as(u64, count) * bytes_each;
        demand.used(count, demand.target -| count);
    }
}

test "a ring grows at once with what is used, and shrinks once that is long ago" {
    var demand: BufferDemand = .init(256);
    try std.testing.expectEqual(64, demand.target);
    use(&demand, 1, 40, 100);
    try std.testing.expectEqual(80, demand.target);
    use(&demand, 1, 200, 100);
    try std.testing.expectEqual(256, demand.target);
    use(&demand, window_calls - 2, 0, 0);
    try std.testing.expectEqual(256, demand.target);
    use(&demand, window_calls, 0, 0);
    try std.testing.expectEqual(64, demand.target);
}

test "of buffers that are filled with much there are few, but as many as are used" {
    var demand: BufferDemand = .init(256);
    use(&demand, window_calls, 20, 16_384);
    try std.testing.expectEqual(25, demand.target);
    use(&demand, window_calls, 3, 16_384);
    try std.testing.expectEqual(16, demand.target);
    use(&demand, 1, 16, 16_384);
    try std.testing.expectEqual(32, demand.target);
    use(&demand, 1, 1, 64);
    try std.testing.expectEqual(64, demand.target);
}
