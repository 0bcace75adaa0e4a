//! What `kernel.zig` is made of on Linux: raw system calls, without libc.

const std = @import("std");
const linux = std.os.linux;

const Identity = @import("kernel.zig").Identity;
const Memory = []align(std.heap.page_size_min) u8;

/// The value of a system call, or its negated errno. An address is a positive value.
pub fn result(rc: usize) i32 {
    const value: isize = @bitCast(rc);
    return std.math.cast(i32, value) orelse std.math.maxInt(i32);
}

/// This is the system whose numbers all speak.
pub fn from_system(number: i32) i32 {
    return -number;
}

pub fn close(descriptor: i32) void {
    // Linux frees the descriptor even when close answers EINTR, so there is nothing to retry.
    _ = linux.close(descriptor);
}

pub fn is_open(descriptor: i32) bool {
    return result(linux.fcntl(descriptor, linux.F.GETFD, 0)) >= 0;
}

pub fn check_pollable(descriptor: i32, identity: *Identity) i32 {
    var stat: linux.Statx = undefined;
    const flags = linux.AT.EMPTY_PATH;
    const mask: linux.STATX = .{ .TYPE = true, .INO = true };
    const rc = result(linux.statx(descriptor, "", flags, mask, &stat));
    if (rc < 0) return rc;
    identity.* = .{
        .device = @as(u64, stat.dev_major) << 32 | stat.dev_minor,
        .inode = stat.ino,
    };
    return switch (stat.mode & linux.S.IFMT) {
        linux.S.IFREG, linux.S.IFDIR => -@as(i32, @intFromEnum(linux.E.PERM)),
        else => 0,
    };
}

pub fn map(length: usize) ?Memory {
    const rc = linux.mmap(null, length, .{ .READ = true, .WRITE = true }, .{
        .TYPE = .PRIVATE,
        .ANONYMOUS = true,
        .NORESERVE = true,
    }, -1, 0);
    if (result(rc) < 0) return null;
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(rc);
    return pointer[0..length];
}

pub fn unmap(memory: Memory) void {
    _ = linux.munmap(memory.ptr, memory.len);
}

pub fn discard(memory: Memory) void {
    _ = linux.madvise(memory.ptr, memory.len, linux.MADV.DONTNEED);
}

pub fn open(path: [*:0]const u8) i32 {
    return result(linux.open(path, .{ .CLOEXEC = true, .NONBLOCK = true }, 0));
}

pub fn read(descriptor: i32, buffer: []u8) i32 {
    return result(linux.read(descriptor, buffer.ptr, buffer.len));
}
