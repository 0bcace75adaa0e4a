//! The pools of this process by number, and what each has in transit: bytes that it has transferred
//! and that nobody has received yet. They count for the pool that left them, so that a sender waits
//! for slow receivers; but whoever receives is another thread, so the count is atomic.
//!
//! Invariant: a number is slot + generation and never that of another pool, so that what a closed
//! pool has left in transit is taken off nobody's count.

const std = @import("std");
const slabs = @import("slabs.zig");
const Lock = @import("../sys/lock.zig").Lock;

pub const members_max = 256;
const slot_bits = 8;
/// A number stays below the special owners.
const generation_max = (1 << (31 - slot_bits)) - 1;

/// Generation << 32 | units in transit; generation 0: nobody's.
var members: [members_max]std.atomic.Value(u64) = @splat(.init(0));
var generations: [members_max]u32 = @splat(0);
var lock: Lock = .{};

/// A number for a pool; null when there are too many.
pub fn join() ?u32 {
    lock.acquire();
    defer lock.release();
    for (&members, &generations, 0..) |*member, *generation, slot| {
        if (member.load(.monotonic) >> 32 != 0) continue;
        generation.* = if (generation.* == generation_max) 1 else generation.* + 1;
        member.store(@as(u64, generation.*) << 32, .monotonic);
        return generation.* << slot_bits | @as(u32, @intCast(slot));
    }
    return null;
}

/// The bytes that the pool leaves in transit, which count for nobody from now on.
pub fn leave(number: u32) u64 {
    return bytes_of(member_of(number).swap(0, .monotonic));
}

fn bytes_of(member: u64) u64 {
    return (member & std.math.maxInt(u32)) * slabs.unit_bytes;
}

fn member_of(number: u32) *std.atomic.Value(u64) {
    return &members[number & (members_max - 1)];
}

/// Notes that a pool has put so many bytes in transit.
pub fn put_in_transit(number: u32, bytes: u32) void {
    _ = member_of(number).fetchAdd(units_of(bytes), .monotonic);
}

/// Notes that somebody has received what a pool had put in transit; false when that is gone.
pub fn received(number: u32, bytes: u32) bool {
    const member = member_of(number);
    var seen = member.load(.monotonic);
    while (seen >> 32 == number >> slot_bits) {
        const left = seen - units_of(bytes);
        seen = member.cmpxchgWeak(seen, left, .monotonic, .monotonic) orelse return true;
    }
    return false;
}

pub fn in_transit_bytes(number: u32) u64 {
    return bytes_of(member_of(number).load(.monotonic));
}

fn units_of(bytes: u32) u64 {
    return bytes / slabs.unit_bytes;
}

/// The child of a fork has none of its parent's pools.
pub fn reset() void {
    lock = .{};
    for (&members) |*member| member.store(0, .monotonic);
}

test "what a closed pool has left is taken off nobody's count" {
    const first = join().?;
    put_in_transit(first, 4096);
    put_in_transit(first, 512);
    try std.testing.expect(received(first, 512));
    try std.testing.expectEqual(@as(u64, 4096), in_transit_bytes(first));
    try std.testing.expectEqual(@as(u64, 4096), leave(first));
    const second = join().?;
    try std.testing.expect(second != first);
    try std.testing.expect(!received(first, 4096));
    try std.testing.expectEqual(@as(u64, 0), in_transit_bytes(second));
    try std.testing.expectEqual(@as(u64, 0), leave(second));
}
