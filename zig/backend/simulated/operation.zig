//! One operation of a simulated backend: from its start until its last completion is reaped.

const kernel = @import("../../sys/kernel.zig");
const contract = @import("../contract.zig");
const Socket = @import("socket.zig").Socket;

pub const State = enum(u8) {
    /// The place is free. Zero, so that fresh memory is free places.
    idle = 0,
    /// Started, and not yet taken by the kernel.
    submitted,
    running,
    /// Its last completion waits to be reaped.
    ended,
};

pub const Operation = struct {
    state: State,
    kind: contract.Kind,
    /// It may complete more than once.
    many: bool,
    cancelled: bool,
    port: u32,
    epoch: u32,
    descriptor: i32,
    socket: *Socket,
    /// When the kernel gets to it.
    due_ns: u64,
    /// Times that nobody has answered a connect.
    attempts: u32,
    /// Connect: the port of the peer.
    remote_port: u16,
    /// Send.
    segments: [contract.segments_max]contract.Segment,
    segment_count: u32,

    pub fn under_way(self: *const Operation) bool {
        return self.state != .idle;
    }
};

/// Whether the caller may take a result for the end of the connection.
pub fn ends_connection(what: contract.Kind, result: i32) bool {
    if (what == .receive_message or what == .send_messages) return false;
    return switch (result) {
        kernel.negative(.CANCELED), kernel.negative(.AGAIN), kernel.negative(.INTR) => false,
        kernel.negative(.NOBUFS) => what != .receive,
        else => result < 0,
    };
}
