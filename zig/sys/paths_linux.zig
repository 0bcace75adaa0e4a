//! What `paths.zig` is made of on Linux.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const Found = @import("paths.zig").Found;

pub fn look(path: [:0]const u8, found: *Found) i32 {
    var stat: linux.Statx = undefined;
    const flags = linux.AT.SYMLINK_NOFOLLOW;
    const mask: linux.STATX = .{ .TYPE = true, .INO = true, .CTIME = true };
    const rc = kernel.result(linux.statx(linux.AT.FDCWD, path, flags, mask, &stat));
    if (rc < 0) return rc;
    found.* = .{
        .identity = .{
            .device = @as(u64, stat.dev_major) << 32 | stat.dev_minor,
            .inode = stat.ino,
        },
        .changed_ns = @as(i128, stat.ctime.sec) * std.time.ns_per_s + stat.ctime.nsec,
        .is_socket = stat.mode & linux.S.IFMT == linux.S.IFSOCK,
    };
    return 0;
}

pub fn remove(path: [:0]const u8) i32 {
    return kernel.result(linux.unlink(path));
}

pub fn set_mode(path: [:0]const u8, mode: u32) i32 {
    return kernel.result(linux.fchmodat(linux.AT.FDCWD, path, mode));
}
