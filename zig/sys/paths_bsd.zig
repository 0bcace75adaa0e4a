//! What `paths.zig` is made of on macOS and FreeBSD.

const std = @import("std");
const c = std.c;
const kernel = @import("kernel.zig");
const Found = @import("paths.zig").Found;

pub fn look(path: [:0]const u8, found: *Found) i32 {
    var stat: c.Stat = undefined;
    const rc = kernel.result(c.fstatat(c.AT.FDCWD, path, &stat, c.AT.SYMLINK_NOFOLLOW));
    if (rc < 0) return rc;
    const changed = stat.ctime();
    found.* = .{
        .identity = .{
            .device = @truncate(@as(u128, @bitCast(@as(i128, stat.dev)))),
            .inode = @intCast(stat.ino),
        },
        .changed_ns = @as(i128, changed.sec) * std.time.ns_per_s + changed.nsec,
        .is_socket = stat.mode & c.S.IFMT == c.S.IFSOCK,
    };
    return 0;
}

pub fn remove(path: [:0]const u8) i32 {
    return kernel.result(c.unlink(path));
}

pub fn set_mode(path: [:0]const u8, mode: u32) i32 {
    return kernel.result(c.chmod(path, @intCast(mode)));
}
