//! Between what a connection receives and its script: bytes become whole messages, as the
//! connection's segmenter says.
//!
//! A message within one part of a buffer is shown where it lies. One across parts is joined: as
//! soon as its length is known it has a buffer of that length, each part is copied there when it
//! comes, and its receive buffer is free again. So a message that is under way never holds what its
//! own rest has to be received into. Where the segmenter is scattered parts wait where they are,
//! and are joined only when the connection could receive no further otherwise.
//!
//! Invariants: no byte is shown twice or left out; what is wrong with a message is told after the
//! messages before it, and in a later turn than these, since their handlers may change the
//! segmenter; a connection that waits for memory that nobody can give back ends.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Connection = @import("connection.zig").Connection;
const Join = @import("frame.zig").Join;
const lending = @import("lending.zig");
const Part = @import("held.zig").Part;
const segmenter = @import("segmenter.zig");
const Unsegmented = @import("unsegmented.zig").Unsegmented;

const exhausted = @intFromEnum(layout.Status.exhausted);
const invalid_message = @intFromEnum(layout.Status.invalid_message);
const message_too_large = @intFromEnum(layout.Status.message_too_large);
const truncated_message = @intFromEnum(layout.Status.truncated_message);
/// No place to hold back what arrived.
const no_buffers = kernel.negative(.NOBUFS);

/// The join, the parts, and the one in which the message ends.
pub const pieces_max = lending.parts_max + 2;

