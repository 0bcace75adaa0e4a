//! Verbs on sockets; none of them waits. Loops come to those that may find nothing to do yet
//! (accept, receive, send, connect) through a backend. Every function gives a non-negative value or
//! a negated errno. Sockets do not outlive an exec, and none raises SIGPIPE.

const std = @import("std");
const kernel = @import("kernel.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("sockets_linux.zig"),
    .bsd => @import("sockets_bsd.zig"),
};
/// Calls and constants that have the same shape everywhere.
const calls = system.calls;

/// Address families as this system numbers them.
pub const AF = calls.AF;

/// Levels and names for `set_option` as this system numbers them.
pub const option = struct {
    pub const socket_level: i32 = calls.SOL.SOCKET;
    pub const tcp_level: i32 = calls.IPPROTO.TCP;
    pub const ip_level: i32 = calls.IPPROTO.IP;
    pub const ipv6_level: i32 = calls.IPPROTO.IPV6;
    /// Names that this system does not have are null.
    pub const names = system.option_names;
};

/// What only datagram sockets are asked.
pub const datagram = @import("datagram_options.zig");

/// Any socket address of this library's families, as the kernel wants it.
pub const SocketAddress = extern struct {
    storage: extern union {
        any: calls.sockaddr,
        in4: calls.sockaddr.in,
        in6: calls.sockaddr.in6,
        un: calls.sockaddr.un,
    } align(4),
    /// Of a Unix address: how many bytes of it count, for a name may hold zeros.
    unix_length: u32,

    pub const path_offset = @offsetOf(calls.sockaddr.un, "path");
    pub const path_bytes = @sizeOf(@FieldType(calls.sockaddr.un, "path"));

    pub fn length(self: *const SocketAddress) u32 {
        return switch (self.storage.any.family) {
            AF.INET => @sizeOf(calls.sockaddr.in),
            AF.UNIX => self.unix_length,
            else => @sizeOf(calls.sockaddr.in6),
        };
    }

    /// The path of a Unix address, or the name with its leading zero; empty where there is none.
    pub fn path(self: *const SocketAddress) []const u8 {
        const bytes = self.storage.un.path[0..@min(self.unix_length -| path_offset, path_bytes)];
        if (bytes.len == 0 or bytes[0] == 0) return bytes;
        return bytes[0 .. std.mem.indexOfScalar(u8, bytes, 0) orelse bytes.len];
    }

    pub fn equals(self: *const SocketAddress, other: *const SocketAddress) bool {
        if (self.storage.any.family != other.storage.any.family) return false;
        return switch (self.storage.any.family) {
            AF.INET => self.storage.in4.addr == other.storage.in4.addr and
                self.storage.in4.port == other.storage.in4.port,
            AF.UNIX => std.mem.eql(u8, self.path(), other.path()),
            else => self.storage.in6.port == other.storage.in6.port and
                self.storage.in6.scope_id == other.storage.in6.scope_id and
                std.mem.eql(u8, &self.storage.in6.addr, &other.storage.in6.addr),
        };
    }

    pub fn pointer(self: *const SocketAddress) *const calls.sockaddr {
        return &self.storage.any;
    }
};

/// A stream socket.
pub fn open_stream(family: u32, nonblocking: bool) i32 {
    return system.open(family, calls.SOCK.STREAM, nonblocking);
}

/// A datagram socket.
pub fn open_datagram(family: u32, nonblocking: bool) i32 {
    return system.open(family, calls.SOCK.DGRAM, nonblocking);
}

/// Two non-blocking stream sockets that are connected to each other.
pub fn open_pair(pair: *[2]i32) i32 {
    return system.open_pair(pair);
}

pub fn set_option(descriptor: i32, level: i32, name: u32, value: u32) i32 {
    return set_bytes(descriptor, level, name, std.mem.asBytes(&value));
}

