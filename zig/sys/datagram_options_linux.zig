//! The names of `datagram_options.zig` on Linux. Sources: ip(7), ipv6(7), udp(7), linux/in.h.

const linux = @import("std").os.linux;

pub const names = struct {
    pub const socket_level: i32 = linux.SOL.SOCKET;
    pub const ip_level: i32 = linux.SOL.IP;
    pub const ipv6_level: i32 = linux.SOL.IPV6;
    pub const udp_level: i32 = linux.IPPROTO.UDP;
    pub const udp_gro: ?u32 = 104;
    pub const ip_pktinfo: ?u32 = linux.IP.PKTINFO;
    pub const ipv6_pktinfo: ?u32 = linux.IPV6.RECVPKTINFO;
    pub const ip_tos: ?u32 = linux.IP.RECVTOS;
    pub const ipv6_tclass: ?u32 = linux.IPV6.RECVTCLASS;
    pub const drops: ?u32 = linux.SO.RXQ_OVFL;
    /// MCAST_JOIN_GROUP and its like.
    pub const join: u32 = 42;
    pub const leave: u32 = 45;
    pub const join_source: u32 = 46;
    pub const leave_source: u32 = 47;
    pub const multicast_interface: u32 = linux.IP.MULTICAST_IF;
    pub const multicast_interface_ipv6: u32 = linux.IPV6.MULTICAST_IF;
};

/// Of the members of `group_req`.
pub const request_alignment = 8;
