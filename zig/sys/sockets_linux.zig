//! What `sockets.zig` has only on Linux.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const layout = @import("../layout.zig");

pub const calls = linux;

/// No SIGPIPE, and no wait.
pub const send_flags: u32 = linux.MSG.NOSIGNAL | linux.MSG.DONTWAIT;

/// Names of socket options, with their other name for IPv6 where there are two.
pub const option_names = struct {
    pub const no_delay: ?u32 = linux.TCP.NODELAY;
    pub const cork: ?u32 = linux.TCP.CORK;
    pub const quick_ack: ?u32 = linux.TCP.QUICKACK;
    pub const fast_open: ?u32 = linux.TCP.FASTOPEN;
    pub const fast_open_connect: ?u32 = linux.TCP.FASTOPEN_CONNECT;
    pub const keep_alive: ?u32 = linux.SO.KEEPALIVE;
    pub const keep_alive_idle_s: ?u32 = linux.TCP.KEEPIDLE;
    pub const keep_alive_interval_s: ?u32 = linux.TCP.KEEPINTVL;
    pub const keep_alive_count: ?u32 = linux.TCP.KEEPCNT;
    pub const user_timeout_ms: ?u32 = linux.TCP.USER_TIMEOUT;
    pub const send_buffer: ?u32 = linux.SO.SNDBUF;
    pub const receive_buffer: ?u32 = linux.SO.RCVBUF;
    pub const busy_poll_us: ?u32 = linux.SO.BUSY_POLL;
    pub const mark: ?u32 = linux.SO.MARK;
    pub const priority: ?u32 = linux.SO.PRIORITY;
    pub const reuse_address: ?u32 = linux.SO.REUSEADDR;
    /// Several sockets listen on one port and share what comes.
    pub const reuse_port: ?u32 = linux.SO.REUSEPORT;
    pub const broadcast: ?u32 = linux.SO.BROADCAST;
    pub const ipv6_only: ?u32 = linux.IPV6.V6ONLY;
    pub const type_of_service: ?u32 = linux.IP.TOS;
    pub const type_of_service_ipv6: ?u32 = linux.IPV6.TCLASS;
    pub const ttl: ?u32 = linux.IP.TTL;
    pub const ttl_ipv6: ?u32 = linux.IPV6.UNICAST_HOPS;
    pub const multicast_ttl: ?u32 = linux.IP.MULTICAST_TTL;
    pub const multicast_ttl_ipv6: ?u32 = linux.IPV6.MULTICAST_HOPS;
    pub const multicast_loop: ?u32 = linux.IP.MULTICAST_LOOP;
    pub const multicast_loop_ipv6: ?u32 = linux.IPV6.MULTICAST_LOOP;
    pub const multicast_interface: ?u32 = linux.IP.MULTICAST_IF;
    pub const multicast_interface_ipv6: ?u32 = linux.IPV6.MULTICAST_IF;
};

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

/// Bytes that were received and not read.
pub fn unread(descriptor: i32) i32 {
    var count: i32 = 0;
    const rc = kernel.result(linux.ioctl(descriptor, linux.T.FIONREAD, @intFromPtr(&count)));
    return if (rc < 0) rc else count;
}

/// `struct ucred`.
const Credentials = extern struct { pid: i32, uid: u32, gid: u32 };

pub fn peer_credentials(descriptor: i32, out: *layout.PeerCredentials) i32 {
    var found: Credentials = undefined;
    var length: linux.socklen_t = @sizeOf(Credentials);
    const bytes = std.mem.asBytes(&found);
    const name = linux.SO.PEERCRED;
    const rc = linux.getsockopt(descriptor, linux.SOL.SOCKET, name, bytes, &length);
    if (kernel.result(rc) < 0) return kernel.result(rc);
    out.pid = @intCast(@max(found.pid, 0));
    out.uid = found.uid;
    out.gid = found.gid;
    return 0;
}

/// It has a place in the sequence of bytes, and that is what is counted.
pub const unsent_counts_end = true;