/// An option that is no number.
pub fn set_bytes(descriptor: i32, level: i32, name: u32, bytes: []const u8) i32 {
    const length: calls.socklen_t = @intCast(bytes.len);
    return kernel.result(calls.setsockopt(descriptor, level, name, bytes.ptr, length));
}

/// The value of an option that is a number.
pub fn get_option(descriptor: i32, level: i32, name: u32, value: *u32) i32 {
    value.* = 0;
    var length: calls.socklen_t = @sizeOf(u32);
    const bytes = std.mem.asBytes(value);
    return kernel.result(calls.getsockopt(descriptor, level, name, bytes, &length));
}

pub fn bind(descriptor: i32, address: *const SocketAddress) i32 {
    return kernel.result(calls.bind(descriptor, address.pointer(), address.length()));
}

pub fn listen(descriptor: i32, backlog: u32) i32 {
    return kernel.result(calls.listen(descriptor, backlog));
}

/// Stops listening at once: the port is free for another listener when this returns, while the
/// descriptor is still the caller's to close. Accepting then fails with EINVAL, but does not wait.
pub fn stop_listening(descriptor: i32) void {
    system.stop_listening(descriptor);
}

/// A new non-blocking socket, or EAGAIN where nobody has connected and the listener is
/// non-blocking.
pub fn accept(descriptor: i32) i32 {
    return system.accept(descriptor);
}

/// EINPROGRESS, or EINTR, where it goes on by itself: the socket becomes writable, and
/// `connect_outcome` tells.
pub fn connect(descriptor: i32, address: *const SocketAddress) i32 {
    return kernel.result(calls.connect(descriptor, address.pointer(), address.length()));
}

/// Zero or the negated errno with which a connect under way ended (SO_ERROR).
pub fn connect_outcome(descriptor: i32) i32 {
    var code: i32 = 0;
    var length: calls.socklen_t = @sizeOf(i32);
    const rc = kernel.result(calls.getsockopt(
        descriptor,
        calls.SOL.SOCKET,
        calls.SO.ERROR,
        std.mem.asBytes(&code),
        &length,
    ));
    return if (rc < 0) rc else kernel.from_system(code);
}

/// The number of bytes taken, or EAGAIN.
pub fn send(descriptor: i32, bytes: []const u8) i32 {
    const flags = system.send_flags;
    return kernel.result(calls.sendto(descriptor, bytes.ptr, bytes.len, flags, null, 0));
}

/// The same for a datagram to somebody.
pub fn send_to(descriptor: i32, bytes: []const u8, address: *const SocketAddress) i32 {
    const flags = system.send_flags;
    const to = address.pointer();
    const rc = calls.sendto(descriptor, bytes.ptr, bytes.len, flags, to, address.length());
    return kernel.result(rc);
}

/// The same for bytes that are in several places, at most 1,024.
pub fn send_vectors(descriptor: i32, vectors: []const std.posix.iovec_const) i32 {
    const header = std.mem.zeroInit(calls.msghdr_const, .{
        .iov = vectors.ptr,
        .iovlen = @as(@FieldType(calls.msghdr_const, "iovlen"), @intCast(vectors.len)),
    });
    return kernel.result(calls.sendmsg(descriptor, &header, system.send_flags));
}

/// The same as `send`, with control data.
pub fn send_control(descriptor: i32, bytes: []const u8, control: []align(8) const u8) i32 {
    const Header = calls.msghdr_const;
    var vector = [1]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
    const header = std.mem.zeroInit(Header, .{
        .iov = &vector,
        .iovlen = 1,
        .control = control.ptr,
        .controllen = @as(@FieldType(Header, "controllen"), @intCast(control.len)),
    });
    return kernel.result(calls.sendmsg(descriptor, &header, system.send_flags));
}

/// The number of bytes received, 0 at the peer's end, or EAGAIN.
pub fn receive(descriptor: i32, bytes: []u8) i32 {
    const flags = calls.MSG.DONTWAIT;
    return kernel.result(calls.recvfrom(descriptor, bytes.ptr, bytes.len, flags, null, null));
}

