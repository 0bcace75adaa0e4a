//! What datagram sockets are asked that is more than a number: what the kernel is to tell beside
//! datagrams, groups, and the interface that multicast leaves by. Each gives 0 or a negated errno,
//! EOPNOTSUPP where the system has no such thing.

const std = @import("std");
const kernel = @import("kernel.zig");
const sockets = @import("sockets.zig");
const AF = sockets.AF;
const SocketAddress = sockets.SocketAddress;

const system = switch (@import("system.zig").family) {
    .linux => @import("datagram_options_linux.zig"),
    .bsd => @import("datagram_options_bsd.zig"),
};
const names = system.names;

/// Several datagrams may come as one (UDP_GRO).
pub fn receive_segments(descriptor: i32) i32 {
    return switch_on(descriptor, names.udp_level, names.udp_gro);
}

/// The address that a datagram was sent to, and the interface at which it came.
pub fn tell_local(descriptor: i32, family: u32) i32 {
    if (family != AF.INET6) return switch_on(descriptor, names.ip_level, names.ip_pktinfo);
    return switch_on(descriptor, names.ipv6_level, names.ipv6_pktinfo);
}

/// The traffic class; of IPv4 on a socket of IPv6, too.
pub fn tell_ecn(descriptor: i32, family: u32) i32 {
    const rc = switch_on(descriptor, names.ip_level, names.ip_tos);
    if (family != AF.INET6) return rc;
    return switch_on(descriptor, names.ipv6_level, names.ipv6_tclass);
}

/// How many datagrams were dropped for want of room (SO_RXQ_OVFL).
pub fn tell_drops(descriptor: i32) i32 {
    return switch_on(descriptor, names.socket_level, names.drops);
}

fn switch_on(descriptor: i32, level: i32, name: ?u32) i32 {
    const known = name orelse return kernel.negative(.OPNOTSUPP);
    return sockets.set_option(descriptor, level, known, 1);
}

pub const Membership = struct {
    group: *const SocketAddress,
    /// Null for whatever anybody sends.
    source: ?*const SocketAddress,
    interface: u32,
};

/// `group_req` and `group_source_req` (RFC 3678), with addresses in the room of a
/// `sockaddr_storage`.
const Request = extern struct {
    interface: u32 align(system.request_alignment),
    group: [128]u8 align(system.request_alignment),
    source: [128]u8 align(system.request_alignment),
};

pub fn join(descriptor: i32, membership: Membership) i32 {
    const by_source = membership.source != null;
    const name = if (by_source) names.join_source else names.join;
    return change_membership(descriptor, membership, name);
}

pub fn leave(descriptor: i32, membership: Membership) i32 {
    const by_source = membership.source != null;
    const name = if (by_source) names.leave_source else names.leave;
    return change_membership(descriptor, membership, name);
}

fn change_membership(descriptor: i32, membership: Membership, name: u32) i32 {
    var request = std.mem.zeroes(Request);
    request.interface = membership.interface;
    copy(&request.group, membership.group);
    if (membership.source) |source| copy(&request.source, source);
    const is_ipv4 = membership.group.storage.any.family == AF.INET;
    const level = if (is_ipv4) names.ip_level else names.ipv6_level;
    const bytes = std.mem.asBytes(&request);
    const length = if (membership.source == null) @offsetOf(Request, "source") else bytes.len;
    return sockets.set_bytes(descriptor, level, name, bytes[0..length]);
}

fn copy(room: *[128]u8, address: *const SocketAddress) void {
    const start: [*]const u8 = @ptrCast(address.pointer());
    @memcpy(room[0..address.length()], start);
}

/// Which interface multicast leaves by, by its index; 0 for what the routing table says. IPv4 has a
/// struct for it (`ip_mreqn`).
pub fn set_multicast_interface(descriptor: i32, family: u32, interface: u32) i32 {
    const level = if (family == AF.INET) names.ip_level else names.ipv6_level;
    if (family != AF.INET) {
        const name = names.multicast_interface_ipv6;
        return sockets.set_bytes(descriptor, level, name, std.mem.asBytes(&interface));
    }
    const request = [3]u32{ 0, 0, interface };
    const name = names.multicast_interface;
    return sockets.set_bytes(descriptor, level, name, std.mem.asBytes(&request));
}

test "a group is joined once, and left once" {
    const descriptor = sockets.open_datagram(AF.INET, true);
    defer sockets.close(descriptor);
    var group: SocketAddress = undefined;
    group.storage.in4 = .{ .port = 0, .addr = @bitCast([4]u8{ 239, 1, 2, 3 }) };
    const membership: Membership = .{ .group = &group, .source = null, .interface = 1 };
    try std.testing.expectEqual(@as(i32, 0), join(descriptor, membership));
    try std.testing.expectEqual(kernel.negative(.ADDRINUSE), join(descriptor, membership));
    try std.testing.expectEqual(@as(i32, 0), leave(descriptor, membership));
    try std.testing.expectEqual(kernel.negative(.ADDRNOTAVAIL), leave(descriptor, membership));
    try std.testing.expectEqual(@as(i32, 0), set_multicast_interface(descriptor, AF.INET, 1));
    const none = set_multicast_interface(descriptor, AF.INET, 123_456);
    try std.testing.expectEqual(kernel.negative(.ADDRNOTAVAIL), none);
}
