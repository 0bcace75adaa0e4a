//! The names of `datagram_options.zig` on macOS and FreeBSD. What those tell beside datagrams has
//! another shape on each, and is not asked for. Sources: their netinet/in.h.

const builtin = @import("builtin");
const c = @import("std").c;

pub const names = struct {
    pub const socket_level: i32 = c.SOL.SOCKET;
    pub const ip_level: i32 = c.IPPROTO.IP;
    pub const ipv6_level: i32 = c.IPPROTO.IPV6;
    pub const udp_level: i32 = c.IPPROTO.UDP;
    pub const udp_gro: ?u32 = null;
    pub const ip_pktinfo: ?u32 = null;
    pub const ipv6_pktinfo: ?u32 = null;
    pub const ip_tos: ?u32 = null;
    pub const ipv6_tclass: ?u32 = null;
    pub const drops: ?u32 = null;
    /// MCAST_JOIN_GROUP and its like.
    pub const join: u32 = 80;
    pub const leave: u32 = 81;
    pub const join_source: u32 = 82;
    pub const leave_source: u32 = 83;
    pub const multicast_interface: u32 = 9;
    pub const multicast_interface_ipv6: u32 = 9;
};

/// Of the members of `group_req`, which macOS packs.
pub const request_alignment = if (builtin.os.tag == .macos) 4 else 8;