/// The same into several places, at most 1,024.
pub fn receive_vectors(descriptor: i32, vectors: []std.posix.iovec) i32 {
    var header = std.mem.zeroInit(calls.msghdr, .{
        .iov = vectors.ptr,
        .iovlen = @as(@FieldType(calls.msghdr, "iovlen"), @intCast(vectors.len)),
    });
    return kernel.result(calls.recvmsg(descriptor, &header, calls.MSG.DONTWAIT));
}

/// What a descriptor from elsewhere is to be.
pub const Wanted = enum { connected, listening };

/// Whether a descriptor is a stream socket of one of this library's families, and connected or
/// listening as wanted, whose family goes to `family`. 0, or a negated errno: EBADF, ENOTSOCK,
/// EPROTOTYPE where it is no stream, EAFNOSUPPORT, ENOTCONN, or EINVAL where it listens and must
/// not, or must and does not.
pub fn check_stream(descriptor: i32, wanted: Wanted, family: *u32) i32 {
    if (descriptor < 0) return kernel.negative(.BADF);
    var value: u32 = 0;
    const level = option.socket_level;
    var rc = get_option(descriptor, level, calls.SO.TYPE, &value);
    if (rc < 0) return rc;
    if (value != calls.SOCK.STREAM) return kernel.negative(.PROTOTYPE);
    var address: SocketAddress = undefined;
    rc = local_address(descriptor, &address);
    if (rc < 0) return rc;
    family.* = address.storage.any.family;
    switch (address.storage.any.family) {
        AF.INET, AF.INET6, AF.UNIX => {},
        else => return kernel.negative(.AFNOSUPPORT),
    }
    rc = get_option(descriptor, level, calls.SO.ACCEPTCONN, &value);
    if (rc < 0) return rc;
    if ((value != 0) != (wanted == .listening)) return kernel.negative(.INVAL);
    if (wanted == .listening) return 0;
    rc = remote_address(descriptor, &address);
    return @min(rc, 0);
}

/// Makes a descriptor from elsewhere one that does not outlive an exec, non-blocking or not. 0, or
/// a negated errno.
pub fn set_flags(descriptor: i32, nonblocking: bool) i32 {
    return @min(system.set_flags(descriptor, nonblocking), 0);
}

/// Keeps a descriptor from programs that are executed. 0, or a negated errno.
pub fn keep_private(descriptor: i32) i32 {
    return @min(system.keep_private(descriptor), 0);
}

/// Another descriptor of the same thing, which does not outlive an exec.
pub fn duplicate(descriptor: i32) i32 {
    return system.duplicate(descriptor);
}

/// Ends our direction; the peer reads the end after everything sent.
pub fn shutdown_send(descriptor: i32) i32 {
    return kernel.result(calls.shutdown(descriptor, calls.SHUT.WR));
}

pub fn close(descriptor: i32) void {
    kernel.close(descriptor);
}

/// Closes with a reset instead of an orderly end, dropping what is not yet sent.
pub fn reset(descriptor: i32) void {
    const linger = extern struct { on: i32, seconds: i32 }{ .on = 1, .seconds = 0 };
    const bytes = std.mem.asBytes(&linger);
    _ = calls.setsockopt(descriptor, calls.SOL.SOCKET, calls.SO.LINGER, bytes, bytes.len);
    kernel.close(descriptor);
}

/// Bytes that were sent and that the peer has not acknowledged; 0 where the kernel cannot tell.
pub fn unsent(descriptor: i32) u32 {
    return @intCast(@max(system.unsent(descriptor), 0));
}

/// Whether the end that `shutdown_send` adds counts as one byte of `unsent`.
pub const unsent_counts_end: bool = system.unsent_counts_end;

/// Whether neither direction of a connection works any more.
pub fn is_dead(descriptor: i32) bool {
    return ready_within(descriptor, 0, .{}).hangup;
}

