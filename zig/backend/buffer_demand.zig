//! How many receive buffers the kernel should have at hand.
//!
//! It uses them in the order in which they came, so with few of them each is used again while it is
//! still in the processor's caches; with too few, receives end for want of one and start anew. So:
//! some more than the most that was used between two calls of late. Where much is written into each
//! there is little to spare. Where each connection fills several (bulk), all that there are fill up
//! between any two calls: then there are only some for each, since that receives end costs less
//! than cold memory does.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");

/// Buffers that there should be, at least.
const least: u32 = 64;
/// The same where buffers are filled with much.
const least_large: u32 = 16;
/// Buffers for each port, where each fills several.
const bulk_each: u32 = 2;
/// Bytes in each from where on it is much: `least` of these are the larger part of a cache.
const large_bytes = 4096;
/// Fewer used between two calls say nothing of how many are needed.
const telling: u32 = 4;
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
    /// Ports since then that filled something, or had nothing to fill, one after the other: a port
    /// counts again when others came between.
    port_runs: u32 = 0,
    last_port: u32 = std.math.maxInt(u32),

    /// `most`: buffers that there are.
    pub fn init(most: u32) BufferDemand {
        return .{ .target = @min(most, least), .most = most };
    }

    /// A receive of the port completed with bytes, or a negated errno.
    pub fn received(self: *BufferDemand, port: u32, result: i32) void {
        if (result <= 0 and result != kernel.negative(.NOBUFS)) return;
        self.bytes += @intCast(@max(0, result));
        self.port_runs += @intFromBool(port != self.last_port);
        self.last_port = port;
    }

    /// So many were used since it was last asked, and so many are left.
    pub fn used(self: *BufferDemand, count: u32, left: u32) void {
        const bytes = self.bytes;
        const port_runs = self.port_runs;
        self.bytes = 0;
        self.port_runs = 0;
        self.last_port = std.math.maxInt(u32);
        if (count < telling and left > 0) return;
        const is_large = count > 0 and bytes / count >= large_bytes;
        const is_bulk = is_large and count >= 2 * port_runs;
        const wanted = @min(self.most, if (is_bulk)
            @max(bulk_each * port_runs, least_large)
        else
            wanted_for(count, left, is_large));
        self.recent = @max(self.recent, wanted);
        self.target = if (is_bulk) wanted else @max(self.target, wanted);
        self.calls += 1;
        if (self.calls < window_calls) return;
        self.target = self.recent;
        self.recent = 0;
        self.calls = 0;
    }

    fn wanted_for(count: u32, left: u32, is_large: bool) u32 {
        // With none left there may have been more to fill.
        if (!is_large or left == 0) return @max(2 * count, if (is_large) least_large else least);
        return @max(count + count / 4, least_large);
    }
};

/// `count` buffers with so many bytes each, `count / ports` of each port.
fn use(demand: *BufferDemand, times: u32, count: u32, bytes_each: u32, ports: u32) void {
    for (0..times) |_| {
        for (0..count) |index| {
            const port: u32 = @intCast(index * ports / count);
            demand.received(port, @intCast(bytes_each));
        }
        demand.used(count, demand.target -| count);
    }
}

test "a ring grows at once with what is used, and shrinks once that is long ago" {
    var demand: BufferDemand = .init(256);
    try std.testing.expectEqual(64, demand.target);
    use(&demand, 1, 40, 100, 40);
    try std.testing.expectEqual(80, demand.target);
    use(&demand, 1, 200, 100, 200);
    try std.testing.expectEqual(256, demand.target);
    use(&demand, window_calls - 2, 4, 100, 4);
    try std.testing.expectEqual(256, demand.target);
    use(&demand, window_calls, 4, 100, 4);
    try std.testing.expectEqual(64, demand.target);
}

test "of buffers that are filled with much there are few, but as many as are used" {
    var demand: BufferDemand = .init(256);
    use(&demand, window_calls, 20, 16_384, 20);
    try std.testing.expectEqual(25, demand.target);
    use(&demand, window_calls, 4, 16_384, 4);
    try std.testing.expectEqual(16, demand.target);
    use(&demand, 1, 16, 16_384, 16);
    try std.testing.expectEqual(32, demand.target);
    use(&demand, 1, 4, 64, 4);
    try std.testing.expectEqual(64, demand.target);
}

test "bulk has some buffers for each connection at once, and what says little changes nothing" {
    var demand: BufferDemand = .init(256);
    use(&demand, 1, 64, 16_384, 4);
    try std.testing.expectEqual(16, demand.target);
    use(&demand, window_calls, 1, 53, 1);
    use(&demand, window_calls, 2, 16_384, 2);
    use(&demand, 1, 4, 64, 1);
    try std.testing.expectEqual(64, demand.target);
    use(&demand, 1, 64, 16_384, 4);
    use(&demand, window_calls, 0, 0, 1);
    use(&demand, 4, 16, 16_384, 4);
    try std.testing.expectEqual(16, demand.target);
    // Others found none left.
    for (0..31) |port| demand.received(@intCast(port), kernel.negative(.NOBUFS));
    use(&demand, 1, 16, 16_384, 1);
    try std.testing.expectEqual(32, demand.target);
    use(&demand, 1, 80, 16_384, 20);
    try std.testing.expectEqual(40, demand.target);
}
