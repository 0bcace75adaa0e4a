//! What `fork.zig` is made of on macOS and FreeBSD.

const std = @import("std");
const builtin = @import("builtin");
const c = std.c;
const kernel = @import("kernel.zig");
const Inheritance = @import("pages_bsd.zig").Inheritance;
const set_inheritance = @import("pages_bsd.zig").set_inheritance;

/// INHERIT_ZERO, FreeBSD 12. macOS has none; there getpid(2) costs as much as a call of a function,
/// because libc remembers it.
pub fn wipe_in_children(page: []align(std.heap.page_size_min) u8) bool {
    return builtin.os.tag != .macos and set_inheritance(page, Inheritance.zero) == 0;
}

pub fn fork() i32 {
    return kernel.result(c.fork());
}

pub fn exit(code: u8) noreturn {
    c._exit(code);
}

pub fn wait(child: i32, status: *u32) i32 {
    return kernel.result(c.waitpid(child, @ptrCast(status), 0));
}