/// Why a connection is broken of which nothing is left to be read, as a negated errno that is told
/// once; 0 while there is something, and while it is whole.
pub fn failure(descriptor: i32) i32 {
    if (!ready_within(descriptor, 0, .{}).failed) return 0;
    if (system.unread(descriptor) > 0) return 0;
    return connect_outcome(descriptor);
}

/// Whether it is a Unix socket.
pub fn is_unix(descriptor: i32) bool {
    var address: SocketAddress = undefined;
    return local_address(descriptor, &address) == 0 and address.storage.any.family == calls.AF.UNIX;
}

/// Who is at the other end of a Unix connection.
pub const peer_credentials = system.peer_credentials;

pub fn local_address(descriptor: i32, address: *SocketAddress) i32 {
    var length: calls.socklen_t = @sizeOf(@FieldType(SocketAddress, "storage"));
    const rc = kernel.result(calls.getsockname(descriptor, &address.storage.any, &length));
    address.unix_length = length;
    return rc;
}

pub fn remote_address(descriptor: i32, address: *SocketAddress) i32 {
    var length: calls.socklen_t = @sizeOf(@FieldType(SocketAddress, "storage"));
    const rc = kernel.result(calls.getpeername(descriptor, &address.storage.any, &length));
    address.unix_length = length;
    return rc;
}

/// What poll(2) tells of one descriptor.
pub const Readiness = struct { readable: bool, writable: bool, failed: bool, hangup: bool };

/// What it is ready for after at most so many milliseconds (-1: whenever it is): nothing at the
/// latest then, or when the call was refused.
pub fn ready_within(descriptor: i32, limit_ms: i32, wanted: struct {
    readable: bool = false,
    writable: bool = false,
}) Readiness {
    const POLL = calls.POLL;
    const read: i16 = if (wanted.readable) POLL.IN else 0;
    const write: i16 = if (wanted.writable) POLL.OUT else 0;
    var entry = [1]calls.pollfd{.{ .fd = descriptor, .events = read | write, .revents = 0 }};
    const rc = kernel.result(calls.poll(&entry, 1, limit_ms));
    const told: i16 = if (rc > 0) entry[0].revents else 0;
    return .{
        .readable = told & POLL.IN != 0,
        .writable = told & POLL.OUT != 0,
        .failed = told & POLL.ERR != 0,
        .hangup = told & POLL.HUP != 0,
    };
}

test "a bound socket tells its address" {
    const descriptor = open_stream(AF.INET, true);
    try std.testing.expect(descriptor >= 0);
    defer close(descriptor);
    var address: SocketAddress = undefined;
    address.storage.in4 = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
    try std.testing.expectEqual(@as(i32, 0), bind(descriptor, &address));
    var bound: SocketAddress = undefined;
    try std.testing.expectEqual(@as(i32, 0), local_address(descriptor, &bound));
    try std.testing.expect(bound.storage.in4.port != 0);
}

