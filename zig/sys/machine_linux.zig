//! What `machine.zig` is made of on Linux. Source: sched_getaffinity(2), getrlimit(2), uname(2),
//! Documentation/admin-guide/cputopology.rst, getauxval(3).

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");

pub const Resource = linux.rlimit_resource;

/// From the vector that the kernel gave the process; what the compiler takes for granted where
/// /proc is not there.
pub fn page_bytes() usize {
    var buffer: [1024]u8 = undefined;
    const vector = kernel.read_file("/proc/self/auxv", &buffer) orelse
        return std.heap.page_size_min;
    return page_bytes_in(vector) orelse std.heap.page_size_min;
}

fn page_bytes_in(vector: []const u8) ?usize {
    const word = @sizeOf(usize);
    var at: usize = 0;
    while (at + 2 * word <= vector.len) : (at += 2 * word) {
        const kind = std.mem.readInt(usize, vector[at..][0..word], .native);
        const value = std.mem.readInt(usize, vector[at + word ..][0..word], .native);
        if (kind == std.elf.AT_PAGESZ and std.math.isPowerOfTwo(value)) return value;
    }
    return null;
}

/// From /sys, where "0-1,4" means three.
pub fn cpus_online() ?u32 {
    var buffer: [256]u8 = undefined;
    const text = kernel.read_file("/sys/devices/system/cpu/online", &buffer) orelse return null;
    return count_ranges(text);
}

fn count_ranges(text: []const u8) u32 {
    var count: u32 = 0;
    var ranges = std.mem.tokenizeAny(u8, text, ", \n");
    while (ranges.next()) |range| {
        const first = kernel.first_number(range) orelse continue;
        const dash = std.mem.indexOfScalar(u8, range, '-');
        const last = if (dash) |at| kernel.first_number(range[at..]) orelse first else first;
        count += last -| first + 1;
    }
    return count;
}

pub fn cpus_allowed() u32 {
    var set: linux.cpu_set_t = @splat(0);
    const rc = kernel.result(linux.sched_getaffinity(0, @sizeOf(linux.cpu_set_t), &set));
    if (rc < 0) return 0;
    var count: u32 = 0;
    for (set) |word| count += @popCount(word);
    return count;
}

pub fn limit(resource: Resource) ?f64 {
    var value: linux.rlimit = undefined;
    if (kernel.result(linux.getrlimit(resource, &value)) < 0) return null;
    if (value.cur == std.math.maxInt(@TypeOf(value.cur))) return null;
    return @floatFromInt(value.cur);
}

pub fn kernel_release(buffer: []u8) ?[]const u8 {
    var names: linux.utsname = undefined;
    if (kernel.result(linux.uname(&names)) < 0) return null;
    const release = std.mem.sliceTo(&names.release, 0);
    if (release.len > buffer.len) return null;
    @memcpy(buffer[0..release.len], release);
    return buffer[0..release.len];
}

test "ranges of CPUs are read as the kernel writes them" {
    try std.testing.expectEqual(@as(u32, 3), count_ranges("0-1,4\n"));
    try std.testing.expectEqual(@as(u32, 1), count_ranges("0\n"));
}

test "the size of a page is found where the kernel tells it" {
    const vector = [_]usize{ std.elf.AT_HWCAP, 5, std.elf.AT_PAGESZ, 16384, 0, 0 };
    const bytes = std.mem.sliceAsBytes(&vector);
    try std.testing.expectEqual(@as(?usize, 16384), page_bytes_in(bytes));
    try std.testing.expectEqual(@as(?usize, null), page_bytes_in(bytes[0 .. 3 * @sizeOf(usize)]));
    try std.testing.expect(page_bytes() >= std.heap.page_size_min);
}
