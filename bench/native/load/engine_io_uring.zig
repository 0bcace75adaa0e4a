//! Drives a session with io_uring: multishot receives into provided buffers, sends straight from
//! the pattern, one kernel entry per batch.
//!
//! With one message in flight a send asks for no completion: the reply proves it. Otherwise at most
//! one send per connection is in the kernel, so bytes keep their order.

const std = @import("std");
const linux = std.os.linux;
const Ring = @import("ring.zig").Ring;
const Session = @import("session.zig").Session;
const clock = @import("clock.zig");

const Operation = enum(u8) { receive, send };

/// Never sleep longer, so that a missed edge costs no more.
const sleep_ns_max = 100 * std.time.ns_per_ms;

const State = struct {
    session: *Session,
    ring: *Ring,
    /// A reply proves its request; without depth nobody needs to hear of the send.
    silent_sends: bool,
};

pub fn run(session: *Session, gpa: std.mem.Allocator) !void {
    const count = session.connections.len;
    const completions = std.math.ceilPowerOfTwoAssert(u32, @intCast(@max(4096, count * 2)));
    var ring = try Ring.init(completions);
    const bytes = std.math.clamp(
        std.math.ceilPowerOfTwoAssert(u32, session.options.size * session.options.depth),
        128,
        64 * 1024,
    );
    try ring.registerBuffers(if (bytes > 4096) 256 else 1024, bytes);
    const files = try gpa.alloc(i32, count);
    for (session.connections, files) |connection, *file| file.* = connection.fd;
    try ring.registerFiles(files);

    var state: State = .{
        .session = session,
        .ring = &ring,
        .silent_sends = session.options.depth == 1,
    };
    for (0..count) |index| try receiveArm(&state, index);
    try ring.enter(0, 0);
    session.start();
    for (0..count) |index| try send(&state, index);
    try loop(&state);
}

fn loop(state: *State) !void {
    var now = clock.monotonic();
    while (state.session.advance(now)) {
        if (state.ring.unsubmitted() or state.ring.ready()) try state.ring.enter(0, 0);
        if (state.ring.peek() == null) {
            const since = clock.monotonic();
            try awaitCompletions(state, since);
            now = clock.monotonic();
            state.session.idled(since, now);
        } else {
            now = clock.monotonic();
        }
        try dispatch(state, now);
    }
}

/// Looks for completions for a while, then sleeps until there is one or a phase ends.
fn awaitCompletions(state: *State, since: u64) !void {
    const edge = state.session.nextEdge();
    const spin_end = @min(edge, since + @as(u64, state.session.options.spin_us) * 1000);
    while (clock.monotonic() < spin_end) {
        for (0..16) |_| {
            if (state.ring.ready()) return state.ring.enter(0, 0);
            std.atomic.spinLoopHint();
        }
    }
    const now = clock.monotonic();
    if (now < edge) try state.ring.enter(1, @min(edge - now, sleep_ns_max));
}

fn dispatch(state: *State, now: u64) !void {
    while (state.ring.peek()) |completion| {
        const index: usize = @intCast(completion.user_data >> 8);
        switch (@as(Operation, @enumFromInt(completion.user_data & 0xff))) {
            .receive => try received(state, index, completion.*, now),
            .send => try sent(state, index, completion.res),
        }
        state.ring.pop();
    }
    state.ring.buffersPublish();
}

fn received(state: *State, index: usize, completion: linux.io_uring_cqe, now: u64) !void {
    const session = state.session;
    const connection = &session.connections[index];
    if (completion.flags & linux.IORING_CQE_F_BUFFER != 0) {
        const buffer: u16 = @intCast(completion.flags >> 16);
        if (completion.res > 0 and connection.open) {
            const bytes = state.ring.bufferSlice(buffer, @intCast(completion.res));
            if (session.receive(index, bytes, now)) try send(state, index);
        }
        state.ring.bufferReturn(buffer);
    }
    if (!connection.open or completion.flags & linux.IORING_CQE_F_MORE != 0) return;
    const out_of_buffers = completion.res == -@as(i32, @intFromEnum(linux.E.NOBUFS));
    if (completion.res > 0 or out_of_buffers) {
        // Every buffer is given back within its batch, so there will be some at the next entry.
        try receiveArm(state, index);
    } else {
        session.fail(index);
    }
}

fn sent(state: *State, index: usize, result: i32) !void {
    const session = state.session;
    const connection = &session.connections[index];
    connection.sending = false;
    if (!connection.open) return;
    if (result <= 0 or state.silent_sends) return session.fail(index);
    session.sent(index, @intCast(result));
    try send(state, index);
}

fn send(state: *State, index: usize) !void {
    const connection = &state.session.connections[index];
    if (connection.sending) return;
    const bytes = state.session.outgoing(index);
    if (bytes.len == 0) return;
    const entry = try state.ring.entry();
    entry.opcode = .SEND;
    entry.flags = linux.IOSQE_FIXED_FILE;
    entry.fd = @intCast(index);
    entry.addr = @intFromPtr(bytes.ptr);
    entry.len = @intCast(bytes.len);
    entry.rw_flags = linux.MSG.NOSIGNAL | linux.MSG.WAITALL;
    entry.user_data = index << 8 | @intFromEnum(Operation.send);
    if (state.silent_sends) {
        entry.flags |= linux.IOSQE_CQE_SKIP_SUCCESS;
        state.session.sent(index, @intCast(bytes.len));
    } else {
        connection.sending = true;
    }
}

fn receiveArm(state: *State, index: usize) !void {
    const entry = try state.ring.entry();
    entry.opcode = .RECV;
    entry.flags = linux.IOSQE_FIXED_FILE | linux.IOSQE_BUFFER_SELECT;
    entry.ioprio = linux.IORING_RECV_MULTISHOT;
    entry.fd = @intCast(index);
    entry.user_data = index << 8 | @intFromEnum(Operation.receive);
}
