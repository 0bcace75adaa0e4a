//! The state of one connection. What changes it is in `streams.zig`.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Link = @import("../memory/list.zig").Link;
const Frame = @import("frame.zig").Frame;
const Held = @import("held.zig").Held;
const no_relay = @import("relays.zig").none;
const Arrivals = @import("passing.zig").Arrivals;
const SendQueue = @import("send_queue.zig").SendQueue;
const Settings = @import("settings.zig").Settings;

pub const State = enum(u8) {
    /// The slot is nobody's. Zero, so that fresh memory is free slots.
    free = 0,
    connecting,
    /// Looks for its peer's address: it has no descriptor, but a race (`attempts.zig`).
    resolving,
    open,
    /// Closed by this side: what is queued goes out, what arrives is discarded.
    lingering,
    /// Waits for its operations to end; then it is reported closed.
    ending,
};

/// How far a connection is on its way out of the loop.
pub const Detach = enum(u8) {
    none = 0,
    /// Nothing is received or delivered any more; what is queued goes out.
    wanted,
    /// No operation is under way, and the backend has let go of the descriptor.
    rest,
};

pub const Connection = struct {
    state: State,
    /// Of the addresses at both of its ends.
    family: layout.AddressFamily,
    /// -1 while there is none.
    descriptor: i32,
    /// While `resolving`.
    race: u32,
    /// Changes when the slot is freed; the epoch of its operations.
    generation: u32,
    /// The turn in which the slot was last freed.
    freed_turn: u64,
    options: Settings,
    /// The relay that it is a side of, `relays.none` for none.
    relay: u32,

    /// What it receives as a side of a relay goes on at once (`forwarding.zig`).
    forwards: bool,
    /// Received parts in a row that would have it begin, or moves that would have it end.
    forward_run: u8,

    /// Operations under way in the backend.
    connecting: bool,
    /// Connecting waits until it is tried again.
    is_put_off: bool,
    receiving: bool,
    /// The receive only waits until there is something.
    awaits: bool,
    sending: bool,
    /// The end of the receive, or of everything, has been asked for.
    receive_cancelled: bool,
    cancelled: bool,

    /// The script wants no data now.
    paused: bool,
    /// Too much waits to be sent for reading on: answers, or at the other side of a relay.
    held_back: bool,
    peer_ended: bool,
    end_reported: bool,
    shutdown_wanted: bool,
    shutdown_done: bool,
    drain_wanted: bool,
    /// What the message that was refused needs: places, bytes, and bytes of buffers.
    drain_parts: u32,
    drain_bytes: u32,
    drain_buffer_bytes: u32,
    /// It came from elsewhere, and the script has not been told that it is open.
    open_owed: bool,
    detach: Detach,
    /// Detached towards another loop of the process.
    travels: bool,
    /// Which socket it is, of one that was adopted.
    identity: kernel.Identity,
    /// When a byte last moved on it, on the loop's clock. While connecting: until when it may.
    active_ns: u64,
    /// Nobody reads it, so that its timer looks for an error.
    is_looked_at: bool,
    /// While lingering: bytes that the peer had not taken when the time limit began.
    unsent: u64,
    /// While lingering: no end of our direction, but a reset, follows what is sent.
    resets: bool,
    /// How long the peer has taken none of that.
    waited_ms: u32,
    /// The descriptor is to be closed with a reset.
    reset: bool,
    /// Error that ends the connection once what arrived before it is delivered; 0 for none.
    failure: i32,
    /// What `closed` will report.
    outcome: i32,

    queue: SendQueue,
    held: Held,
    /// Of one that is being detached: what was delivered and not looked at, before what is held.
    returned: Held,
    /// Descriptors that arrived and were not told of.
    arrivals: Arrivals,
    /// The message under way.
    frame: Frame,
    /// Receive buffers that it answers for: held back, with the script, or on their way on. Parts
    /// of shared buffers do not count.
    buffers: u32,
    /// Delivered to the script in turn `delivered_turn`.
    delivered_bytes: u32,
    delivered_turn: u64,

    /// Something is to be done at the next chance.
    attention: Link,
    /// Receiving stopped for want of a buffer.
    starved: Link,
    /// It received something since it last stood back for others that are starved.
    was_fed: bool,
    /// `drain` is owed once there are buffers and places in queues.
    bufferless: Link,
    /// Receiving stopped because buffers are scarce and the connection has its share.
    squeezed: Link,

    /// Makes a free slot a connection. Its links stay: the slot may still stand in lists.
    pub fn open(
        self: *Connection,
        state: State,
        descriptor: i32,
        family: layout.AddressFamily,
        options: Settings,
    ) void {
        std.debug.assert(self.state == .free);
        const kept = .{ self.attention, self.starved, self.bufferless, self.squeezed };
        self.* = .{
            .state = state,
            .family = family,
            .descriptor = descriptor,
            .race = layout.no_slot,
            .generation = self.generation,
            .freed_turn = self.freed_turn,
            .options = options,
            .relay = no_relay,
            .forwards = false,
            .forward_run = 0,
            .connecting = false,
            .is_put_off = false,
            .receiving = false,
            .awaits = false,
            .sending = false,
            .receive_cancelled = false,
            .cancelled = false,
            .paused = false,
            .held_back = false,
            .peer_ended = false,
            .end_reported = false,
            .shutdown_wanted = false,
            .shutdown_done = false,
            .drain_wanted = false,
            .drain_parts = 0,
            .drain_bytes = 0,
            .drain_buffer_bytes = 0,
            .open_owed = false,
            .detach = .none,
            .travels = false,
            .identity = .{},
            .active_ns = 0,
            .is_looked_at = false,
            .unsent = 0,
            .resets = false,
            .waited_ms = 0,
            .reset = false,
            .failure = 0,
            .outcome = 0,
            .queue = .empty,
            .held = .empty,
            .returned = .empty,
            .arrivals = .empty,
            .frame = .of(&options.segmenter),
            .buffers = 0,
            .delivered_bytes = 0,
            .delivered_turn = 0,
            .attention = kept[0],
            .starved = kept[1],
            .was_fed = false,
            .bufferless = kept[2],
            .squeezed = kept[3],
        };
    }

    /// Whether descriptors come and go with its bytes.
    pub fn passes(self: *const Connection) bool {
        return self.options.descriptors != 0;
    }

    /// Its bytes go to another loop of the process, through a pipe.
    pub fn is_piped(self: *const Connection) bool {
        return self.family == .inproc;
    }

    pub fn has_operations(self: *const Connection) bool {
        return self.connecting or self.receiving or self.sending;
    }

    /// Whether what it receives becomes messages.
    pub fn is_segmented(self: *const Connection) bool {
        return self.options.segmenter.kind != 0;
    }

    /// Notes the error that ends the connection; the first is the reason.
    pub fn fail(self: *Connection, failure: i32) void {
        if (self.failure == 0) self.failure = failure;
    }

    /// Whether to stop taking bytes from the kernel.
    pub fn reading_stopped(self: *const Connection, allowance: u32) bool {
        if (self.detach != .none) return true;
        if (self.paused or self.held_back or self.buffers >= allowance) return true;
        // What is in a pipe may stay there, unless it is the rest of a message.
        if (self.is_piped() and !self.is_segmented() and self.held.count > 0) return true;
        // Parts of shared buffers, for which nobody answers.
        if (self.held.count >= self.options.receive_credits) return true;
        return self.held.bytes > self.options.high_water_mark;
    }

    /// Whether the script may have one buffer more.
    pub fn may_have_more(self: *const Connection, allowance: u32) bool {
        return self.buffers -| self.held.count < allowance;
    }

    /// Whether it is not its own credits that stop it, so that buffers of others may let it go on.
    pub fn squeezed_by(self: *const Connection, allowance: u32) bool {
        return self.buffers >= allowance and allowance < self.options.receive_credits;
    }

    /// Reading stops when answers to what was read fill half the high-water mark, and goes on when
    /// they are down to half of that. Only answers count: two programs that both write much and
    /// read what arrives would otherwise wait for each other for ever. After a failure nothing will
    /// leave the queue any more, and what arrived before is still to be delivered.
    pub fn update_hold(self: *Connection) void {
        if (self.failure != 0) {
            self.held_back = false;
            return;
        }
        const divisor: u32 = if (self.held_back) 2 else 1;
        self.held_back = self.queue.answer_bytes > self.options.high_water_mark / 2 / divisor;
    }

    /// Whether a buffer with `length` bytes may be delivered in turn `turn`, and if so counts it.
    pub fn may_deliver(self: *Connection, turn: u64, length: u32) bool {
        if (self.delivered_turn != turn) {
            self.delivered_turn = turn;
            self.delivered_bytes = 0;
        }
        const bytes_max = self.options.high_water_mark / 2;
        if (self.delivered_bytes > 0 and self.delivered_bytes + length > bytes_max) return false;
        self.delivered_bytes += length;
        return true;
    }
};

