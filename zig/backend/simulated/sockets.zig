//! What `sys/sockets.zig` offers, over the sockets of the simulated network of this thread.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../../layout.zig");
const kernel = @import("../../sys/kernel.zig");
const messages = @import("messages.zig");
const network = @import("network.zig");
const Network = network.Network;
const Socket = @import("socket.zig").Socket;

pub const SocketAddress = @import("../../sys/sockets.zig").SocketAddress;

const bad_descriptor = kernel.negative(.BADF);

fn here() *Network {
    return network.current.?;
}

fn find(descriptor: i32) ?*Socket {
    const found = here().find(descriptor);
    if (found == null) here().violate("descriptor {d} is not open", .{descriptor});
    return found;
}

pub fn open_stream(family: u32, nonblocking: bool) i32 {
    _ = nonblocking;
    return open(family, false);
}

pub fn open_datagram(family: u32, nonblocking: bool) i32 {
    _ = nonblocking;
    return open(family, true);
}

fn open(family: u32, is_datagram: bool) i32 {
    const kernel_here = here();
    if (kernel_here.hit(kernel_here.faults.no_descriptor)) return kernel.negative(.MFILE);
    const socket = kernel_here.open_socket(family);
    socket.is_datagram = is_datagram;
    const descriptor = kernel_here.assign_descriptor(socket);
    if (descriptor < 0) {
        socket.state = .dead;
        socket.closed = true;
    }
    kernel_here.trace("socket {d} opens as descriptor {d}", .{ socket.serial, descriptor });
    return descriptor;
}

pub fn set_option(descriptor: i32, level: i32, name: u32, value: u32) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    if (level == linux.SOL.SOCKET and name == linux.SO.REUSEPORT) socket.reuse_port = value != 0;
    return 0;
}

pub fn get_option(descriptor: i32, level: i32, name: u32, value: *u32) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    const is_reuse_port = level == linux.SOL.SOCKET and name == linux.SO.REUSEPORT;
    value.* = if (is_reuse_port) @intFromBool(socket.reuse_port) else 0;
    return 0;
}

/// A simulated network has nothing to tell beside datagrams, and no groups.
pub const datagram = struct {
    const Membership = @import("../../sys/datagram_options.zig").Membership;
    const unsupported = kernel.negative(.OPNOTSUPP);

    pub fn receive_segments(descriptor: i32) i32 {
        _ = descriptor;
        return unsupported;
    }

    pub fn tell_local(descriptor: i32, family: u32) i32 {
        _ = .{ descriptor, family };
        return unsupported;
    }

    pub fn tell_ecn(descriptor: i32, family: u32) i32 {
        _ = .{ descriptor, family };
        return unsupported;
    }

    pub fn tell_drops(descriptor: i32) i32 {
        _ = descriptor;
        return unsupported;
    }

    pub fn join(descriptor: i32, membership: Membership) i32 {
        _ = .{ descriptor, membership };
        return unsupported;
    }

    pub fn leave(descriptor: i32, membership: Membership) i32 {
        _ = .{ descriptor, membership };
        return unsupported;
    }

    pub fn set_multicast_interface(descriptor: i32, family: u32, interface: u32) i32 {
        _ = .{ descriptor, family, interface };
        return unsupported;
    }
};

pub fn bind(descriptor: i32, address: *const SocketAddress) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    if (socket.state != .fresh) return kernel.negative(.INVAL);
    // The port stands in the same place for both families.
    const port = std.mem.bigToNative(u16, address.storage.in4.port);
    for (here().live.items) |other| {
        const holds = other.state == .bound or other.state == .listening;
        if (!holds or port == 0 or other.port != port) continue;
        if (!other.reuse_port or !socket.reuse_port) return kernel.negative(.ADDRINUSE);
    }
    socket.port = if (port == 0) here().ephemeral_port() else port;
    socket.state = .bound;
    return 0;
}

/// Of a datagram socket, which is done at once.
pub fn connect(descriptor: i32, address: *const SocketAddress) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    socket.remote_port = std.mem.bigToNative(u16, address.storage.in4.port);
    if (socket.port == 0) socket.port = here().ephemeral_port();
    return 0;
}

pub fn listen(descriptor: i32, backlog: u32) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    if (socket.state != .bound) return kernel.negative(.INVAL);
    socket.state = .listening;
    socket.backlog_limit = backlog;
    here().trace("socket {d} listens at port {d}", .{ socket.serial, socket.port });
    return 0;
}

pub fn stop_listening(descriptor: i32) void {
    const socket = find(descriptor) orelse return;
    if (socket.state == .listening) here().stop_listening(socket);
}

pub const Wanted = @import("../../sys/sockets.zig").Wanted;

/// A network of its own has no descriptors from elsewhere.
pub fn check_stream(descriptor: i32, wanted: Wanted, family: *u32) i32 {
    _ = descriptor;
    _ = wanted;
    _ = family;
    return kernel.negative(.NOTSOCK);
}

pub fn set_flags(descriptor: i32, nonblocking: bool) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    socket.nonblocking = nonblocking;
    return 0;
}

