//! The calls that a readiness backend makes on sockets that are ready. None of them waits; each
//! gives a non-negative value or a negated errno.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;
const contract = @import("contract.zig");

pub fn accept(descriptor: i32) i32 {
    const flags = linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    return kernel.result(linux.accept4(descriptor, null, null, flags));
}

pub fn connect(descriptor: i32, address: *const SocketAddress) i32 {
    return kernel.result(linux.connect(descriptor, address.pointer(), address.length()));
}

/// Zero or the negated errno with which a connect under way ended (SO_ERROR).
pub fn connect_outcome(descriptor: i32) i32 {
    var code: u32 = 0;
    var length: linux.socklen_t = @sizeOf(u32);
    const rc = kernel.result(linux.getsockopt(
        descriptor,
        linux.SOL.SOCKET,
        linux.SO.ERROR,
        std.mem.asBytes(&code),
        &length,
    ));
    return if (rc < 0) rc else -@as(i32, @intCast(code));
}

pub fn send(descriptor: i32, segments: []const contract.Segment) i32 {
    const flags = linux.MSG.NOSIGNAL | linux.MSG.DONTWAIT;
    if (segments.len == 1) {
        const only = segments[0];
        return kernel.result(linux.sendto(descriptor, only.pointer, only.length, flags, null, 0));
    }
    var vectors: [contract.segments_max]std.posix.iovec_const = undefined;
    for (segments, vectors[0..segments.len]) |segment, *vector| {
        vector.* = .{ .base = segment.pointer, .len = segment.length };
    }
    const header = std.mem.zeroInit(linux.msghdr_const, .{
        .iov = &vectors,
        .iovlen = segments.len,
    });
    return kernel.result(linux.sendmsg(descriptor, &header, flags));
}

pub fn receive(descriptor: i32, bytes: []u8) i32 {
    const flags = linux.MSG.DONTWAIT;
    return kernel.result(linux.recvfrom(descriptor, bytes.ptr, bytes.len, flags, null, null));
}

/// A message with its header, address and control data, as `contract.MessageHeader` tells. What
/// does not fit is cut off: the header then has the message's true length.
pub fn receive_message(descriptor: i32, bytes: []u8) i32 {
    const payload = bytes[contract.message_payload_offset..];
    var vector = [1]std.posix.iovec{.{ .base = payload.ptr, .len = payload.len }};
    var header = std.mem.zeroInit(linux.msghdr, .{
        .name = @as(*linux.sockaddr, @ptrCast(@alignCast(bytes[contract.message_address_offset..]))),
        .namelen = contract.message_address_bytes,
        .iov = &vector,
        .iovlen = 1,
        .control = bytes[contract.message_control_offset..].ptr,
        .controllen = contract.message_control_bytes,
    });
    const flags = linux.MSG.DONTWAIT | linux.MSG.TRUNC;
    const rc = kernel.result(linux.recvmsg(descriptor, &header, flags));
    if (rc < 0) return rc;
    const told: contract.MessageHeader = .{
        .address_bytes = header.namelen,
        .control_bytes = @intCast(header.controllen),
        .payload_bytes = @intCast(rc),
        .flags = @intCast(header.flags),
    };
    @memcpy(bytes[0..@sizeOf(contract.MessageHeader)], std.mem.asBytes(&told));
    return @min(rc, @as(i32, @intCast(payload.len)));
}

/// `layout.ready_error` and `ready_hangup`, as poll(2) has them.
pub fn hangups(descriptor: i32) u32 {
    var entry = [1]linux.pollfd{.{ .fd = descriptor, .events = 0, .revents = 0 }};
    if (kernel.result(linux.poll(&entry, 1, 0)) <= 0) return 0;
    var bits: u32 = 0;
    if (entry[0].revents & linux.POLL.ERR != 0) bits |= layout.ready_error;
    if (entry[0].revents & linux.POLL.HUP != 0) bits |= layout.ready_hangup;
    return bits;
}