test "a connection from listening to its end" {
    const listener = open_stream(AF.INET, true);
    try std.testing.expect(listener >= 0);
    defer close(listener);
    var address: SocketAddress = undefined;
    address.storage.in4 = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
    try std.testing.expectEqual(@as(i32, 0), bind(listener, &address));
    try std.testing.expectEqual(@as(i32, 0), listen(listener, 8));
    try std.testing.expectEqual(kernel.negative(.AGAIN), accept(listener));
    try std.testing.expectEqual(@as(i32, 0), local_address(listener, &address));

    const near = open_stream(AF.INET, true);
    defer close(near);
    const started = connect(near, &address);
    try std.testing.expect(started == 0 or started == kernel.negative(.INPROGRESS));
    try std.testing.expect(ready_within(near, 5000, .{ .writable = true }).writable);
    try std.testing.expectEqual(@as(i32, 0), connect_outcome(near));
    try std.testing.expect(ready_within(listener, 5000, .{ .readable = true }).readable);
    const far = accept(listener);
    try std.testing.expect(far >= 0);
    defer close(far);

    var bytes: [8]u8 = undefined;
    try std.testing.expectEqual(kernel.negative(.AGAIN), receive(far, &bytes));
    const parts = [_]std.posix.iovec_const{
        .{ .base = "ab", .len = 2 },
        .{ .base = "c", .len = 1 },
    };
    try std.testing.expectEqual(@as(i32, 3), send_vectors(near, &parts));
    try std.testing.expectEqual(@as(i32, 1), send(near, "d"));
    try std.testing.expectEqual(@as(i32, 0), shutdown_send(near));
    try std.testing.expect(ready_within(far, 5000, .{ .readable = true }).readable);
    try std.testing.expectEqual(@as(i32, 4), receive(far, &bytes));
    try std.testing.expectEqualStrings("abcd", bytes[0..4]);
    try std.testing.expectEqual(@as(i32, 0), receive(far, &bytes));
}

test "what fails is told, without a signal" {
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), open_pair(&pair));
    close(pair[1]);
    defer close(pair[0]);
    try std.testing.expectEqual(kernel.negative(.PIPE), send(pair[0], "x"));
    try std.testing.expect(ready_within(pair[0], 0, .{}).hangup);

    const listener = open_stream(AF.INET, true);
    var address: SocketAddress = undefined;
    address.storage.in4 = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
    try std.testing.expectEqual(@as(i32, 0), bind(listener, &address));
    try std.testing.expectEqual(@as(i32, 0), listen(listener, 8));
    try std.testing.expectEqual(@as(i32, 0), local_address(listener, &address));
    defer close(listener);
    stop_listening(listener);
    try std.testing.expectEqual(kernel.negative(.INVAL), accept(listener));
    const late = open_stream(AF.INET, true);
    defer close(late);
    const rc = connect(late, &address);
    if (rc == kernel.negative(.INPROGRESS)) {
        _ = ready_within(late, 5000, .{ .writable = true });
        try std.testing.expectEqual(kernel.negative(.CONNREFUSED), connect_outcome(late));
    } else {
        try std.testing.expectEqual(kernel.negative(.CONNREFUSED), rc);
    }
}

test "what a descriptor is, is found out" {
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), open_pair(&pair));
    defer for (pair) |end| close(end);
    var family: u32 = 0;
    try std.testing.expectEqual(@as(i32, 0), check_stream(pair[0], .connected, &family));
    try std.testing.expectEqual(@as(u32, AF.UNIX), family);
    const invalid = kernel.negative(.INVAL);
    try std.testing.expectEqual(invalid, check_stream(pair[0], .listening, &family));
    try std.testing.expectEqual(kernel.negative(.BADF), check_stream(-1, .connected, &family));
    const fresh = open_stream(AF.INET, true);
    defer close(fresh);
    const unconnected = kernel.negative(.NOTCONN);
    try std.testing.expectEqual(unconnected, check_stream(fresh, .connected, &family));
    try std.testing.expectEqual(@as(i32, 0), listen(fresh, 1));
    try std.testing.expectEqual(@as(i32, 0), check_stream(fresh, .listening, &family));
    try std.testing.expectEqual(invalid, check_stream(fresh, .connected, &family));
    const other_kind = system.open(AF.INET, calls.SOCK.DGRAM, true);
    defer close(other_kind);
    const wrong_type = kernel.negative(.PROTOTYPE);
    try std.testing.expectEqual(wrong_type, check_stream(other_kind, .connected, &family));
    const same = duplicate(pair[1]);
    defer close(same);
    try std.testing.expectEqual(@as(i32, 0), set_flags(same, false));
    try std.testing.expectEqual(@as(i32, 1), send(same, "x"));
    var byte: [1]u8 = undefined;
    try std.testing.expectEqual(@as(i32, 1), receive(pair[0], &byte));
}
