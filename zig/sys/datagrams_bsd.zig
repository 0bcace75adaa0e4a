//! What `datagrams.zig` is made of on macOS and FreeBSD: a call per datagram, and no word from the
//! kernel beside its bytes.

const std = @import("std");
const c = std.c;
const kernel = @import("kernel.zig");
const Control = @import("datagrams.zig").Control;
const sockets = @import("sockets_bsd.zig");

pub const calls = c;
pub const has_segments = false;

pub const Header = extern struct {
    message: c.msghdr,
    bytes: usize,
};

/// Nothing is ever cut.
pub const SegmentControl = extern struct { padding: u64 };

pub fn cut(header: *Header, control: *SegmentControl, segment_bytes: u16) void {
    _ = header;
    _ = control;
    _ = segment_bytes;
    unreachable;
}

pub fn receive(descriptor: i32, headers: []Header) i32 {
    for (headers, 0..) |*header, index| {
        const rc = kernel.result(c.recvmsg(descriptor, &header.message, c.MSG.DONTWAIT));
        if (rc < 0) return if (index > 0) @intCast(index) else rc;
        header.bytes = @intCast(rc);
    }
    return @intCast(headers.len);
}

pub fn send(descriptor: i32, headers: []Header) i32 {
    for (headers, 0..) |*header, index| {
        const message: *const c.msghdr_const = @ptrCast(&header.message);
        const rc = kernel.result(c.sendmsg(descriptor, message, sockets.send_flags));
        if (rc < 0) return if (index > 0) @intCast(index) else rc;
    }
    return @intCast(headers.len);
}

/// The flags of a received message as Linux numbers them.
pub fn message_flags(flags: u32) u32 {
    const linux = std.os.linux;
    var same: u32 = 0;
    if (flags & c.MSG.TRUNC != 0) same |= linux.MSG.TRUNC;
    if (flags & c.MSG.CTRUNC != 0) same |= linux.MSG.CTRUNC;
    return same;
}

pub fn read_control(bytes: []const u8, control: *Control) void {
    _ = bytes;
    _ = control;
}
