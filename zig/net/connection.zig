//! The state of one connection. What changes it is in `streams.zig`.

const std = @import("std");
const layout = @import("../layout.zig");
const Pool = @import("../memory/pool.zig").Pool;
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;
const Link = @import("../memory/list.zig").Link;
const SendQueue = @import("send_queue.zig").SendQueue;

pub const State = enum(u8) {
    /// The slot is nobody's. Zero, so that fresh memory is free slots.
    free = 0,
    connecting,
    open,
    /// Closed by this side: what is queued goes out, what arrives is discarded.
    lingering,
    /// Waits for its operations to end; then it is reported closed.
    ending,
};

pub const Connection = struct {
    state: State,
    descriptor: i32,
    /// Changes when the slot is freed; the epoch of its operations.
    generation: u32,
    /// The turn in which the slot was last freed.
    freed_turn: u64,
    options: layout.StreamOptions,

    /// Operations under way in the backend.
    connecting: bool,
    receiving: bool,
    sending: bool,
    /// The end of the receive, or of everything, has been asked for.
    receive_cancelled: bool,
    cancelled: bool,

    /// The script wants no data now.
    paused: bool,
    /// Too many answers wait to be sent for reading on.
    held_back: bool,
    peer_ended: bool,
    end_reported: bool,
    shutdown_wanted: bool,
    shutdown_done: bool,
    drain_wanted: bool,
    /// Send buffers that must be free for `drain`.
    drain_buffers: u32,
    /// Bytes of the message that was refused.
    drain_bytes: u32,
    /// While lingering: bytes that the peer had not taken when the time limit began.
    unsent: u64,
    /// The descriptor is to be closed with a reset.
    reset: bool,
    /// Error that ends the connection once what arrived before it is delivered; 0 for none.
    failure: i32,
    /// What `closed` will report.
    outcome: i32,

    queue: SendQueue,
    held: Held,
    /// Delivered to the script in turn `delivered_turn`.
    delivered_bytes: u32,
    delivered_parts: u32,
    delivered_turn: u64,

    /// The peer of a connect under way; the kernel reads it when it takes the operation.
    address: SocketAddress,

    /// Something is to be done at the next chance.
    attention: Link,
    /// Receiving stopped for want of a buffer.
    starved: Link,
    /// `drain` is owed once there are send buffers.
    bufferless: Link,

    /// Makes a free slot a connection. Its links stay: the slot may still stand in lists.
    pub fn open(
        self: *Connection,
        state: State,
        descriptor: i32,
        options: layout.StreamOptions,
    ) void {
        std.debug.assert(self.state == .free);
        const kept = .{ self.attention, self.starved, self.bufferless };
        self.* = .{
            .state = state,
            .descriptor = descriptor,
            .generation = self.generation,
            .freed_turn = self.freed_turn,
            .options = options,
            .connecting = false,
            .receiving = false,
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
            .drain_buffers = 0,
            .drain_bytes = 0,
            .unsent = 0,
            .reset = false,
            .failure = 0,
            .outcome = 0,
            .queue = .empty,
            .held = .empty,
            .delivered_bytes = 0,
            .delivered_parts = 0,
            .delivered_turn = 0,
            .address = self.address,
            .attention = kept[0],
            .starved = kept[1],
            .bufferless = kept[2],
        };
    }

    pub fn has_operations(self: *const Connection) bool {
        return self.connecting or self.receiving or self.sending;
    }

    /// Notes the error that ends the connection; the first is the reason.
    pub fn fail(self: *Connection, failure: i32) void {
        if (self.failure == 0) self.failure = failure;
    }

    /// Whether to stop taking bytes from the kernel.
    pub fn reading_stopped(self: *const Connection, parts_max: u32) bool {
        if (self.paused or self.held_back or self.held.count > parts_max) return true;
        return self.held.bytes > self.options.high_water_mark;
    }

    /// Reading stops when answers to what was read fill half the high-water mark or pin more than
    /// `parts_max` buffers, and goes on when they are down to half of that. Only answers count: two
    /// programs that both write much and read what arrives would otherwise wait for each other for
    /// ever. After a failure nothing will leave the queue any more, and what arrived before is
    /// still to be delivered.
    pub fn update_hold(self: *Connection, parts_max: u32) void {
        if (self.failure != 0) {
            self.held_back = false;
            return;
        }
        const divisor: u32 = if (self.held_back) 2 else 1;
        self.held_back = self.queue.answer_bytes > self.options.high_water_mark / 2 / divisor or
            self.queue.answer_parts > parts_max / divisor;
    }

    /// Whether a buffer with `length` bytes may be delivered in turn `turn`, and if so counts it.
    pub fn may_deliver(self: *Connection, turn: u64, length: u32, parts_max: u32) bool {
        if (self.delivered_turn != turn) {
            self.delivered_turn = turn;
            self.delivered_bytes = 0;
            self.delivered_parts = 0;
        }
        const bytes_max = self.options.high_water_mark / 2;
        if (self.delivered_parts > 0) {
            if (self.delivered_bytes + length > bytes_max) return false;
            if (self.delivered_parts >= parts_max) return false;
        }
        self.delivered_bytes += length;
        self.delivered_parts += 1;
        return true;
    }
};

