//! Memory that a script may see. A runtime has no way to take a view back, so a region is never
//! unmapped: it is parked here when its loop closes and handed to a later loop that fits.
//! Process-wide, any thread.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const pages = @import("../sys/pages.zig");
const Lock = @import("../sys/lock.zig").Lock;

pub const Region = []align(std.heap.page_size_min) u8;

const parked_max = 1024;

var lock: Lock = .{};
var parked: [parked_max]Region = undefined;
var parked_count: u32 = 0;

/// A zeroed region of at least `length` bytes: the smallest parked one that fits, or a new one.
/// A parked one of more than twice the length is left for a loop that needs it.
pub fn take(length: usize) error{OutOfMemory}!Region {
    const bytes = kernel.round_to_page(length);
    if (take_parked(bytes)) |region| return region;
    const region = kernel.map(bytes) orelse return error.OutOfMemory;
    pages.exclude_from_fork(region);
    return region;
}

fn take_parked(bytes: usize) ?Region {
    lock.acquire();
    defer lock.release();
    var best: ?u32 = null;
    for (parked[0..parked_count], 0..) |region, index| {
        if (region.len < bytes or region.len > bytes * 2) continue;
        if (best == null or region.len < parked[best.?].len) best = @intCast(index);
    }
    const index = best orelse return null;
    const region = parked[index];
    parked_count -= 1;
    parked[index] = parked[parked_count];
    return region;
}

/// Parks a region. Its pages go back to the kernel and read as zeros from now on. With the table
/// full the range stays mapped without being used again.
pub fn give_back(region: Region) void {
    kernel.discard(region);
    pages.exclude_from_fork(region);
    lock.acquire();
    defer lock.release();
    if (parked_count == parked_max) return;
    parked[parked_count] = region;
    parked_count += 1;
}

/// The child of a fork has none of its parent's memory.
pub fn reset() void {
    lock = .{};
    parked_count = 0;
}

test "a region comes back zeroed and is not handed out twice" {
    const first = try take(100_000_000);
    first[99_999_999] = 1;
    const address = first.ptr;
    give_back(first);
    const second = try take(90_000_000);
    const third = try take(90_000_000);
    try std.testing.expectEqual(address, second.ptr);
    try std.testing.expectEqual(@as(u8, 0), second[89_999_999]);
    try std.testing.expect(third.ptr != second.ptr);
    // So large that no loop would take them.
    kernel.unmap(second);
    kernel.unmap(third);
}
