//! The submission entries of a backend's operations, and what their user data says.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;
const uring = @import("../sys/uring.zig");
const contract = @import("contract.zig");

/// Low byte of the user data.
pub const Tag = enum(u8) {
    accept,
    receive,
    receive_message,
    readable,
    send,
    send_messages,
    connect,
    poll,
    message,
    cancel,
    files,
    zero_copy,
};

pub fn user_data(tag: Tag, port: u32, epoch: u32) u64 {
    std.debug.assert(port < 1 << 24);
    return @as(u64, epoch) << 32 | @as(u64, port) << 8 | @intFromEnum(tag);
}

/// What the kernel is to put before each message.
const message_shape = std.mem.zeroInit(uring.MessageShape, .{
    .address_bytes = contract.message_address_bytes,
    .control_bytes = contract.message_control_bytes,
});

const send_flags = linux.MSG.NOSIGNAL | linux.MSG.WAITALL;

pub fn accept(port: u32, epoch: u32, descriptor: i32, many: bool) uring.Sqe {
    return .{
        .opcode = .accept,
        .ioprio = if (many) uring.accept_multishot else 0,
        .descriptor = descriptor,
        .operation_flags = linux.SOCK.CLOEXEC,
        .user_data = user_data(.accept, port, epoch),
    };
}

pub fn receive(port: u32, epoch: u32, descriptor: i32, many: bool) uring.Sqe {
    return .{
        .opcode = .recv,
        .flags = uring.sqe_buffer_select,
        .ioprio = if (many) uring.recv_multishot else 0,
        .descriptor = descriptor,
        .user_data = user_data(.receive, port, epoch),
    };
}

pub fn receive_message(port: u32, epoch: u32, descriptor: i32) uring.Sqe {
    return .{
        .opcode = .recvmsg,
        .flags = uring.sqe_buffer_select,
        .ioprio = uring.recv_multishot,
        .descriptor = descriptor,
        .address = @intFromPtr(&message_shape),
        .length = 1,
        .operation_flags = linux.MSG.TRUNC | linux.MSG.CMSG_CLOEXEC,
        .user_data = user_data(.receive_message, port, epoch),
    };
}

/// Completes with EOPNOTSUPP. Messages do not go with shared buffers: the kernel does not step over
/// a rest that is too small for one (liburing's test recvmsg-inc-tail).
pub fn refusal(tag: Tag, port: u32, epoch: u32) uring.Sqe {
    const result: i32 = kernel.negative(.OPNOTSUPP);
    return .{
        .opcode = .nop,
        .descriptor = -1,
        .length = @bitCast(result),
        .operation_flags = uring.nop_inject_result,
        .user_data = user_data(tag, port, epoch),
    };
}

pub fn send(port: u32, epoch: u32, descriptor: i32, segment: contract.Segment) uring.Sqe {
    return .{
        .opcode = .send,
        .descriptor = descriptor,
        .address = @intFromPtr(segment.pointer),
        .length = segment.length,
        .operation_flags = send_flags,
        .user_data = user_data(.send, port, epoch),
    };
}

/// The kernel copies the header, and what it points to, when it takes the entry.
pub fn send_gathered(
    port: u32,
    epoch: u32,
    descriptor: i32,
    header: *const linux.msghdr_const,
) uring.Sqe {
    return .{
        .opcode = .sendmsg,
        .descriptor = descriptor,
        .address = @intFromPtr(header),
        .length = 1,
        .operation_flags = send_flags,
        .user_data = user_data(.send, port, epoch),
    };
}

/// The same with control data: it goes with the first byte, so a part of the bytes is enough.
pub fn send_control(
    port: u32,
    epoch: u32,
    descriptor: i32,
    header: *const linux.msghdr_const,
) uring.Sqe {
    var sqe = send_gathered(port, epoch, descriptor, header);
    sqe.operation_flags = linux.MSG.NOSIGNAL;
    return sqe;
}

pub fn connect(port: u32, epoch: u32, descriptor: i32, address: *const SocketAddress) uring.Sqe {
    return .{
        .opcode = .connect,
        .descriptor = descriptor,
        .offset = address.length(),
        .address = @intFromPtr(address),
        .user_data = user_data(.connect, port, epoch),
    };
}

/// Edges come from a multishot poll. The kernel has no lasting one that tells of what stays ready:
/// that one ends with each completion.
pub fn poll(
    port: u32,
    epoch: u32,
    descriptor: i32,
    interest: contract.Interest,
    edge: bool,
) uring.Sqe {
    var events: u32 = 0;
    if (interest.readable) events |= linux.EPOLL.IN | linux.EPOLL.RDHUP;
    if (interest.writable) events |= linux.EPOLL.OUT;
    if (edge) events |= linux.EPOLL.ET;
    return .{
        .opcode = .poll_add,
        .descriptor = descriptor,
        .length = if (edge) uring.poll_add_multi else 0,
        .operation_flags = events,
        .user_data = user_data(.poll, port, epoch),
    };
}

/// Until there is something to receive, or already is.
pub fn await_readable(port: u32, epoch: u32, descriptor: i32) uring.Sqe {
    return .{
        .opcode = .poll_add,
        .descriptor = descriptor,
        .operation_flags = linux.EPOLL.IN | linux.EPOLL.RDHUP,
        .user_data = user_data(.readable, port, epoch),
    };
}

/// Until the socket takes messages again, or has an error to tell.
pub fn wait_for_room(port: u32, epoch: u32, descriptor: i32) uring.Sqe {
    return .{
        .opcode = .poll_add,
        .descriptor = descriptor,
        .operation_flags = linux.EPOLL.OUT,
        .user_data = user_data(.send_messages, port, epoch),
    };
}

/// What a poll tells, of the kernel's event bits.
pub fn readiness_of(events: u32) i32 {
    var bits: u32 = 0;
    if (events & (linux.EPOLL.IN | linux.EPOLL.RDHUP) != 0) bits |= layout.ready_readable;
    if (events & linux.EPOLL.OUT != 0) bits |= layout.ready_writable;
    if (events & linux.EPOLL.ERR != 0) bits |= layout.ready_error;
    if (events & linux.EPOLL.HUP != 0) bits |= layout.ready_hangup;
    return @intCast(bits);
}

pub fn cancel(port: u32, epoch: u32, descriptor: i32, what: contract.Cancel) uring.Sqe {
    var sqe: uring.Sqe = .{
        .opcode = .async_cancel,
        .descriptor = descriptor,
        .user_data = user_data(.cancel, port, epoch),
    };
    switch (what) {
        .all => sqe.operation_flags = uring.cancel_fd | uring.cancel_all,
        .receive => sqe.address = user_data(.receive, port, epoch),
        .receive_message => sqe.address = user_data(.receive_message, port, epoch),
        .readable => sqe.address = user_data(.readable, port, epoch),
        .poll, .lost_poll => sqe.address = user_data(.poll, port, epoch),
    }
    return sqe;
}