/// Received buffers that the script has not been shown, in order, threaded through the pool.
pub const Held = struct {
    head: u32,
    tail: u32,
    count: u32,
    bytes: u32,

    pub const empty: Held = .{ .head = 0, .tail = 0, .count = 0, .bytes = 0 };

    pub fn push(self: *Held, pool: *Pool, buffer: u32, length: u32) void {
        pool.states[buffer].length = length;
        if (self.count == 0) {
            self.head = buffer;
        } else {
            pool.states[self.tail].next = buffer;
        }
        self.tail = buffer;
        self.count += 1;
        self.bytes += length;
    }

    /// The first buffer, which stays.
    pub fn first(self: *const Held) ?u32 {
        return if (self.count == 0) null else self.head;
    }

    pub fn pop(self: *Held, pool: *Pool) ?u32 {
        if (self.count == 0) return null;
        const buffer = self.head;
        self.head = pool.states[buffer].next;
        self.count -= 1;
        self.bytes -= pool.states[buffer].length;
        return buffer;
    }
};

test "a turn delivers at most half the mark and so many buffers, but always something" {
    var connection = std.mem.zeroes(Connection);
    connection.options.high_water_mark = 1000;
    try std.testing.expect(connection.may_deliver(1, 800, 4));
    try std.testing.expect(!connection.may_deliver(1, 1, 4));
    try std.testing.expect(connection.may_deliver(2, 300, 4));
    try std.testing.expect(connection.may_deliver(2, 200, 4));
    try std.testing.expect(!connection.may_deliver(2, 1, 4));
    try std.testing.expect(connection.may_deliver(3, 1, 2));
    try std.testing.expect(connection.may_deliver(3, 1, 2));
    try std.testing.expect(!connection.may_deliver(3, 1, 2));
    try std.testing.expect(connection.may_deliver(4, 1, 0));
}

test "reading stops when answers fill half the mark and goes on below a quarter" {
    var connection = std.mem.zeroes(Connection);
    connection.options.high_water_mark = 1000;
    // What was not an answer does not count.
    connection.queue.bytes = 1000;
    for ([_]struct { u32, bool }{
        .{ 500, false }, .{ 501, true }, .{ 300, true }, .{ 250, false }, .{ 400, false },
    }) |step| {
        connection.queue.answer_bytes = step[0];
        connection.update_hold(8);
        try std.testing.expectEqual(step[1], connection.held_back);
    }
}

test "reading stops when small answers pin many buffers" {
    var connection = std.mem.zeroes(Connection);
    connection.options.high_water_mark = 1 << 20;
    for ([_]struct { u32, bool }{
        .{ 8, false }, .{ 9, true }, .{ 5, true }, .{ 4, false },
    }) |step| {
        connection.queue.answer_parts = step[0];
        connection.update_hold(8);
        try std.testing.expectEqual(step[1], connection.held_back);
    }
    // Scarce buffers: any unsent answer is one too many.
    connection.queue.answer_parts = 1;
    connection.update_hold(0);
    try std.testing.expect(connection.held_back);
}
