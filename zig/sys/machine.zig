//! What this machine is: CPUs, pages, limits, kernel release.

const std = @import("std");
const kernel = @import("kernel.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("machine_linux.zig"),
    .bsd => @import("machine_bsd.zig"),
};

/// Bytes of a page. The compiler knows a least and a most, which are the same on most processors.
pub fn page_bytes() usize {
    if (std.heap.page_size_min == std.heap.page_size_max) return std.heap.page_size_min;
    return system.page_bytes();
}

/// CPUs online, at least 1.
pub fn cpus_online() u32 {
    return @max(1, system.cpus_online() orelse cpus_allowed());
}

/// CPUs that the calling thread may run on, at least 1.
pub fn cpus_allowed() u32 {
    return @max(1, system.cpus_allowed());
}

/// The soft limit; -1 when there is none.
pub fn limit(resource: system.Resource) f64 {
    return system.limit(resource) orelse -1;
}

/// Major, minor and patch number of the running kernel (on macOS, of Darwin); zeros when they
/// cannot be told.
pub fn kernel_release() [3]u32 {
    var buffer: [256]u8 = undefined;
    return parse_release(system.kernel_release(&buffer) orelse return .{ 0, 0, 0 });
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

test "kernel releases are read as the kernel writes them" {
    try std.testing.expectEqual([3]u32{ 6, 18, 44 }, parse_release("6.18.44-cloud"));
    try std.testing.expectEqual([3]u32{ 6, 1, 0 }, parse_release("6.1"));
    try std.testing.expectEqual([3]u32{ 14, 1, 0 }, parse_release("14.1-RELEASE-p2"));
    try std.testing.expect(kernel_release()[0] > 0);
}

test "there is a CPU, and a page that addresses are multiples of" {
    try std.testing.expect(cpus_online() >= 1 and cpus_allowed() >= 1);
    try std.testing.expect(std.math.isPowerOfTwo(page_bytes()));
    try std.testing.expect(page_bytes() >= std.heap.page_size_min);
    try std.testing.expect(page_bytes() <= std.heap.page_size_max);
}

test {
    _ = system;
}
