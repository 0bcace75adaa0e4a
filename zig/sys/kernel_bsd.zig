//! What `kernel.zig` is made of on macOS and FreeBSD: calls of libc, and numbers as Linux has them.

const std = @import("std");
const builtin = @import("builtin");
const c = std.c;
const error_numbers = @import("error_numbers.zig");

const Identity = @import("kernel.zig").Identity;
const Memory = []align(std.heap.page_size_min) u8;

const numbers = error_numbers.Translation(c.E, switch (builtin.os.tag) {
    // EOPNOTSUPP, which is not ENOTSUP there. Source: <sys/errno.h>.
    .macos => &.{.{ .native = 102, .linux = .OPNOTSUPP }},
    else => &.{},
});

/// The value of a call, or its negated errno. To be called before anything else sets errno.
pub fn result(rc: isize) i32 {
    if (rc == -1) return last_error();
    return std.math.cast(i32, rc) orelse std.math.maxInt(i32);
}

/// Of the last call that failed.
pub fn last_error() i32 {
    return from_system(c._errno().*);
}

pub fn from_system(number: i32) i32 {
    return -@as(i32, @intCast(numbers.to_linux(@bitCast(number))));
}

pub fn close(descriptor: i32) void {
    // Both free the descriptor even when close answers EINTR.
    _ = c.close(descriptor);
}

pub fn is_open(descriptor: i32) bool {
    return result(c.fcntl(descriptor, c.F.GETFD, @as(c_int, 0))) >= 0;
}

pub fn check_pollable(descriptor: i32, identity: *Identity) i32 {
    var stat: c.Stat = undefined;
    const rc = result(c.fstat(descriptor, &stat));
    if (rc < 0) return rc;
    identity.* = .{
        .device = @truncate(@as(u128, @bitCast(@as(i128, stat.dev)))),
        .inode = @intCast(stat.ino),
    };
    return switch (stat.mode & c.S.IFMT) {
        c.S.IFREG, c.S.IFDIR => -@as(i32, @intFromEnum(std.os.linux.E.PERM)),
        else => 0,
    };
}

pub fn map(length: usize) ?Memory {
    return map_at(null, length, false);
}

fn map_at(address: ?*align(std.heap.page_size_min) anyopaque, length: usize, fixed: bool) ?Memory {
    const start = c.mmap(address, length, .{ .READ = true, .WRITE = true }, .{
        .TYPE = .PRIVATE,
        .ANONYMOUS = true,
        .FIXED = fixed,
    }, -1, 0);
    if (start == c.MAP_FAILED) return null;
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(start));
    return pointer[0..length];
}

pub fn unmap(memory: Memory) void {
    _ = c.munmap(@ptrCast(memory.ptr), memory.len);
}

/// MADV_DONTNEED and MADV_FREE keep what is there until somebody else needs the page, so a new
/// mapping takes the place of the old one.
pub fn discard(memory: Memory) void {
    if (map_at(@ptrCast(memory.ptr), memory.len, true) == null) @memset(memory, 0);
}

pub fn open(path: [*:0]const u8) i32 {
    return result(c.open(path, .{ .CLOEXEC = true, .NONBLOCK = true }));
}

pub fn read(descriptor: i32, buffer: []u8) i32 {
    return result(c.read(descriptor, buffer.ptr, buffer.len));
}
