//! What `notify.zig` is made of on Linux: an eventfd.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");

pub fn open(descriptor: *i32, end: *i32) i32 {
    const rc = kernel.result(linux.eventfd(0, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK));
    if (rc < 0) return rc;
    descriptor.* = rc;
    end.* = rc;
    return 0;
}

pub fn signal(end: i32) void {
    const one: u64 = 1;
    _ = linux.write(end, std.mem.asBytes(&one), @sizeOf(u64));
}

pub fn forget(descriptor: i32) void {
    var count: u64 = 0;
    _ = linux.read(descriptor, std.mem.asBytes(&count), @sizeOf(u64));
}
