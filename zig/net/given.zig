//! Descriptors that this library has given out, so that it closes on demand those and no others: a
//! number that was not given out may be anything of the process, and one that was closed may be
//! another's by now.
//!
//! One bit per number. Any thread, without a lock.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");

/// Larger numbers are not remembered: whoever has one closes it without us.
const numbers_max = 1 << 20;

var bits: [numbers_max / 64]std.atomic.Value(u64) = @splat(.init(0));

fn mask_of(descriptor: i32) u64 {
    return @as(u64, 1) << @intCast(@as(u32, @intCast(descriptor)) % 64);
}

fn word_of(descriptor: i32) ?*std.atomic.Value(u64) {
    if (descriptor < 0 or descriptor >= numbers_max) return null;
    return &bits[@as(u32, @intCast(descriptor)) / 64];
}

/// The descriptor is a script's from now on.
pub fn give(descriptor: i32) void {
    const word = word_of(descriptor) orelse return;
    _ = word.fetchOr(mask_of(descriptor), .monotonic);
}

/// Whether it was given out; it is not any more.
pub fn take_back(descriptor: i32) bool {
    const word = word_of(descriptor) orelse return false;
    const mask = mask_of(descriptor);
    return word.fetchAnd(~mask, .monotonic) & mask != 0;
}

/// 0, or EBADF where it was not given out.
pub fn close(descriptor: i32) i32 {
    if (!take_back(descriptor)) return kernel.negative(.BADF);
    kernel.close(descriptor);
    return 0;
}

test "only what was given out is closed, and once" {
    const sockets = @import("../sys/sockets.zig");
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    try std.testing.expectEqual(kernel.negative(.BADF), close(pair[0]));
    for (pair) |end| give(end);
    for (pair) |end| try std.testing.expectEqual(@as(i32, 0), close(end));
    try std.testing.expectEqual(kernel.negative(.BADF), close(pair[1]));
    try std.testing.expectEqual(kernel.negative(.BADF), close(-1));
    try std.testing.expectEqual(kernel.negative(.BADF), close(std.math.maxInt(i32)));
}
