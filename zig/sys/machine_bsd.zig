//! What `machine.zig` is made of on macOS and FreeBSD. Source: sysctl(3), getrlimit(2),
//! cpuset_getaffinity(2).

const std = @import("std");
const builtin = @import("builtin");
const c = std.c;
const kernel = @import("kernel.zig");
const sysctl = @import("sysctl_bsd.zig");

pub const Resource = c.rlimit_resource;

pub fn page_bytes() usize {
    return sysctl.number("hw.pagesize") orelse std.heap.page_size_min;
}

pub fn cpus_online() ?u32 {
    return sysctl.number("hw.ncpu");
}

/// FreeBSD's set of CPUs has at most 1,024; a kernel with fewer takes a longer set.
const cpu_set_words = 1024 / 64;
extern "c" fn cpuset_getaffinity(
    level: c_int,
    which: c_int,
    id: i64,
    bytes: usize,
    set: *[cpu_set_words]u64,
) c_int;
/// CPU_LEVEL_WHICH, CPU_WHICH_TID and the calling thread.
const own_set = .{ @as(c_int, 3), @as(c_int, 1), @as(i64, -1) };

/// On macOS a thread cannot be kept from a CPU.
pub fn cpus_allowed() u32 {
    if (builtin.os.tag == .macos) return cpus_online() orelse 0;
    var set: [cpu_set_words]u64 = @splat(0);
    const rc = @call(.auto, cpuset_getaffinity, own_set ++ .{ @sizeOf(@TypeOf(set)), &set });
    if (kernel.result(rc) < 0) return 0;
    var count: u32 = 0;
    for (set) |word| count += @popCount(word);
    return count;
}

pub fn limit(resource: Resource) ?f64 {
    var value: c.rlimit = undefined;
    if (kernel.result(c.getrlimit(resource, &value)) < 0) return null;
    // RLIM_INFINITY.
    if (value.cur == std.math.maxInt(i64)) return null;
    return @floatFromInt(value.cur);
}

pub fn kernel_release(buffer: []u8) ?[]const u8 {
    return sysctl.text("kern.osrelease", buffer);
}
