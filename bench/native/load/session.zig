//! What a run is about, whatever engine drives it: the connections' streams, what was sent when,
//! what came back, and whether it was right.
//!
//! The bytes of a connection are one endless stream cut into messages: byte `p` of connection `c`
//! is `pattern[(start(c) + p) % period]`. So sending needs no copy (a message is a slice of the
//! pattern), and verifying is one comparison per receive; a lost, doubled, reordered or foreign
//! message does not match.
//!
//! Invariants: one thread; `in_flight` bytes of a connection were asked for and not yet echoed.

const std = @import("std");
const linux = std.os.linux;
const Histogram = @import("histogram.zig").Histogram;
const Counter = @import("counters.zig").Counter;
const clock = @import("clock.zig");

/// A prime, so that no message size makes the stream repeat early.
const period: u32 = 65521;
const start_step: u64 = 7919;

/// How long replies may take to come in after the last request.
const drain_ns: u64 = 3 * std.time.ns_per_s;

pub const Engine = enum { auto, io_uring, epoll };

pub const Options = struct {
    host: [4]u8 = .{ 127, 0, 0, 1 },
    port: u16 = 0,
    connections: u32 = 1,
    size: u32 = 64,
    depth: u16 = 1,
    seconds: f64 = 1,
    warmup: f64 = 0.2,
    engine: Engine = .auto,
    /// How long to look for replies before sleeping. Looking spares the server the wake-up that it
    /// would not have to pay for a client on another machine.
    spin_us: u32 = 200,
    /// The server, if its CPU time is to be measured over exactly the measured window.
    server_pid: i32 = 0,
    /// Also count the server's system calls and instructions, which slows it down.
    count: bool = false,
    json: bool = false,
};

pub const Phase = enum { warmup, measure, drain, done };

pub const Connection = struct {
    fd: i32,
    open: bool = true,
    /// For the engine: a send (io_uring) or an interest in writing (epoll) is outstanding.
    sending: bool = false,
    send_offset: u32,
    receive_offset: u32,
    /// Bytes asked for that the engine has not yet sent.
    unsent: u32 = 0,
    /// Bytes asked for that have not yet come back.
    in_flight: u32 = 0,
    /// Bytes of the current reply that have come back.
    message_received: u32 = 0,
    stamp_in: u16 = 0,
    stamp_out: u16 = 0,
};

