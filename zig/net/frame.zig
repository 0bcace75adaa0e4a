//! The message of a connection that is under way: how far it was looked at, and the memory in which
//! it becomes contiguous where it lies across buffers.
//!
//! Invariants: the message is what is in `join`, then the first `scanned` parts that the connection
//! holds back, then, once it is complete, `ready` bytes of the part after these. Its segmenter has
//! seen all of that and nothing else.

const std = @import("std");
const Pool = @import("../memory/pool.zig").Pool;
const segmenter = @import("segmenter.zig");

const none: u32 = std.math.maxInt(u32);

/// A buffer of the pool, with one reference on it.
pub const Join = struct {
    buffer: u32,
    length: u32,

    pub const empty: Join = .{ .buffer = none, .length = 0 };

    pub fn has_buffer(self: *const Join) bool {
        return self.buffer != none;
    }

    pub fn capacity(self: *const Join, pool: *const Pool) u32 {
        return if (self.has_buffer()) pool.state(self.buffer).bytes else 0;
    }

    /// Moves to a buffer of at least so many bytes. What was left is given back by the caller; null
    /// when there is no such buffer, and `none` where there was none before.
    pub fn grow(self: *Join, pool: *Pool, bytes: u32) ?u32 {
        const larger = pool.take(bytes) orelse return null;
        _ = pool.take_from_script(larger);
        const left = self.buffer;
        if (self.length > 0) {
            @memcpy(pool.pointer(larger)[0..self.length], pool.pointer(left)[0..self.length]);
        }
        self.buffer = larger;
        return left;
    }

    /// Writes behind what is there, without counting it; there must be room.
    pub fn write(self: *const Join, pool: *Pool, bytes: []const u8) void {
        std.debug.assert(self.length + bytes.len <= self.capacity(pool));
        @memcpy(pool.pointer(self.buffer)[self.length..][0..bytes.len], bytes);
    }
};

pub const Frame = struct {
    /// Its parts stand in the nodes for segmenters, and stay there.
    is_in_nodes: bool,
    scanner: segmenter.Scanner,
    join: Join,
    scanned: u32,
    ready: u32,
    /// What the connection ends with once the script has seen the messages before; 0 for nothing.
    verdict: i32,
    /// Bytes that the script's segmenter looks at; 0 for none.
    asked_bytes: u32,
    /// How many of them are behind the join and not taken from the first part yet.
    lookahead: u32,
    /// What it holds while it waits for a buffer to join in; counted for all connections.
    waiting_parts: u32,
    waiting_joins: u32,
    /// The last of what was lent to the script in turn `lent_turn`.
    last_loan: u32,
    lent_turn: u64,

    const start: Frame = .{
        .is_in_nodes = false,
        .scanner = .start,
        .join = .empty,
        .scanned = 0,
        .ready = 0,
        .verdict = 0,
        .asked_bytes = 0,
        .lookahead = 0,
        .waiting_parts = 0,
        .waiting_joins = 0,
        .last_loan = none,
        .lent_turn = 0,
    };

    /// Of a new connection.
    pub fn of(rule: *const segmenter.Rule) Frame {
        var frame: Frame = .start;
        frame.is_in_nodes = rule.kind != 0;
        return frame;
    }

    /// The next message begins.
    pub fn begin(self: *Frame) void {
        self.scanner = .start;
        self.scanned = 0;
        self.ready = 0;
    }

    /// Whether a message has begun of which bytes are missing, when all of `held_count` parts were
    /// looked at.
    pub fn is_inside(self: *const Frame, held_count: u32) bool {
        if (self.ready > 0 or self.asked_bytes > 0 or self.scanned < held_count) return false;
        return self.scanned > 0 or self.join.length > 0;
    }
};
