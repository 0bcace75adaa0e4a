//! What `datagrams.zig` is made of on Linux. Sources: sendmmsg(2), recvmmsg(2), cmsg(3), udp(7),
//! ip(7), ipv6(7).

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const Control = @import("datagrams.zig").Control;

pub const calls = linux;
pub const has_segments = true;

pub const ip_level: i32 = linux.SOL.IP;
pub const ip_tos: i32 = linux.IP.TOS;
const ip_pktinfo: i32 = linux.IP.PKTINFO;
pub const ipv6_level: i32 = linux.SOL.IPV6;
pub const ipv6_pktinfo: i32 = linux.IPV6.PKTINFO;
const ipv6_tclass: i32 = linux.IPV6.TCLASS;
pub const udp_level: i32 = linux.IPPROTO.UDP;
/// UDP_SEGMENT and UDP_GRO (linux/udp.h).
pub const udp_segment: i32 = 103;
pub const udp_gro: i32 = 104;
const rxq_ovfl: i32 = linux.SO.RXQ_OVFL;

/// `mmsghdr`.
pub const Header = extern struct {
    message: linux.msghdr,
    bytes: u32,
};

/// A control message with one u16.
pub const SegmentControl = extern struct {
    length: usize,
    level: i32,
    kind: i32,
    value: u16,
    padding: [6]u8,
};

const control_header_bytes = @sizeOf(linux.cmsghdr);

pub fn cut(header: *Header, control: *SegmentControl, segment_bytes: u16) void {
    control.* = .{
        .length = control_header_bytes + @sizeOf(u16),
        .level = udp_level,
        .kind = udp_segment,
        .value = segment_bytes,
        .padding = @splat(0),
    };
    header.message.control = control;
    header.message.controllen = @sizeOf(SegmentControl);
}

pub fn receive(descriptor: i32, headers: []Header) i32 {
    // The length of a message is told even where the message is cut short.
    const flags = linux.MSG.DONTWAIT | linux.MSG.TRUNC;
    return kernel.result(linux.syscall5(
        .recvmmsg,
        @as(usize, @bitCast(@as(isize, descriptor))),
        @intFromPtr(headers.ptr),
        headers.len,
        flags,
        0,
    ));
}

pub fn send(descriptor: i32, headers: []Header) i32 {
    const flags = linux.MSG.DONTWAIT | linux.MSG.NOSIGNAL;
    return kernel.result(linux.syscall4(
        .sendmmsg,
        @as(usize, @bitCast(@as(isize, descriptor))),
        @intFromPtr(headers.ptr),
        headers.len,
        flags,
    ));
}

/// They are Linux's already.
pub fn message_flags(flags: u32) u32 {
    return flags;
}

pub fn read_control(bytes: []const u8, control: *Control) void {
    var rest = bytes;
    while (rest.len >= control_header_bytes) {
        const header = read(linux.cmsghdr, rest);
        if (header.len < control_header_bytes or header.len > rest.len) return;
        note(header.level, header.type, rest[control_header_bytes..header.len], control);
        const step = std.mem.alignForward(usize, header.len, @alignOf(usize));
        rest = rest[@min(step, rest.len)..];
    }
}

fn note(level: i32, kind: i32, data: []const u8, control: *Control) void {
    switch (level) {
        ip_level => if (kind == ip_pktinfo and data.len >= 12) {
            control.interface = read(u32, data);
            control.local[0..4].* = data[8..12].*;
            control.local_family = 4;
        } else if (kind == ip_tos and data.len >= 1) {
            control.ecn = data[0] & 3;
        },
        ipv6_level => if (kind == ipv6_pktinfo and data.len >= 20) {
            control.local = data[0..16].*;
            control.local_family = 6;
            control.interface = read(u32, data[16..]);
        } else if (kind == ipv6_tclass and data.len >= 4) {
            control.ecn = @truncate(read(u32, data) & 3);
        },
        udp_level => if (kind == udp_gro and data.len >= 4) {
            control.segment_bytes = read(u32, data);
        },
        linux.SOL.SOCKET => if (kind == rxq_ovfl and data.len >= 4) {
            control.drops = read(u32, data);
        },
        else => {},
    }
}

fn read(comptime Value: type, bytes: []const u8) Value {
    return std.mem.bytesToValue(Value, bytes[0..@sizeOf(Value)]);
}

/// Writes control data as a kernel does; for tests.
pub const Writer = struct {
    bytes: []u8,
    used: usize = 0,

    pub fn put(self: *Writer, level: i32, kind: i32, data: []const u8) void {
        const length = control_header_bytes + data.len;
        const header: linux.cmsghdr = .{ .len = length, .level = level, .type = kind };
        @memcpy(self.bytes[self.used..][0..control_header_bytes], std.mem.asBytes(&header));
        @memcpy(self.bytes[self.used + control_header_bytes ..][0..data.len], data);
        self.used += std.mem.alignForward(usize, length, @alignOf(usize));
    }
};