pub const Session = struct {
    options: Options,
    connections: []Connection,
    open_count: u32,
    /// `depth` send times per connection, in the order of sending.
    stamps: []u64,
    pattern: []u8,
    histogram: Histogram = .{},
    syscalls: Counter = .{},
    instructions: Counter = .{},

    phase: Phase = .warmup,
    measure_at: u64 = 0,
    drain_at: u64 = 0,
    done_at: u64 = 0,
    /// The window as it was, and what the clocks said at its edges.
    measure_start: clock.Reading = .{},
    measure_end: clock.Reading = .{},
    /// Time without anything to do, within the window.
    idle_ns: u64 = 0,

    messages_in_flight: u64 = 0,
    verified_bytes: u64 = 0,
    errors: u64 = 0,
    mismatches: u64 = 0,
    /// Connections that got no reply within the whole window. The percentiles know nothing of them.
    starved: u64 = 0,

    pub fn init(gpa: std.mem.Allocator, options: Options) !Session {
        const send_max = @max(options.size, 256 * 1024);
        const pattern = try gpa.alloc(u8, period + send_max);
        var random: std.Random.DefaultPrng = .init(0x7477696e706f6c6c);
        random.random().bytes(pattern[0..period]);
        for (period..pattern.len) |index| pattern[index] = pattern[index - period];
        const connections = try gpa.alloc(Connection, options.connections);
        for (connections, 0..) |*connection, index| {
            const first: u32 = @intCast(index * start_step % period);
            connection.* = .{ .fd = -1, .send_offset = first, .receive_offset = first };
        }
        return .{
            .options = options,
            .connections = connections,
            .open_count = options.connections,
            .stamps = try gpa.alloc(u64, @as(usize, options.connections) * options.depth),
            .pattern = pattern,
        };
    }

    /// Starts the clock and asks for the first `depth` messages of every connection.
    pub fn start(session: *Session) void {
        if (session.options.count) {
            session.syscalls = .syscalls(session.options.server_pid);
            session.instructions = .instructions(session.options.server_pid);
        }
        const now = clock.monotonic();
        session.measure_at = now + nanoseconds(session.options.warmup);
        session.drain_at = session.measure_at + nanoseconds(session.options.seconds);
        session.done_at = session.drain_at + drain_ns;
        for (0..session.connections.len) |index| session.request(index, session.options.depth, now);
    }

    /// Moves on to the phase that `now` belongs to. Returns false when the run is over.
    pub fn advance(session: *Session, now: u64) bool {
        if (session.phase == .warmup and now >= session.measure_at) {
            session.phase = .measure;
            session.histogram.reset();
            session.idle_ns = 0;
            session.syscalls.start();
            session.instructions.start();
            session.measure_start = clock.read(session.options.server_pid, now);
        }
        if (session.phase == .measure and now >= session.drain_at) {
            session.phase = .drain;
            session.measure_end = clock.read(session.options.server_pid, now);
            session.syscalls.stop();
            session.instructions.stop();
            session.starved = session.countStarved();
        }
        const drained = session.messages_in_flight == 0 or now >= session.done_at;
        if (session.phase == .drain and drained) session.phase = .done;
        if (session.open_count == 0) session.phase = .done;
        return session.phase != .done;
    }

    fn countStarved(session: *const Session) u64 {
        var count: u64 = 0;
        for (session.connections, 0..) |*connection, index| {
            if (!connection.open or connection.in_flight == 0) continue;
            const oldest = session.stamps[index * session.options.depth + connection.stamp_out];
            if (oldest < session.measure_start.monotonic_ns) count += 1;
        }
        return count;
    }

    /// When the engine has to call `advance` at the latest.
    pub fn nextEdge(session: *const Session) u64 {
        return switch (session.phase) {
            .warmup => session.measure_at,
            .measure => session.drain_at,
            .drain, .done => session.done_at,
        };
    }

    /// The loop has slept or looked in vain since `since`.
    pub fn idled(session: *Session, since: u64, now: u64) void {
        if (session.phase == .measure) session.idle_ns += now - @max(since, session.measure_at);
    }

    /// Takes bytes that came back, and asks for as many new messages as were completed.
    /// Returns false when they are wrong; the connection is then dead.
    pub fn receive(session: *Session, index: usize, bytes: []const u8, now: u64) bool {
        const connection = &session.connections[index];
        const length: u32 = @intCast(bytes.len);
        const expected = session.pattern[connection.receive_offset..][0..length];
        if (length > connection.in_flight or !std.mem.eql(u8, bytes, expected)) {
            session.mismatches += 1;
            session.bury(index);
            return false;
        }
        session.skip(index, length);
        connection.message_received += length;
        var completed: u16 = 0;
        while (connection.message_received >= session.options.size) : (completed += 1) {
            connection.message_received -= session.options.size;
            session.complete(index, now);
        }
        if (completed > 0 and @intFromEnum(session.phase) < @intFromEnum(Phase.drain)) {
            session.request(index, completed, now);
        }
        return true;
    }

    /// Counts verified bytes that came back.
    pub fn skip(session: *Session, index: usize, length: u32) void {
        const connection = &session.connections[index];
        connection.in_flight -= length;
        connection.receive_offset = (connection.receive_offset + length) % period;
        session.verified_bytes += length;
    }

    fn complete(session: *Session, index: usize, now: u64) void {
        const connection = &session.connections[index];
        const depth = session.options.depth;
        const sent_at = session.stamps[index * depth + connection.stamp_out];
        connection.stamp_out = session.stampAfter(connection.stamp_out);
        session.messages_in_flight -= 1;
        if (session.phase == .measure) session.histogram.record(now - sent_at);
    }

    fn request(session: *Session, index: usize, count: u16, now: u64) void {
        const connection = &session.connections[index];
        const depth = session.options.depth;
        for (0..count) |_| {
            session.stamps[index * depth + connection.stamp_in] = now;
            connection.stamp_in = session.stampAfter(connection.stamp_in);
        }
        connection.unsent += count * session.options.size;
        connection.in_flight += count * session.options.size;
        session.messages_in_flight += count;
    }

    fn stampAfter(session: *const Session, stamp: u16) u16 {
        return if (stamp + 1 == session.options.depth) 0 else stamp + 1;
    }

    /// What the connection has to send next, in one piece; empty when there is nothing.
    pub fn outgoing(session: *const Session, index: usize) []const u8 {
        const connection = &session.connections[index];
        const length = @min(connection.unsent, session.pattern.len - period);
        return session.pattern[connection.send_offset..][0..length];
    }

    pub fn sent(session: *Session, index: usize, length: u32) void {
        const connection = &session.connections[index];
        connection.unsent -= length;
        connection.send_offset = (connection.send_offset + length) % period;
    }

    /// The connection ended by itself, which no correct server does.
    pub fn fail(session: *Session, index: usize) void {
        if (!session.connections[index].open) return;
        session.errors += 1;
        session.bury(index);
    }

    fn bury(session: *Session, index: usize) void {
        const connection = &session.connections[index];
        connection.open = false;
        const outstanding = connection.in_flight + connection.message_received;
        session.messages_in_flight -= outstanding / session.options.size;
        connection.unsent = 0;
        connection.in_flight = 0;
        session.open_count -= 1;
        _ = linux.shutdown(connection.fd, linux.SHUT.RDWR);
    }

    /// Replies that never came are errors, one per connection.
    pub fn finish(session: *Session) void {
        if (session.phase == .measure) session.measure_end = clock.read(0, clock.monotonic());
        for (session.connections, 0..) |*connection, index| {
            if (connection.open and connection.in_flight > 0) session.fail(index);
        }
    }
};

fn nanoseconds(seconds: f64) u64 {
    return @intFromFloat(seconds * std.time.ns_per_s);
}