/// For tests: a connection without any state.
fn zeroed() Connection {
    var connection: Connection = undefined;
    @memset(std.mem.asBytes(&connection), 0);
    return connection;
}

test "a turn delivers at most half the mark, but always something" {
    var connection = zeroed();
    connection.options.high_water_mark = 1000;
    try std.testing.expect(connection.may_deliver(1, 800));
    try std.testing.expect(!connection.may_deliver(1, 1));
    try std.testing.expect(connection.may_deliver(2, 300));
    try std.testing.expect(connection.may_deliver(2, 200));
    try std.testing.expect(!connection.may_deliver(2, 1));
}

test "the script never has more buffers than it may, and reading stops before" {
    var connection = zeroed();
    connection.options.receive_credits = 4;
    connection.options.high_water_mark = 1 << 20;
    for ([_]struct { u32, u32, bool, bool }{
        .{ 3, 0, true, false }, .{ 4, 0, false, true },
        .{ 6, 3, true, true },  .{ 7, 3, false, true },
    }) |case| {
        connection.buffers = case[0];
        connection.held.count = case[1];
        try std.testing.expectEqual(case[2], connection.may_have_more(4));
        try std.testing.expectEqual(case[3], connection.reading_stopped(4));
    }
}

test "reading stops when answers fill half the mark and goes on below a quarter" {
    var connection = zeroed();
    connection.options.high_water_mark = 1000;
    // What was not an answer does not count.
    connection.queue.bytes = 1000;
    for ([_]struct { u32, bool }{
        .{ 500, false }, .{ 501, true }, .{ 300, true }, .{ 250, false }, .{ 400, false },
    }) |step| {
        connection.queue.answer_bytes = step[0];
        connection.update_hold();
        try std.testing.expectEqual(step[1], connection.held_back);
    }
}