pub fn duplicate(descriptor: i32) i32 {
    _ = descriptor;
    return kernel.negative(.OPNOTSUPP);
}

/// Where nobody waits to be accepted: EAGAIN. Backlogs are taken by the backend.
pub fn accept(descriptor: i32) i32 {
    return if (find(descriptor) == null) bad_descriptor else kernel.negative(.AGAIN);
}

pub fn receive(descriptor: i32, bytes: []u8) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    if (socket.incoming.visible == 0) {
        const code = socket.take_failure();
        if (code != 0) return give_error(socket, code);
        return if (socket.is_ended()) 0 else kernel.negative(.AGAIN);
    }
    const network_here = here();
    if (network_here.hit(network_here.faults.empty_send)) return kernel.negative(.INTR);
    var most: u32 = @intCast(bytes.len);
    if (network_here.hit(network_here.faults.short_receive)) {
        most = network_here.random().intRangeAtMost(u32, 1, most);
    }
    const count = socket.incoming.read(bytes[0..most]);
    socket.read_bytes += count;
    return @intCast(count);
}

pub fn send(descriptor: i32, bytes: []const u8) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    const network_here = here();
    const code = socket.take_failure();
    if (code != 0) return give_error(socket, code);
    if (socket.state != .connected or socket.send_ended) {
        return give_error(socket, kernel.negative(.PIPE));
    }
    if (network_here.hit(network_here.faults.failed_send)) {
        socket.broken = true;
        return give_error(socket, kernel.negative(.NOBUFS));
    }
    const peer = socket.peer.?;
    var most = @min(peer.incoming.room(), @as(u32, @intCast(bytes.len)));
    if (most == 0) return kernel.negative(.AGAIN);
    if (network_here.hit(network_here.faults.short_send)) {
        most = network_here.random().intRangeAtMost(u32, 1, most);
    }
    const sent = peer.incoming.write(bytes[0..most]);
    network_here.schedule(peer);
    return @intCast(sent);
}

fn give_error(socket: *Socket, code: i32) i32 {
    socket.errors_given.set(kernel.errno_of(code));
    socket.read_before_error = socket.read_before_error orelse socket.read_bytes;
    return code;
}

pub fn shutdown_send(descriptor: i32) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    if (socket.state != .connected) return kernel.negative(.NOTCONN);
    here().end_send(socket);
    return 0;
}

pub fn close(descriptor: i32) void {
    const socket = find(descriptor) orelse return;
    here().trace("socket {d} closes", .{socket.serial});
    here().release_descriptor(socket);
    switch (socket.state) {
        .listening => here().stop_listening(socket),
        .connected => if (socket.incoming.visible > 0) {
            here().reset(socket);
        } else {
            here().end_send(socket);
        },
        .fresh, .bound, .connecting, .dead => {
            messages.drop(socket);
            socket.state = .dead;
        },
    }
}

pub fn reset(descriptor: i32) void {
    const socket = find(descriptor) orelse return;
    if (socket.state == .connected) here().reset(socket);
    close(descriptor);
}

pub fn unsent(descriptor: i32) u32 {
    const socket = find(descriptor) orelse return 0;
    return socket.unsent();
}

pub fn is_dead(descriptor: i32) bool {
    const socket = find(descriptor) orelse return false;
    return socket.state == .dead;
}

pub fn failure(descriptor: i32) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    if (socket.failure == 0 or socket.incoming.visible > 0) return 0;
    socket.errors_given.set(kernel.errno_of(socket.failure));
    return socket.take_failure();
}

/// Simulated connections are of the Internet.
pub fn peer_credentials(descriptor: i32, credentials: *layout.PeerCredentials) i32 {
    _ = credentials;
    _ = find(descriptor) orelse return bad_descriptor;
    return kernel.negative(.OPNOTSUPP);
}

pub fn local_address(descriptor: i32, address: *SocketAddress) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    return write_address(address, socket.family, socket.port);
}

pub fn remote_address(descriptor: i32, address: *SocketAddress) i32 {
    const socket = find(descriptor) orelse return bad_descriptor;
    const is_connected = socket.state == .connected or
        (socket.is_datagram and socket.remote_port != 0);
    if (!is_connected) return kernel.negative(.NOTCONN);
    return write_address(address, socket.family, socket.remote_port);
}

fn write_address(address: *SocketAddress, family: u16, port: u16) i32 {
    loopback(address, family, port);
    return 0;
}

/// The only host that there is.
pub fn loopback(address: *SocketAddress, family: u16, port: u16) void {
    address.* = std.mem.zeroes(SocketAddress);
    const network_port = std.mem.nativeToBig(u16, port);
    if (family == linux.AF.INET) {
        const host = std.mem.nativeToBig(u32, 0x7f00_0001);
        address.storage.in4 = .{ .port = network_port, .addr = host };
    } else {
        const host = [_]u8{0} ** 15 ++ [_]u8{1};
        address.storage.in6 = .{
            .port = network_port,
            .flowinfo = 0,
            .addr = host,
            .scope_id = 0,
        };
    }
}
