//! What `fork.zig` is made of on Linux.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");

/// MADV_WIPEONFORK, Linux 4.14.
pub fn wipe_in_children(page: []align(std.heap.page_size_min) u8) bool {
    const rc = linux.madvise(page.ptr, page.len, linux.MADV.WIPEONFORK);
    return kernel.result(rc) == 0;
}

pub fn fork() i32 {
    return kernel.result(linux.fork());
}

pub fn exit(code: u8) noreturn {
    linux.exit_group(code);
}

pub fn wait(child: i32, status: *u32) i32 {
    return kernel.result(linux.waitpid(child, status, 0));
}
