//! Bytes of which the script's own segmenter tells where messages end: lent to it, and its answer.
//!
//! It sees what is contiguous. Where bytes of a message are missing, those that are there move to a
//! join, and are shown again with some of what follows them; with more each time, so that they are
//! not shown too often, and not with all, which then need not be copied. Once it says how long the
//! message is, that is waited for as for any other.
//!
//! Invariant: nothing of a connection is shown while its script owes an answer.

const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Connection = @import("connection.zig").Connection;
const Framing = @import("framing.zig").Framing;
const Lending = @import("lending.zig").Lending;
const Part = @import("held.zig").Part;

const invalid_message = @intFromEnum(layout.Status.invalid_message);
const message_too_large = @intFromEnum(layout.Status.message_too_large);
const no_buffers = kernel.negative(.NOBUFS);

/// Bytes of the next part that are copied behind a join at first.
const lookahead_least = 256;

pub fn Unsegmented(comptime Streams: type) type {
    return struct {
        const Frames = Framing(Streams);
        const Lend = Lending(Streams);

        /// Lends the script what is contiguous, if it may have it now.
        pub fn ask(streams: *Streams, slot: u32, connection: *Connection) void {
            const frame = &connection.frame;
            const pool = streams.loop.pool;
            var part = connection.held.at(&streams.segmented_nodes, 0);
            if (!Lend.may_lend(streams, slot, connection, 1)) return;
            const joined = frame.join.length;
            var lookahead: u32 = 0;
            if (joined > 0) {
                const most = connection.options.segmenter.max_length - joined;
                lookahead = @min(part.length, @max(lookahead_least, joined), most);
                if (!Frames.reserve(streams, slot, connection, joined + lookahead)) return;
            }
            const length = if (joined > 0) joined + lookahead else part.length;
            if (!connection.may_deliver(streams.loop.counters.turns, length)) {
                return streams.attention.push(streams.connections, slot);
            }
            if (joined > 0) {
                frame.join.write(pool, Frames.bytes_of(streams, part)[0..lookahead]);
                part = .{ .buffer = frame.join.buffer, .length = length };
            }
            if (!pool.retain(part.buffer)) {
                return streams.attention.push(streams.connections, slot);
            }
            frame.lookahead = lookahead;
            frame.asked_bytes = length;
            Lend.lend(streams, slot, connection, .{
                .event = .unsegmented,
                .shown = part,
                .all = part,
                .is_held = true,
            });
        }

        /// The script's answer; false when it is none, or nobody asked.
        pub fn answer(streams: *Streams, entry: layout.SegmentEntry) bool {
            const connection = streams.find(entry.slot, entry.generation) orelse return false;
            const frame = &connection.frame;
            const asked = frame.asked_bytes;
            if (asked == 0 or entry.consumed > asked) return false;
            streams.attention.push(streams.connections, entry.slot);
            const joined = consume(streams, connection, entry.consumed);
            const left = asked - entry.consumed;
            const most = connection.options.segmenter.max_length;
            if (entry.flags & layout.segment_flag_invalid != 0) {
                frame.verdict = invalid_message;
            } else if (entry.needed > most) {
                frame.verdict = message_too_large;
            } else if (entry.needed > 0) {
                if (entry.needed <= left) frame.verdict = invalid_message;
                frame.scanner.total = entry.needed;
                frame.scanner.seen = frame.join.length;
            } else if (left >= most) {
                frame.verdict = message_too_large;
            } else if (left > 0) {
                want_more(streams, connection, left, joined);
            }
            return true;
        }

        /// Ends the loan: so many of its bytes were whole messages. How many of the others were
        /// shown ahead, if none was.
        pub fn consume(streams: *Streams, connection: *Connection, consumed: u32) u32 {
            const frame = &connection.frame;
            const join = &frame.join;
            const lookahead = frame.lookahead;
            frame.asked_bytes = 0;
            frame.lookahead = 0;
            if (consumed == 0) return lookahead;
            if (join.length == 0) {
                Frames.take_first(streams, connection, consumed);
            } else if (consumed >= join.length) {
                Frames.take_first(streams, connection, consumed - join.length);
                streams.release(join.buffer);
                join.* = .empty;
            } else {
                // The script may use what it was shown as messages: nothing is written behind them.
                put_back_join(streams, connection, consumed);
            }
            frame.begin();
            return 0;
        }

        /// The join from `offset` on becomes the first part that is held back.
        pub fn put_back_join(streams: *Streams, connection: *Connection, offset: u32) void {
            const join = &connection.frame.join;
            if (!join.has_buffer()) return;
            const rest: Part = .{
                .buffer = join.buffer,
                .offset = offset,
                .length = join.length - offset,
            };
            join.* = .empty;
            if (rest.length == 0) return streams.release(rest.buffer);
            const nodes = &streams.segmented_nodes;
            switch (connection.held.prepend(streams.loop.pool, nodes, rest)) {
                .placed => {},
                .joined => streams.release(rest.buffer),
                .no_node => {
                    streams.release(rest.buffer);
                    connection.fail(no_buffers);
                },
            }
        }

        /// The segmenter has seen all that is there and cannot tell yet.
        fn want_more(streams: *Streams, connection: *Connection, left: u32, lookahead: u32) void {
            const frame = &connection.frame;
            if (frame.join.length > 0) {
                frame.join.length += lookahead;
                Frames.take_first(streams, connection, lookahead);
            } else if (connection.held.at(&streams.segmented_nodes, 0).length == left) {
                frame.scanned = 1;
            }
        }
    };
}
