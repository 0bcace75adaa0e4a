//! Bytes lent to the script until its next turn, in order: what it has not looked at yet can be
//! taken back, because its segmenter changed meanwhile.
//!
//! Invariant: each loan is a completion of this turn, and holds one reference on its buffer.

const std = @import("std");
const layout = @import("../layout.zig");
const mapped = @import("../memory/mapped.zig");
const Connection = @import("connection.zig").Connection;
const Part = @import("held.zig").Part;

const none: u32 = std.math.maxInt(u32);

/// Parts of one message that are shown apart, at most.
pub const parts_max = 64;

pub const Loan = struct {
    /// The connection's loan before this one, in the same turn.
    previous: u32,
    /// Which completion tells of it.
    completion: u32,
    buffer: u32,
    generation: u32,
    offset: u32,
    /// With what the script is not shown of it.
    length: u32,
    /// The connection holds the bytes as well, and goes on from there.
    is_held: bool,
};

/// Those of a loop's last turn.
pub const Loans = struct {
    loans: []Loan,
    count: u32,
    turn: u64,

    /// `completions`: most that a turn tells of.
    pub fn init(completions: u32) error{OutOfMemory}!Loans {
        return .{ .loans = try mapped.allocate(Loan, completions), .count = 0, .turn = 0 };
    }

    pub fn deinit(self: *Loans) void {
        mapped.free(Loan, self.loans);
        self.* = undefined;
    }

    fn add(self: *Loans, turn: u64, loan: Loan) u32 {
        if (self.turn != turn) self.count = 0;
        self.turn = turn;
        self.loans[self.count] = loan;
        self.count += 1;
        return self.count - 1;
    }
};

pub fn Lending(comptime Streams: type) type {
    return struct {
        pub const What = struct {
            event: layout.Event,
            result: i32 = 0,
            shown: Part,
            /// With what is not shown.
            all: Part,
            is_held: bool = false,
        };

        /// Lends bytes, with one reference on their buffer, which is given back with the next turn.
        pub fn lend(streams: *Streams, slot: u32, connection: *Connection, what: What) void {
            const channel = &streams.loop.channel;
            const turn = streams.loop.counters.turns;
            const state = streams.loop.pool.state(what.shown.buffer);
            const frame = &connection.frame;
            if (frame.lent_turn != turn) frame.last_loan = none;
            frame.lent_turn = turn;
            frame.last_loan = streams.loans.add(turn, .{
                .previous = frame.last_loan,
                .completion = channel.count,
                .buffer = what.all.buffer,
                .generation = state.generation(),
                .offset = what.all.offset,
                .length = what.all.length,
                .is_held = what.is_held,
            });
            state.borrowed += 1;
            channel.emit_data(.{
                .event = what.event,
                .slot = slot,
                .generation = connection.generation,
                .result = what.result,
                .buffer = what.shown.buffer,
                .buffer_generation = state.generation(),
                .offset = what.shown.offset,
                .length = what.shown.length,
            });
        }

        /// Whether so many parts of a message may be lent now. A quarter of a turn's completions is
        /// for what the kernel has: small messages must not starve it.
        pub fn may_lend(
            streams: *Streams,
            slot: u32,
            connection: *const Connection,
            parts: u32,
        ) bool {
            const channel = &streams.loop.channel;
            if (!connection.may_have_more(streams.allowance(connection))) return false;
            const room_least = channel.completions.len / 4;
            if (channel.room() >= room_least + parts) {
                for (0..@min(parts, connection.held.count)) |place| {
                    const part = connection.held.at(&streams.segmented_nodes, @intCast(place));
                    if (!can_count(streams, part.buffer)) break;
                } else return true;
            }
            streams.attention.push(streams.connections, slot);
            return false;
        }

        /// Whether a buffer may be lent some times more: a turn ends all loans.
        fn can_count(streams: *Streams, buffer: u32) bool {
            const state = streams.loop.pool.state(buffer);
            return state.borrowed < std.math.maxInt(u16) - parts_max and
                state.references < std.math.maxInt(u32) - parts_max;
        }
    };
}