pub fn Framing(comptime Streams: type) type {
    return struct {
        const Lend = lending.Lending(Streams);
        const Ask = Unsegmented(Streams);

        /// Holds back what arrived: it is looked at when all that the kernel had has been taken.
        pub fn arrived(streams: *Streams, slot: u32, connection: *Connection, part: Part) void {
            const held = &connection.held;
            const nodes = &streams.segmented_nodes;
            const may_extend = connection.frame.scanned < held.count;
            if (may_extend and held.extend(nodes, part)) {
                streams.release(part.buffer);
            } else if (!held.push(streams.loop.pool, nodes, part)) {
                streams.release(part.buffer);
                connection.fail(no_buffers);
            }
            streams.attention.push(streams.connections, slot);
        }

        /// Shows the messages that are complete, as far as the script may have them now.
        pub fn pump(streams: *Streams, slot: u32, connection: *Connection) void {
            const frame = &connection.frame;
            while (!connection.paused and !connection.held_back) {
                if (frame.verdict != 0) return pass_verdict(streams, slot, connection);
                if (frame.asked_bytes > 0) return;
                const goes_on = (frame.ready > 0 or scan(streams, slot, connection)) and
                    finish(streams, slot, connection);
                if (!goes_on and frame.verdict == 0) return;
            }
        }

        /// Ends the connection with what is wrong, once the script has seen what came before.
        fn pass_verdict(streams: *Streams, slot: u32, connection: *Connection) void {
            if (connection.frame.lent_turn == streams.loop.counters.turns) {
                return streams.attention.push(streams.connections, slot);
            }
            connection.fail(connection.frame.verdict);
            drop_parts(streams, connection);
        }

        /// Looks for the end of the message under way; whether it is there.
        fn scan(streams: *Streams, slot: u32, connection: *Connection) bool {
            const frame = &connection.frame;
            const held = &connection.held;
            while (true) {
                if (frame.scanned > 0 and must_join(streams, connection)) {
                    if (!join_scanned(streams, slot, connection)) return false;
                }
                if (frame.scanned == held.count) return false;
                const part = held.at(&streams.segmented_nodes, frame.scanned);
                const rule = &connection.options.segmenter;
                switch (frame.scanner.feed(rule, bytes_of(streams, part))) {
                    .more => frame.scanned += 1,
                    .message => |end| {
                        frame.ready = end;
                        return true;
                    },
                    .ask => {
                        Ask.ask(streams, slot, connection);
                        return false;
                    },
                    .too_large => return refuse(connection, message_too_large),
                    .invalid => return refuse(connection, invalid_message),
                }
            }
        }

        fn refuse(connection: *Connection, status: i32) bool {
            connection.frame.verdict = status;
            return false;
        }

        pub fn bytes_of(streams: *const Streams, part: Part) []const u8 {
            return streams.loop.pool.pointer(part.buffer)[part.offset..][0..part.length];
        }

        /// Whether a message across parts is shown in them.
        fn is_scattered(connection: *const Connection) bool {
            const rule = &connection.options.segmenter;
            if (rule.flags & layout.segment_scattered == 0) return false;
            // The script's own sees what is contiguous, until it knows how much there will be.
            return segmenter.kind_of(rule) != .script or connection.frame.scanner.total > 0;
        }

        fn must_join(streams: *const Streams, connection: *const Connection) bool {
            if (!is_scattered(connection)) return true;
            const completions: u32 = @intCast(streams.loop.channel.completions.len);
            const frame = &connection.frame;
            if (frame.scanned >= @min(lending.parts_max, completions / 8)) return true;
            if (frame.scanned < connection.held.count) return false;
            return connection.reading_stopped(streams.allowance(connection));
        }

        /// Moves the parts that were looked at behind the join; false when there is no memory.
        fn join_scanned(streams: *Streams, slot: u32, connection: *Connection) bool {
            const frame = &connection.frame;
            const nodes = &streams.segmented_nodes;
            var bytes: u32 = 0;
            for (0..frame.scanned) |place| {
                bytes += connection.held.at(nodes, @intCast(place)).length;
            }
            if (!reserve(streams, slot, connection, frame.join.length + bytes)) return false;
            for (0..frame.scanned) |_| {
                const part = connection.held.pop(streams.loop.pool, nodes).?;
                append(streams, connection, bytes_of(streams, part));
                streams.release(part.buffer);
            }
            frame.scanned = 0;
            return true;
        }

        fn append(streams: *Streams, connection: *Connection, bytes: []const u8) void {
            connection.frame.join.write(streams.loop.pool, bytes);
            connection.frame.join.length += @intCast(bytes.len);
        }

        /// Makes room for so many bytes of the message, or for all of it where its length is known;
        /// false when there is no memory now.
        pub fn reserve(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            least: u32,
        ) bool {
            const frame = &connection.frame;
            const pool = streams.loop.pool;
            const capacity = frame.join.capacity(pool);
            const needed = @max(least, frame.scanner.total);
            if (capacity >= needed) {
                stop_waiting(streams, connection);
                return true;
            }
            // It doubles, so that a byte is moved twice at the most on average.
            const most = @max(needed, connection.options.segmenter.max_length);
            const doubled = @min(@max(needed, 2 * capacity), most);
            const wanted = if (frame.scanner.total > 0) needed else doubled;
            const left = frame.join.grow(pool, wanted) orelse
                frame.join.grow(pool, needed) orelse
                return wait_for_memory(streams, slot, connection);
            if (left != Join.empty.buffer) streams.release(left);
            stop_waiting(streams, connection);
            return true;
        }

        /// Until something becomes free. Where all that is in use belongs to connections that wait
        /// like this one nothing will.
        fn wait_for_memory(streams: *Streams, slot: u32, connection: *Connection) bool {
            const frame = &connection.frame;
            stop_waiting(streams, connection);
            frame.waiting_parts = connection.held.count;
            frame.waiting_joins = @intFromBool(frame.join.has_buffer());
            streams.waiting_parts += frame.waiting_parts;
            streams.waiting_joins += frame.waiting_joins;
            if (is_stuck(streams)) return refuse(connection, exhausted);
            streams.bufferless.push(streams.connections, slot);
            return false;
        }

        /// Whether nothing will become free: neither the script has anything nor a queue, and all
        /// others that have something wait as well, or cannot receive the rest of their messages,
        /// since what waits is in all receive buffers.
        fn is_stuck(streams: *const Streams) bool {
            const pool = streams.loop.pool;
            if (pool.leases > 0 or streams.loop.channel.borrowed_count > 0) return false;
            if (streams.nodes.free_count < streams.nodes.count()) return false;
            if (pool.supply.quarantine.bytes > 0) return false;
            const parts = streams.waiting_parts;
            if (pool.buffers_in_use <= parts + streams.waiting_joins) return true;
            return streams.loop.backend.buffers() == 0 and pool.received_in_use <= parts;
        }

        pub fn stop_waiting(streams: *Streams, connection: *Connection) void {
            const frame = &connection.frame;
            streams.waiting_parts -= frame.waiting_parts;
            streams.waiting_joins -= frame.waiting_joins;
            frame.waiting_parts = 0;
            frame.waiting_joins = 0;
        }

        /// Shows the complete message; false when the script may not have it now.
        fn finish(streams: *Streams, slot: u32, connection: *Connection) bool {
            const frame = &connection.frame;
            const is_joined = !is_scattered(connection) and frame.join.length > 0;
            const in_join = @intFromBool(frame.join.length > 0);
            const parts = if (is_joined) 1 else frame.scanned + 1 + in_join;
            const total = frame.scanner.total;
            if (!Lend.may_lend(streams, slot, connection, parts)) return false;
            if (is_joined and !reserve(streams, slot, connection, total)) return false;
            if (!connection.may_deliver(streams.loop.counters.turns, total)) {
                streams.attention.push(streams.connections, slot);
                return false;
            }
            if (is_joined) {
                const part = connection.held.at(&streams.segmented_nodes, 0);
                append(streams, connection, bytes_of(streams, part)[0..frame.ready]);
                take_first(streams, connection, frame.ready);
                frame.ready = 0;
            }
            show(streams, slot, connection);
            frame.begin();
            return true;
        }

        /// Drops bytes of the first part, all of it at the most.
        pub fn take_first(streams: *Streams, connection: *Connection, length: u32) void {
            if (length == 0) return;
            const nodes = &streams.segmented_nodes;
            if (length < connection.held.at(nodes, 0).length) {
                return connection.held.skip(nodes, length);
            }
            streams.release(connection.held.pop(streams.loop.pool, nodes).?.buffer);
        }

        fn show(streams: *Streams, slot: u32, connection: *Connection) void {
            const pieces = collect(streams, connection);
            const frame = &connection.frame;
            const total = frame.scanner.total;
            const before = last_but_one(streams, pieces);
            const strip = frame.scanner.strip(&connection.options.segmenter, before);
            var place: u32 = 0;
            for (pieces, 0..) |piece, index| {
                const end = place + piece.length;
                const first = std.math.clamp(strip.start, place, end);
                const last = std.math.clamp(total - strip.end, first, end);
                Lend.lend(streams, slot, connection, .{
                    .event = if (index == 0) .message else .message_part,
                    .result = if (index == 0) @intCast(pieces.len - 1) else 0,
                    .shown = .{
                        .buffer = piece.buffer,
                        .offset = piece.offset + (first - place),
                        .length = last - first,
                    },
                    .all = piece,
                });
                place = end;
            }
        }

        /// What a complete message lies in, with a reference on each.
        fn collect(streams: *Streams, connection: *Connection) []const Part {
            const frame = &connection.frame;
            const held = &connection.held;
            const pool = streams.loop.pool;
            const nodes = &streams.segmented_nodes;
            const pieces = &streams.pieces;
            var count: u32 = 0;
            if (frame.join.length > 0) {
                pieces[0] = .{ .buffer = frame.join.buffer, .length = frame.join.length };
                frame.join = .empty;
                count = 1;
            }
            for (0..frame.scanned) |_| {
                pieces[count] = held.pop(pool, nodes).?;
                count += 1;
            }
            if (frame.ready > 0) {
                var part = held.at(nodes, 0);
                if (frame.ready == part.length) {
                    _ = held.pop(pool, nodes);
                } else {
                    held.skip(nodes, frame.ready);
                    const counted = pool.retain(part.buffer);
                    std.debug.assert(counted);
                    part.length = frame.ready;
                }
                pieces[count] = part;
                count += 1;
            }
            return pieces[0..count];
        }

        /// The byte before the last one of a message; 0 where there is none.
        fn last_but_one(streams: *const Streams, pieces: []const Part) u8 {
            const last = bytes_of(streams, pieces[pieces.len - 1]);
            if (last.len > 1) return last[last.len - 2];
            if (pieces.len == 1) return 0;
            const before = bytes_of(streams, pieces[pieces.len - 2]);
            return before[before.len - 1];
        }

        /// Whether the peer's end may be told: after all messages, in a later turn, and not inside
        /// of one.
        pub fn may_end(streams: *Streams, slot: u32, connection: *Connection) bool {
            const frame = &connection.frame;
            if (connection.paused or frame.verdict != 0) return false;
            if (frame.is_inside(connection.held.count)) {
                frame.verdict = truncated_message;
            } else if (connection.held.count > 0) {
                return false;
            } else if (frame.lent_turn != streams.loop.counters.turns) {
                return true;
            }
            streams.attention.push(streams.connections, slot);
            return false;
        }

        /// Whether there is something to show yet before a connection that failed ends.
        pub fn has_undelivered(streams: *Streams, slot: u32, connection: *Connection) bool {
            const frame = &connection.frame;
            const is_rest = frame.is_inside(connection.held.count);
            if (connection.held.count > 0 and !is_rest) return true;
            if (frame.lent_turn != streams.loop.counters.turns) return false;
            streams.attention.push(streams.connections, slot);
            return true;
        }

        /// Gives the message under way back.
        pub fn drop(streams: *Streams, connection: *Connection) void {
            const frame = &connection.frame;
            stop_waiting(streams, connection);
            if (frame.join.has_buffer()) streams.release(frame.join.buffer);
            frame.join = .empty;
            frame.asked_bytes = 0;
            frame.lookahead = 0;
            frame.begin();
        }

        fn drop_parts(streams: *Streams, connection: *Connection) void {
            drop(streams, connection);
            while (connection.held.pop(streams.loop.pool, &streams.segmented_nodes)) |part| {
                streams.release(part.buffer);
            }
        }
    };
}
