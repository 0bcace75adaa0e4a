//! A connection's segmenter changes: what the script has not looked at yet is cut anew, wherever it
//! is: lent in this turn, joined, or held back.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Connection = @import("connection.zig").Connection;
const Framing = @import("framing.zig").Framing;
const Held = @import("held.zig").Held;
const Loan = @import("lending.zig").Loan;
const Pool = @import("../memory/pool.zig").Pool;
const classes = @import("../memory/classes.zig");
const segmenter = @import("segmenter.zig");
const Unsegmented = @import("unsegmented.zig").Unsegmented;
const no_relay = @import("relays.zig").none;

const none: u32 = std.math.maxInt(u32);
const no_buffers = kernel.negative(.NOBUFS);

/// Most bytes of a message that a pool has memory for, at any time: it moves once while it grows.
pub fn limit_bytes(pool: *const Pool) u32 {
    const half = @min(pool.script_limit_bytes / 2, pool.arena().kind.slab_bytes);
    if (half == 0) return 0;
    if (half <= classes.bytes_max) return std.math.floorPowerOfTwo(u32, @intCast(half));
    return std.mem.alignBackward(u32, @intCast(half), std.heap.page_size_min);
}

/// Whether the pool can always make such messages.
pub fn is_valid(pool: *const Pool, rule: *const layout.Segmenter) bool {
    return segmenter.is_valid(rule, limit_bytes(pool));
}

pub fn Resegmenting(comptime Streams: type) type {
    return struct {
        const Ask = Unsegmented(Streams);
        const Frames = Framing(Streams);

        /// 1 when completions that the script has not looked at are void, else 0; or a status.
        pub fn set(streams: *Streams, options: *const layout.SegmenterOptions) i32 {
            const stale = @intFromEnum(layout.Status.stale_handle);
            const connection = streams.find(options.slot, options.generation) orelse return stale;
            switch (connection.state) {
                .resolving, .connecting, .open => {},
                .free, .lingering, .ending => return stale,
            }
            // What is held of a connection that is leaving must stay where `detaching.zig` looks.
            if (connection.relay != no_relay or connection.detach != .none) {
                return @intFromEnum(layout.Status.busy);
            }
            const rule = &options.segmenter;
            const bad_argument = @intFromEnum(layout.Status.bad_argument);
            if (!is_valid(streams.loop.pool, rule)) return bad_argument;
            if (rule.kind != 0 and connection.passes()) {
                return @intFromEnum(layout.Status.unsupported);
            }
            const frame = &connection.frame;
            if (rule.kind != 0) enter_nodes(streams, connection);
            if (frame.asked_bytes > 0) {
                _ = Ask.consume(streams, connection, @min(options.consumed, frame.asked_bytes));
            }
            const is_void = frame.is_in_nodes and
                take_back(streams, connection, options.dispatched);
            Frames.stop_waiting(streams, connection);
            frame.begin();
            frame.verdict = 0;
            connection.options.segmenter = rule.*;
            streams.attention.push(streams.connections, options.slot);
            return @intFromBool(is_void);
        }

        /// What is held back moves to where parts may begin anywhere.
        pub fn enter_nodes(streams: *Streams, connection: *Connection) void {
            if (connection.frame.is_in_nodes) return;
            connection.frame.is_in_nodes = true;
            const pool = streams.loop.pool;
            var moved: Held = .empty;
            while (connection.held.pop(pool, &streams.held_nodes)) |part| {
                if (moved.push(pool, &streams.segmented_nodes, part)) continue;
                streams.release(part.buffer);
                connection.fail(no_buffers);
            }
            connection.held = moved;
        }

        /// Whether anything was lent that the script has not looked at.
        fn take_back(streams: *Streams, connection: *Connection, dispatched: u32) bool {
            const frame = &connection.frame;
            Ask.put_back_join(streams, connection, 0);
            if (frame.lent_turn != streams.loop.counters.turns) return false;
            var is_void = false;
            while (frame.last_loan != none) {
                const loan = streams.loans.loans[frame.last_loan];
                if (loan.completion < dispatched) break;
                is_void = true;
                frame.last_loan = loan.previous;
                if (!loan.is_held and !put_back(streams, connection, &loan)) {
                    connection.fail(no_buffers);
                }
            }
            if (is_void) connection.end_reported = false;
            return is_void;
        }

        /// A loan becomes the first part that is held back; false when it cannot.
        fn put_back(streams: *Streams, connection: *Connection, loan: *const Loan) bool {
            const pool = streams.loop.pool;
            if (!pool.valid(loan.buffer, loan.generation)) return false;
            if (!pool.retain(loan.buffer)) return false;
            const placed = connection.held.prepend(pool, &streams.segmented_nodes, .{
                .buffer = loan.buffer,
                .offset = loan.offset,
                .length = loan.length,
            });
            if (placed != .placed) streams.release(loan.buffer);
            return placed != .no_node;
        }
    };
}
