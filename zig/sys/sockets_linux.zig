//! What `sockets.zig` has only on Linux.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");

pub const calls = linux;

/// No SIGPIPE, and no wait.
pub const send_flags: u32 = linux.MSG.NOSIGNAL | linux.MSG.DONTWAIT;

pub const option_ipv6_level: i32 = linux.SOL.IPV6;
pub const option_ipv6_only: u32 = linux.IPV6.V6ONLY;
pub const option_no_delay: u32 = linux.TCP.NODELAY;
pub const option_reuse_port: u32 = linux.SO.REUSEPORT;

pub fn open(family: u32, kind: u32, nonblocking: bool) i32 {
    const blocking_flag: u32 = if (nonblocking) linux.SOCK.NONBLOCK else 0;
    return kernel.result(linux.socket(family, kind | linux.SOCK.CLOEXEC | blocking_flag, 0));
}

pub fn open_pair(pair: *[2]i32) i32 {
    const kind = linux.SOCK.STREAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    return kernel.result(linux.socketpair(linux.AF.UNIX, kind, 0, pair));
}

pub fn accept(descriptor: i32) i32 {
    const flags = linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    return kernel.result(linux.accept4(descriptor, null, null, flags));
}

pub fn stop_listening(descriptor: i32) void {
    _ = linux.shutdown(descriptor, linux.SHUT.RD);
}

pub fn unsent(descriptor: i32) i32 {
    var count: i32 = 0;
    const rc = kernel.result(linux.ioctl(descriptor, linux.T.IOCOUTQ, @intFromPtr(&count)));
    return if (rc < 0) rc else count;
}

/// It has a place in the sequence of bytes, and that is what is counted.
pub const unsent_counts_end = true;
