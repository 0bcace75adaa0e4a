//! Which operating systems this library knows. Where a file of this folder needs different calls,
//! they are in files of its name that end in `_linux` and `_bsd`, and that file chooses here.

const builtin = @import("builtin");

pub const Family = enum {
    /// System calls, raw: one file for every libc.
    linux,
    /// macOS and FreeBSD, through their libc: their system calls are no interface.
    bsd,
};

pub const family: Family = switch (builtin.os.tag) {
    .linux => .linux,
    .macos, .freebsd => .bsd,
    else => |tag| @compileError("twinpoll does not know " ++ @tagName(tag)),
};
