//! Sending into a pipe: buffers that nobody else uses change their owner with the bytes in them.
//!
//! Bytes are copied where somebody uses the buffer too or it is memory of the application, and
//! where several short messages follow each other: together they cost one buffer instead of one
//! each. Invariants: bytes keep their order; what is taken from the queue is in the pipe, all of
//! it shown to the other end at once. Used by the loop's thread.

const std = @import("std");
const layout = @import("../../layout.zig");
const Connection = @import("../connection.zig").Connection;
const Part = @import("../send_queue.zig").Part;
const Ring = @import("ring.zig").Ring;
const Side = @import("pipe.zig").Side;

/// Most bytes that are copied to one buffer because the one that they are in cannot be had.
const copied_max = 65_536;
/// Messages are short that are less than this part of a receive buffer, in which they are gathered.
const short_part = 8;

pub const Stop = enum {
    /// Nothing is left.
    done,
    /// The pipe is full; a send completes when it is not.
    full,
    /// There is no buffer to copy to.
    bufferless,
    /// The other end takes no more.
    refused,
};

pub const Outcome = struct { moved: u32, stop: Stop };

pub fn Moving(comptime Streams: type) type {
    return struct {
        /// Moves what is queued on a connection into its pipe, as far as that has room.
        pub fn move(streams: *Streams, slot: u32, connection: *Connection) Outcome {
            const peers = &streams.peers;
            const side = peers.side_of(slot);
            const ring = &side.out;
            if (ring.is_refused()) return .{ .moved = 0, .stop = .refused };
            const before = connection.queue.bytes;
            const stop = move_all(streams, connection, side);
            show(streams, side);
            if (stop == .full) peers.await_room(slot);
            streams.loop.policy.note_peers();
            return .{ .moved = before - connection.queue.bytes, .stop = stop };
        }

        fn show(streams: *Streams, side: *Side) void {
            if (side.out.show()) streams.peers.tell(side);
        }

        fn move_all(streams: *Streams, connection: *Connection, side: *Side) Stop {
            const pool = streams.loop.pool;
            const ring = &side.out;
            const short_max = pool.buffer_size / short_part;
            while (connection.queue.first(&streams.nodes)) |part| {
                if (part.length <= short_max) {
                    const run = connection.queue.run(&streams.nodes, short_max, pool.buffer_size);
                    if (run.count > 1) {
                        if (!has_room(streams, side, run.bytes)) return .full;
                        if (gather(streams, connection, ring, run.bytes)) continue;
                    }
                }
                if (!has_room(streams, side, part.length)) return .full;
                if (move_one(streams, connection, ring, part)) continue;
                if (!copy(streams, connection, ring, part)) return .bufferless;
            }
            return .done;
        }

        /// A pipe without room tells when there is some.
        fn has_room(streams: *Streams, side: *Side, length: u32) bool {
            if (side.out.has_room(length)) return true;
            // What is there has to be taken first.
            show(streams, side);
            return !side.out.await_room(length);
        }

        /// The whole first part, buffer and all; false when somebody uses the buffer too.
        fn move_one(
            streams: *Streams,
            connection: *Connection,
            ring: *Ring,
            part: Part,
        ) bool {
            const pool = streams.loop.pool;
            const generation = pool.state(part.buffer).generation();
            const freed = pool.move(part.buffer) orelse return false;
            _ = connection.queue.pop(&streams.nodes);
            ring.give(.{
                .buffer = part.buffer,
                .generation = generation,
                .offset = part.offset,
                .length = part.length,
            });
            streams.returned(freed);
            return true;
        }

        /// The start of the first part, in a buffer of its own; false when there is none.
        fn copy(streams: *Streams, connection: *Connection, ring: *Ring, part: Part) bool {
            const pool = streams.loop.pool;
            var length = @min(part.length, copied_max);
            const buffer = pool.take(length) orelse least: {
                length = @min(length, layout.buffer_unit);
                break :least pool.take(length) orelse return false;
            };
            const from = pool.pointer(part.buffer)[part.offset..][0..length];
            @memcpy(pool.pointer(buffer)[0..length], from);
            give_own(streams, ring, buffer, length);
            take_sent(streams, connection, length);
            return true;
        }

        /// The first `bytes` of the queue, in one buffer; false when there is none.
        fn gather(streams: *Streams, connection: *Connection, ring: *Ring, bytes: u32) bool {
            const pool = streams.loop.pool;
            const buffer = pool.take(bytes) orelse return false;
            var at: u32 = 0;
            while (at < bytes) {
                const part = connection.queue.first(&streams.nodes).?;
                const from = pool.pointer(part.buffer)[part.offset..][0..part.length];
                @memcpy(pool.pointer(buffer)[at..][0..part.length], from);
                at += part.length;
                take_sent(streams, connection, part.length);
            }
            give_own(streams, ring, buffer, bytes);
            return true;
        }

        /// A buffer that was just taken.
        fn give_own(streams: *Streams, ring: *Ring, buffer: u32, length: u32) void {
            const pool = streams.loop.pool;
            const generation = pool.state(buffer).generation();
            const is_taken = pool.take_from_script(buffer);
            std.debug.assert(is_taken);
            const moved = pool.move(buffer);
            std.debug.assert(moved != null);
            ring.give(.{
                .buffer = buffer,
                .generation = generation,
                .offset = 0,
                .length = length,
            });
        }

        fn take_sent(streams: *Streams, connection: *Connection, length: u32) void {
            var rest = length;
            while (connection.queue.take_sent(&streams.nodes, &rest)) |buffer| {
                streams.release(buffer);
            }
        }
    };
}
