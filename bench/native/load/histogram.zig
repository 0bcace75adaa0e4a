//! Latency histogram: log-linear buckets over nanoseconds, each at most 1/128 of its value wide, so
//! that a percentile is within 0.4 % of the truth. Recording is one increment; nothing allocates.

const std = @import("std");

const sub_bits = 7;
const sub_count = 1 << sub_bits;
/// Values from 2^40 ns (18 minutes) on share the last bucket; no run lasts that long.
const value_bits_max = 40;
const bucket_count = (value_bits_max - sub_bits + 1) * sub_count;

pub const Histogram = struct {
    counts: [bucket_count]u64 = @splat(0),
    total: u64 = 0,
    value_max: u64 = 0,

    pub fn record(histogram: *Histogram, nanoseconds: u64) void {
        histogram.counts[bucketOf(nanoseconds)] += 1;
        histogram.total += 1;
        histogram.value_max = @max(histogram.value_max, nanoseconds);
    }

    pub fn reset(histogram: *Histogram) void {
        histogram.* = .{};
    }

    /// The value that `fraction` of all records do not exceed; 0 while there are none.
    pub fn percentile(histogram: *const Histogram, fraction: f64) u64 {
        if (histogram.total == 0) return 0;
        const exact = fraction * @as(f64, @floatFromInt(histogram.total));
        const rank: u64 = @max(1, @as(u64, @intFromFloat(@ceil(exact))));
        var seen: u64 = 0;
        for (histogram.counts, 0..) |count, bucket| {
            seen += count;
            if (seen >= rank) return @min(middleOf(bucket), histogram.value_max);
        }
        return histogram.value_max;
    }
};

/// Below 2^7 a bucket per value; above, 128 buckets per power of two.
fn bucketOf(value: u64) usize {
    const bounded: u64 = @min(value, (1 << value_bits_max) - 1);
    if (bounded < sub_count) return @intCast(bounded);
    const exponent: u6 = @intCast(63 - @clz(bounded));
    const shift: u6 = exponent - sub_bits;
    const sub: usize = @intCast((bounded >> shift) - sub_count);
    return (@as(usize, shift) + 1) * sub_count + sub;
}

fn middleOf(bucket: usize) u64 {
    if (bucket < sub_count) return bucket;
    const shift: u6 = @intCast(bucket / sub_count - 1);
    const low: u64 = @as(u64, bucket % sub_count + sub_count) << shift;
    return low + (@as(u64, 1) << shift) / 2;
}

test "a bucket's middle is within one percent of every value in it" {
    var value: u64 = 1;
    while (value < 1 << value_bits_max) : (value += 1 + value / 37) {
        const middle = middleOf(bucketOf(value));
        const distance = if (middle > value) middle - value else value - middle;
        try std.testing.expect(distance * 100 <= value);
    }
}

test "percentiles of 1..1000 microseconds" {
    var histogram: Histogram = .{};
    for (1..1001) |microseconds| histogram.record(microseconds * 1000);
    const median: f64 = @floatFromInt(histogram.percentile(0.5));
    try std.testing.expectApproxEqRel(500_000.0, median, 0.01);
    try std.testing.expectEqual(1_000_000, histogram.value_max);
    try std.testing.expectApproxEqRel(
        999_000.0,
        @as(f64, @floatFromInt(histogram.percentile(0.999))),
        0.01,
    );
}
