//! Descriptors of every kind, for tests of what may be adopted: no runtime gives out the system's
//! own.
//!
//! The adapters bind functions by the library's own names and signatures, so each function here has
//! the name of one with the signature that it needs.

const std = @import("std");
const linux = std.os.linux;

fn result(rc: usize) i32 {
    return @truncate(@as(isize, @bitCast(rc)));
}

/// Makes two of a kind: 0 stream sockets of TCP, 1 datagram sockets, 2 connected Unix sockets that
/// block, 3 connected Unix sockets that do not.
export fn tp_listen(kind: u32, ends: [*]u8, length: u32) i32 {
    var pair: [2]i32 = undefined;
    if (length != @sizeOf(@TypeOf(pair))) return -1;
    const CLOEXEC = linux.SOCK.CLOEXEC;
    const stream = linux.SOCK.STREAM | CLOEXEC;
    if (kind >= 2) {
        const flags: u32 = if (kind == 3) stream | linux.SOCK.NONBLOCK else stream;
        const rc = result(linux.socketpair(linux.AF.UNIX, flags, 0, &pair));
        if (rc < 0) return rc;
    } else {
        const flags: u32 = if (kind == 0) stream else linux.SOCK.DGRAM | CLOEXEC;
        for (&pair) |*end| {
            end.* = result(linux.socket(linux.AF.INET, flags, 0));
            if (end.* < 0) return end.*;
        }
    }
    @memcpy(ends[0..@sizeOf(@TypeOf(pair))], std.mem.asBytes(&pair));
    return 0;
}

/// Listens, on a free port where it is of TCP.
export fn tp_watch_remove(descriptor: u32, backlog: u32, reserved: u32) i32 {
    _ = reserved;
    return result(linux.listen(@bitCast(descriptor), backlog));
}

/// Another descriptor of the same thing.
export fn tp_loop_arm(descriptor: u32) i32 {
    return result(linux.dup(@bitCast(descriptor)));
}

/// Sends a byte over `socket` with `count` times `descriptor`, at most 100 times.
export fn tp_listener_address(socket: u32, descriptor: u32, count: u32) i32 {
    const places_max = 100;
    const Control = extern struct {
        length: usize,
        level: i32,
        kind: i32,
        descriptors: [places_max]i32,
    };
    if (count == 0 or count > places_max) return -1;
    var control: Control = .{
        .length = 16 + count * @sizeOf(i32),
        .level = linux.SOL.SOCKET,
        .kind = 1,
        .descriptors = @splat(@bitCast(descriptor)),
    };
    var vector = [1]std.posix.iovec_const{.{ .base = "!", .len = 1 }};
    const header = std.mem.zeroInit(linux.msghdr_const, .{
        .iov = &vector,
        .iovlen = 1,
        .control = &control,
        .controllen = @as(u32, @intCast(control.length)),
    });
    return result(linux.sendmsg(@bitCast(socket), &header, linux.MSG.NOSIGNAL));
}

/// Closes a descriptor.
export fn tp_loop_close(descriptor: u32) i32 {
    return result(linux.close(@bitCast(descriptor)));
}
