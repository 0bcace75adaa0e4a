//! What this machine is: CPUs, limits, kernel release.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");

/// CPUs online, at least 1; from /sys, where "0-1,4" means three.
pub fn cpus_online() u32 {
    var buffer: [256]u8 = undefined;
    const text = kernel.read_file("/sys/devices/system/cpu/online", &buffer) orelse
        return cpus_allowed();
    return @max(1, count_ranges(text));
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

/// CPUs that the calling thread may run on, at least 1.
pub fn cpus_allowed() u32 {
    var set: linux.cpu_set_t = @splat(0);
    const rc = kernel.result(linux.sched_getaffinity(0, @sizeOf(linux.cpu_set_t), &set));
    if (rc < 0) return 1;
    var count: u32 = 0;
    for (set) |word| count += @popCount(word);
    return @max(1, count);
}

/// The soft limit; -1 when there is none.
pub fn limit(resource: linux.rlimit_resource) f64 {
    var value: linux.rlimit = undefined;
    if (kernel.result(linux.getrlimit(resource, &value)) < 0) return -1;
    if (value.cur == std.math.maxInt(@TypeOf(value.cur))) return -1;
    return @floatFromInt(value.cur);
}

/// Major, minor and patch number of the running kernel; zeros when they cannot be told.
pub fn kernel_release() [3]u32 {
    var names: linux.utsname = undefined;
    if (kernel.result(linux.uname(&names)) < 0) return .{ 0, 0, 0 };
    return parse_release(std.mem.sliceTo(&names.release, 0));
}

fn parse_release(text: []const u8) [3]u32 {
    var release = [3]u32{ 0, 0, 0 };
    var parts = std.mem.splitScalar(u8, text, '.');
    for (&release) |*number| {
        const part = parts.next() orelse break;
        number.* = kernel.first_number(part) orelse break;
    }
    return release;
}

test "ranges of CPUs and kernel releases are read as the kernel writes them" {
    try std.testing.expectEqual(@as(u32, 3), count_ranges("0-1,4\n"));
    try std.testing.expectEqual(@as(u32, 1), count_ranges("0\n"));
    try std.testing.expectEqual([3]u32{ 6, 18, 44 }, parse_release("6.18.44-cloud"));
    try std.testing.expectEqual([3]u32{ 6, 1, 0 }, parse_release("6.1"));
    try std.testing.expect(cpus_online() >= 1);
}
