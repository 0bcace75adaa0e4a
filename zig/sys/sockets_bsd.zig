//! What `sockets.zig` has only on macOS and FreeBSD. macOS knows neither accept4 nor flags that
//! make a socket non-blocking and private to this program at once, so another thread that forks and
//! executes between the calls passes the socket on.

const std = @import("std");
const builtin = @import("builtin");
const c = std.c;
const kernel = @import("kernel.zig");
const layout = @import("../layout.zig");

pub const calls = c;

const flags_at_birth = builtin.os.tag != .macos;

pub const send_flags: u32 = c.MSG.DONTWAIT | if (flags_at_birth) c.MSG.NOSIGNAL else 0;

const is_macos = builtin.os.tag == .macos;

/// Names of socket options, with their other name for IPv6 where there are two; null where the
/// system has none that does the same.
pub const option_names = struct {
    pub const no_delay: ?u32 = 1;
    /// TCP_NOPUSH.
    pub const cork: ?u32 = 4;
    pub const quick_ack: ?u32 = null;
    pub const fast_open: ?u32 = null;
    pub const fast_open_connect: ?u32 = null;
    pub const keep_alive: ?u32 = c.SO.KEEPALIVE;
    pub const keep_alive_idle_s: ?u32 = if (is_macos) 0x10 else 256;
    pub const keep_alive_interval_s: ?u32 = if (is_macos) 0x101 else 512;
    pub const keep_alive_count: ?u32 = if (is_macos) 0x102 else 1024;
    pub const user_timeout_ms: ?u32 = null;
    pub const send_buffer: ?u32 = c.SO.SNDBUF;
    pub const receive_buffer: ?u32 = c.SO.RCVBUF;
    pub const busy_poll_us: ?u32 = null;
    pub const mark: ?u32 = null;
    pub const priority: ?u32 = null;
    pub const reuse_address: ?u32 = c.SO.REUSEADDR;
    /// Several sockets listen on one port and share what comes; on macOS the last one has it all.
    pub const reuse_port: ?u32 = if (is_macos) c.SO.REUSEPORT else c.SO.REUSEPORT_LB;
    pub const broadcast: ?u32 = c.SO.BROADCAST;
    pub const ipv6_only: ?u32 = 27;
    pub const type_of_service: ?u32 = 3;
    pub const type_of_service_ipv6: ?u32 = if (is_macos) 36 else 61;
    pub const ttl: ?u32 = 4;
    pub const ttl_ipv6: ?u32 = 4;
    pub const multicast_ttl: ?u32 = 10;
    pub const multicast_ttl_ipv6: ?u32 = 10;
    pub const multicast_loop: ?u32 = 11;
    pub const multicast_loop_ipv6: ?u32 = 11;
    pub const multicast_interface: ?u32 = 9;
    pub const multicast_interface_ipv6: ?u32 = 9;
};

pub fn open(family: u32, kind: u32, nonblocking: bool) i32 {
    if (flags_at_birth) {
        const blocking_flag: u32 = if (nonblocking) c.SOCK.NONBLOCK else 0;
        return kernel.result(c.socket(family, kind | c.SOCK.CLOEXEC | blocking_flag, 0));
    }
    return kept_private(kernel.result(c.socket(family, kind, 0)), nonblocking);
}

pub fn open_pair(pair: *[2]i32) i32 {
    const kind: u32 = c.SOCK.STREAM | if (flags_at_birth) c.SOCK.NONBLOCK | c.SOCK.CLOEXEC else 0;
    const rc = kernel.result(c.socketpair(c.AF.UNIX, kind, 0, pair));
    if (rc < 0 or flags_at_birth) return rc;
    const first = kept_private(pair[0], true);
    const second = kept_private(pair[1], true);
    if (first >= 0 and second >= 0) return 0;
    if (first >= 0) kernel.close(first);
    if (second >= 0) kernel.close(second);
    return @min(first, second);
}

pub fn accept(descriptor: i32) i32 {
    if (flags_at_birth) {
        const flags = c.SOCK.NONBLOCK | c.SOCK.CLOEXEC;
        return kernel.result(c.accept4(descriptor, null, null, flags));
    }
    return kept_private(kernel.result(c.accept(descriptor, null, null)), true);
}

/// Gives a new socket the flags that it could not be born with, and no SIGPIPE. The socket, or why
/// not; it is closed then.
fn kept_private(descriptor: i32, nonblocking: bool) i32 {
    if (descriptor < 0) return descriptor;
    var rc = kernel.result(c.fcntl(descriptor, c.F.SETFD, @as(c_int, c.FD_CLOEXEC)));
    if (rc >= 0 and nonblocking) rc = set_nonblocking(descriptor);
    if (rc >= 0) {
        const on: c_int = 1;
        const bytes = std.mem.asBytes(&on);
        // A connection that is reset already answers EINVAL; its next call tells of it.
        _ = c.setsockopt(descriptor, c.SOL.SOCKET, c.SO.NOSIGPIPE, bytes, bytes.len);
        return descriptor;
    }
    kernel.close(descriptor);
    return rc;
}

fn set_nonblocking(descriptor: i32) i32 {
    const nonblocking: u32 = @bitCast(c.O{ .NONBLOCK = true });
    const flags = kernel.result(c.fcntl(descriptor, c.F.GETFL, @as(c_int, 0)));
    if (flags < 0) return flags;
    return kernel.result(c.fcntl(descriptor, c.F.SETFL, @as(c_int, flags | @as(i32, nonblocking))));
}

/// Only the close of its last descriptor ends a listening socket, and the caller still uses this
/// one: another socket takes its place, which accepts nothing and is closed in its stead.
pub fn stop_listening(descriptor: i32) void {
    const other = open(c.AF.INET, c.SOCK.STREAM, true);
    if (other < 0) return;
    defer kernel.close(other);
    if (kernel.result(c.dup2(other, descriptor)) < 0) return;
    _ = c.fcntl(descriptor, c.F.SETFD, @as(c_int, c.FD_CLOEXEC));
}

/// FIONWRITE of FreeBSD: _IOR('f', 119, int).
const fionwrite: c_int = 0x4004_6677;

pub fn unsent(descriptor: i32) i32 {
    var count: c_int = 0;
    var length: c.socklen_t = @sizeOf(c_int);
    const rc = kernel.result(switch (builtin.os.tag) {
        .macos => c.getsockopt(descriptor, c.SOL.SOCKET, c.SO.NWRITE, &count, &length),
        else => c.ioctl(descriptor, fionwrite, &count),
    });
    return if (rc < 0) rc else count;
}

/// FIONREAD: _IOR('f', 127, int).
const fionread: c_int = 0x4004_667f;

/// Bytes that were received and not read.
pub fn unread(descriptor: i32) i32 {
    var count: c_int = 0;
    const rc = kernel.result(c.ioctl(descriptor, fionread, &count));
    return if (rc < 0) rc else count;
}

extern "c" fn getpeereid(descriptor: c_int, uid: *c.uid_t, gid: *c.gid_t) c_int;

/// It does not tell the process.
pub fn peer_credentials(descriptor: i32, out: *layout.PeerCredentials) i32 {
    const rc = kernel.result(getpeereid(descriptor, &out.uid, &out.gid));
    if (rc >= 0) out.pid = 0;
    return rc;
}

/// It is not in the buffer whose bytes are counted.
pub const unsent_counts_end = false;
