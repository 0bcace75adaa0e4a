//! Verbs on sockets that are answered at once. What can wait (accept, receive, send, connect) goes
//! through a backend. Every function gives a non-negative value or a negated errno.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");

/// Any socket address of this library's families, as the kernel wants it.
pub const SocketAddress = extern struct {
    storage: extern union {
        any: linux.sockaddr,
        in4: linux.sockaddr.in,
        in6: linux.sockaddr.in6,
    } align(4),

    pub fn length(self: *const SocketAddress) u32 {
        return switch (self.storage.any.family) {
            linux.AF.INET => @sizeOf(linux.sockaddr.in),
            else => @sizeOf(linux.sockaddr.in6),
        };
    }

    pub fn pointer(self: *const SocketAddress) *const linux.sockaddr {
        return &self.storage.any;
    }
};

/// A stream socket that does not outlive an exec.
pub fn open_stream(family: u32, nonblocking: bool) i32 {
    const blocking_flag: u32 = if (nonblocking) linux.SOCK.NONBLOCK else 0;
    const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC | blocking_flag;
    return kernel.result(linux.socket(family, kind, 0));
}

pub fn set_option(descriptor: i32, level: i32, name: u32, value: u32) i32 {
    return kernel.result(linux.setsockopt(
        descriptor,
        level,
        name,
        std.mem.asBytes(&value),
        @sizeOf(u32),
    ));
}

pub fn set_no_delay(descriptor: i32) i32 {
    return set_option(descriptor, linux.IPPROTO.TCP, linux.TCP.NODELAY, 1);
}

pub fn bind(descriptor: i32, address: *const SocketAddress) i32 {
    return kernel.result(linux.bind(descriptor, address.pointer(), address.length()));
}

pub fn listen(descriptor: i32, backlog: u32) i32 {
    return kernel.result(linux.listen(descriptor, backlog));
}

/// Stops listening at once: the port is free for another listener when this returns.
pub fn stop_listening(descriptor: i32) void {
    _ = linux.shutdown(descriptor, linux.SHUT.RD);
}

/// Ends our direction; the peer reads the end after everything sent.
pub fn shutdown_send(descriptor: i32) i32 {
    return kernel.result(linux.shutdown(descriptor, linux.SHUT.WR));
}

pub fn close(descriptor: i32) void {
    kernel.close(descriptor);
}

/// Closes with a reset instead of an orderly end, dropping what is not yet sent.
pub fn reset(descriptor: i32) void {
    const linger = extern struct { on: i32, seconds: i32 }{ .on = 1, .seconds = 0 };
    _ = linux.setsockopt(
        descriptor,
        linux.SOL.SOCKET,
        linux.SO.LINGER,
        std.mem.asBytes(&linger),
        @sizeOf(@TypeOf(linger)),
    );
    kernel.close(descriptor);
}

/// Bytes that were sent and that the peer has not acknowledged; 0 where the kernel cannot tell.
pub fn unsent(descriptor: i32) u32 {
    var count: i32 = 0;
    const rc = kernel.result(linux.ioctl(descriptor, linux.T.IOCOUTQ, @intFromPtr(&count)));
    return if (rc < 0 or count < 0) 0 else @intCast(count);
}

pub fn local_address(descriptor: i32, address: *SocketAddress) i32 {
    var length: linux.socklen_t = @sizeOf(SocketAddress);
    return kernel.result(linux.getsockname(descriptor, &address.storage.any, &length));
}

pub fn remote_address(descriptor: i32, address: *SocketAddress) i32 {
    var length: linux.socklen_t = @sizeOf(SocketAddress);
    return kernel.result(linux.getpeername(descriptor, &address.storage.any, &length));
}

test "a bound socket tells its address" {
    const descriptor = open_stream(linux.AF.INET, true);
    try std.testing.expect(descriptor >= 0);
    defer close(descriptor);
    var address: SocketAddress = undefined;
    address.storage.in4 = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
    try std.testing.expectEqual(@as(i32, 0), bind(descriptor, &address));
    var bound: SocketAddress = undefined;
    try std.testing.expectEqual(@as(i32, 0), local_address(descriptor, &bound));
    try std.testing.expect(bound.storage.in4.port != 0);
}
