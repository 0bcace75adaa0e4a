//! One end of a simulated connection, or a listening socket.
//!
//! It behaves as Linux does where that matters to what is tested: an error is told once, bytes that
//! arrived before a reset can still be read, a closed socket answers bytes with a reset, and a
//! closed one with unread bytes resets at once. Source: tcp(7), net/ipv4/tcp.c.

const std = @import("std");
const kernel = @import("../../sys/kernel.zig");
const Datagram = @import("messages.zig").Datagram;
const Pipe = @import("pipe.zig").Pipe;
const never = @import("pipe.zig").never;

/// Above every errno.
const errors_max = 160;

pub const State = enum {
    fresh,
    bound,
    listening,
    connecting,
    connected,
    /// Reset, or a listening socket that was stopped.
    dead,
};

pub const Socket = struct {
    /// No other socket of the same network has it.
    serial: u32,
    state: State = .fresh,
    /// -1 while it waits to be accepted, and once it is closed.
    descriptor: i32 = -1,
    closed: bool = false,
    family: u16 = 0,
    reuse_port: bool = false,
    /// Accepting does not wait, as io_uring has it with some kernels.
    nonblocking: bool = false,
    port: u16 = 0,
    remote_port: u16 = 0,
    peer: ?*Socket = null,
    incoming: Pipe = .{},
    /// We have ended our direction, or a reset has.
    send_ended: bool = false,
    /// When a reset arrives.
    reset_ns: u64 = never,
    /// What the next operation is told, once.
    failure: i32 = 0,
    /// Some reset or error was involved: bytes may be lost.
    broken: bool = false,
    /// Errors that operations were given, by errno.
    errors_given: std.StaticBitSet(errors_max) = .empty,
    /// Bytes that were reaped, and how many of them before an error was.
    read_bytes: usize = 0,
    read_before_error: ?usize = null,
    /// Operations under way.
    operations: u32 = 0,
    /// While it listens: connections to be accepted, oldest first.
    backlog: std.ArrayList(*Socket) = .empty,
    backlog_limit: u32 = 0,
    /// Of datagrams: what came and is on its way here, oldest first.
    is_datagram: bool = false,
    mailbox: std.ArrayList(Datagram) = .empty,
    /// Datagrams of its own that have not arrived.
    under_way: u32 = 0,

    /// Takes the error that is to be told; 0 for none.
    pub fn take_failure(self: *Socket) i32 {
        const failure = self.failure;
        self.failure = 0;
        return failure;
    }

    pub fn has_given(self: *const Socket, result: i32) bool {
        const code = kernel.errno_of(result);
        return code < errors_max and self.errors_given.isSet(code);
    }

    pub fn is_ended(self: *const Socket) bool {
        return self.incoming.end_visible or self.state == .dead;
    }

    /// Bytes that the peer's system does not have yet; the end counts as one.
    pub fn unsent(self: *const Socket) u32 {
        if (self.state != .connected) return 0;
        const pipe = &self.peer.?.incoming;
        return pipe.length - pipe.visible + @intFromBool(pipe.end_sent and !pipe.end_visible);
    }

    /// A reset has arrived, or the connection timed out.
    pub fn break_off(self: *Socket) void {
        self.state = .dead;
        self.broken = true;
        self.send_ended = true;
        self.reset_ns = never;
        self.failure = kernel.negative(.CONNRESET);
        self.incoming.cut();
    }
};
