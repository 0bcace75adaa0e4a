//! How one thread tells another one's loop that there is something for it: an eventfd, or a message
//! that the kernel puts into a ring. Any thread may call these.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const uring = @import("uring.zig");

/// A descriptor that becomes readable with `signal`, or a negated errno.
pub fn open() i32 {
    return kernel.result(linux.eventfd(0, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK));
}

pub fn signal(descriptor: i32) void {
    const one: u64 = 1;
    _ = linux.write(descriptor, std.mem.asBytes(&one), @sizeOf(u64));
}

/// How often it was signalled since the last time; it is not readable afterwards.
pub fn forget(descriptor: i32) u64 {
    var count: u64 = 0;
    const rc = kernel.result(linux.read(descriptor, std.mem.asBytes(&count), @sizeOf(u64)));
    return if (rc < 0) 0 else count;
}

/// Whether it is readable within so many milliseconds.
pub fn wait(descriptor: i32, limit_ms: i32) bool {
    var entry = [1]linux.pollfd{.{ .fd = descriptor, .events = linux.POLL.IN, .revents = 0 }};
    return kernel.result(linux.poll(&entry, 1, limit_ms)) == 1;
}

/// Puts a completion into another loop's ring without one of one's own (Linux 6.13). 0, or a
/// negated errno.
pub fn send_message(ring: i32, user_data: u64) i32 {
    const sqe: uring.Sqe = .{
        .opcode = .msg_ring,
        .descriptor = ring,
        .offset = user_data,
        .user_data = 0,
    };
    return uring.register(-1, uring.register_send_msg_ring, &sqe, 1);
}
