//! What a relay does with large parts: it receives into one buffer, always the same, and sends from
//! there at once, so that the bytes are still in the processor's first cache. A backend receives
//! from all connections before the first send, which is cheaper for small parts; large ones are in
//! slow memory by then. A backend that makes a call for each receive and send has nothing to lose.
//!
//! While a direction forwards, the backend only tells when there is something to receive.
//!
//! Invariants: bytes keep their order, so nothing is received while something waits to be sent, or
//! was held back before. What the other side does not take goes into its queue, with the buffer.

const std = @import("std");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const Connection = @import("connection.zig").Connection;
const Receiving = @import("receiving.zig").Receiving;
const no_relay = @import("relays.zig").none;
const Sending = @import("sending.zig").Sending;

/// Parts that are worth it, or a buffer's worth where those are smaller.
const large_bytes = 8 * 1024;
/// So many of them in a row begin it.
const large_run = 4;
/// Less at once is not worth it, and so many times in a row end it.
const small_bytes = 4 * 1024;
const small_run = 8;
/// Most bytes of one move. The first cache has about as much.
const move_bytes = 32 * 1024;
/// Moves of one connection before others have their turn.
const moves_max = 4;

/// What the relays of a loop share for it.
pub const Forwards = struct {
    /// The buffer, of `move_bytes` and ours.
    buffer: u32 = contract.no_buffer,
    system_calls: u64 = 0,
};

pub fn Forwarding(comptime Streams: type) type {
    const Receive = Receiving(Streams);
    const Send = Sending(Streams);
    const Backend = Streams.Backend;
    const sockets = Streams.sockets;
    return struct {
        /// A relayed connection has received so much at once.
        pub fn note_received(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            length: u32,
        ) void {
            if (connection.forwards) return;
            if (!Backend.calls_singly) {
                const is_large = length >= @min(large_bytes, streams.loop.pool.buffer_size);
                connection.forward_run = if (is_large) connection.forward_run + 1 else 0;
                if (connection.forward_run < large_run) return;
                connection.forward_run = 0;
            }
            const other_slot = streams.relays.at(connection.relay).other(slot) orelse return;
            const other = &streams.connections[other_slot];
            if (connection.is_piped() or other.is_piped() or other.state != .open) return;
            if (!has_place(streams)) return;
            connection.forwards = true;
            streams.attention.push(streams.connections, slot);
        }

        /// Waits until there is something to receive. False where there is no room to begin now.
        pub fn wait(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            left: contract.Left,
        ) bool {
            connection.awaits = streams.loop.backend.await_readable(
                slot,
                connection.generation,
                connection.descriptor,
                left,
            );
            return connection.awaits;
        }

        /// There is something to receive, or the wait has ended.
        pub fn ready(streams: *Streams, slot: u32, connection: *Connection, result: i32) void {
            connection.receiving = false;
            connection.receive_cancelled = false;
            connection.awaits = false;
            switch (result) {
                0 => {},
                kernel.negative(.CANCELED), kernel.negative(.AGAIN), kernel.negative(.INTR) => {},
                else => connection.fail(result),
            }
            if (result == 0 and goes_on(streams, slot, connection)) {
                connection.receiving = true;
            } else {
                streams.attention.push(streams.connections, slot);
            }
        }

        /// Moves what there is; whether it then waits for more.
        fn goes_on(streams: *Streams, slot: u32, connection: *Connection) bool {
            const other_slot = destination(streams, slot, connection) orelse return false;
            const left = move(streams, slot, connection, other_slot) orelse return false;
            return connection.forwards and wait(streams, slot, connection, left);
        }

        /// The other side's slot, if what there is may go straight to it. Where it may not, and not
        /// just because the other side is full, the direction does not forward any more.
        fn destination(streams: *Streams, slot: u32, connection: *Connection) ?u32 {
            if (connection.failure != 0) return null;
            const other_slot = taker(streams, slot, connection) orelse {
                connection.forwards = false;
                return null;
            };
            return if (has_queued(&streams.connections[other_slot])) null else other_slot;
        }

        fn taker(streams: *Streams, slot: u32, connection: *const Connection) ?u32 {
            if (!connection.forwards or connection.relay == no_relay) return null;
            if (connection.state != .open or connection.held.count > 0) return null;
            const other_slot = streams.relays.at(connection.relay).other(slot) orelse return null;
            const other = &streams.connections[other_slot];
            if (other.state != .open or other.failure != 0 or other.shutdown_wanted) return null;
            return if (has_place(streams)) other_slot else null;
        }

        /// Whether bytes for the connection would overtake others.
        pub fn has_queued(other: *const Connection) bool {
            return other.queue.bytes > 0 or other.sending;
        }

        /// Whether there is the buffer, and a place for it in a queue.
        fn has_place(streams: *Streams) bool {
            if (streams.nodes.free_count == 0) return false;
            const forwards = &streams.forwards;
            if (forwards.buffer != contract.no_buffer) return true;
            const pool = streams.loop.pool;
            const buffer = pool.take(move_bytes) orelse return false;
            _ = pool.take_from_script(buffer);
            forwards.buffer = buffer;
            return true;
        }

        /// What is left to receive; null when something else is to be done first.
        fn move(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            other_slot: u32,
        ) ?contract.Left {
            const forwards = &streams.forwards;
            const options = &streams.relays.at(connection.relay).options;
            const length = @min(move_bytes, options.high_water_mark);
            const memory = streams.loop.pool.pointer(forwards.buffer)[0..length];
            for (0..moves_max) |_| {
                forwards.system_calls += 1;
                const rc = sockets.receive(connection.descriptor, memory);
                if (rc <= 0) return stop(connection, rc);
                const received: u32 = @intCast(rc);
                note_moved(streams, slot, connection, received);
                if (!give(streams, other_slot, received)) {
                    connection.held_back = true;
                    return null;
                }
                if (received < length) return .end_at_most;
            }
            return .unknown;
        }

        fn stop(connection: *Connection, rc: i32) ?contract.Left {
            switch (rc) {
                kernel.negative(.AGAIN) => {
                    count(connection, 0);
                    return .nothing;
                },
                kernel.negative(.INTR) => return .unknown,
                0 => Receive.note_end(connection),
                else => connection.fail(rc),
            }
            return null;
        }

        fn note_moved(streams: *Streams, slot: u32, connection: *Connection, bytes: u32) void {
            const loop = streams.loop;
            connection.active_ns = loop.now_ns;
            loop.counters.received_bytes += bytes;
            loop.counters.relayed_bytes += bytes;
            loop.channel.relayed[slot] += @floatFromInt(bytes);
            count(connection, bytes);
        }

        /// Several small moves end it.
        fn count(connection: *Connection, bytes: u32) void {
            if (Backend.calls_singly) return;
            connection.forward_run = if (bytes < small_bytes) connection.forward_run + 1 else 0;
            if (connection.forward_run < small_run) return;
            connection.forward_run = 0;
            connection.forwards = false;
        }

        /// Has the other side send the first bytes of the buffer; false when it did not take all.
        fn give(streams: *Streams, slot: u32, bytes: u32) bool {
            const forwards = &streams.forwards;
            const connection = &streams.connections[slot];
            forwards.system_calls += 1;
            const memory = streams.loop.pool.pointer(forwards.buffer)[0..bytes];
            const rc = sockets.send(connection.descriptor, memory);
            const sent: u32 = @intCast(@max(rc, 0));
            if (sent > 0) Send.note_sent(streams, slot, connection, sent);
            if (sent == bytes) return true;
            switch (rc) {
                kernel.negative(.AGAIN), kernel.negative(.INTR) => {},
                // We have not ended our direction: the peer is gone.
                kernel.negative(.PIPE) => connection.fail(kernel.negative(.CONNRESET)),
                else => if (rc < 0) connection.fail(rc),
            }
            streams.attention.push(streams.connections, slot);
            if (connection.failure == 0) queue_rest(streams, slot, sent, bytes - sent);
            return false;
        }

        fn queue_rest(streams: *Streams, slot: u32, offset: u32, length: u32) void {
            const forwards = &streams.forwards;
            const queued = streams.connections[slot].queue.push(&streams.nodes, .{
                .buffer = forwards.buffer,
                .offset = offset,
                .length = length,
            });
            std.debug.assert(queued);
            forwards.buffer = contract.no_buffer;
            Send.mirror(streams, slot);
        }

        /// No relay is left: nothing is kept for the next one.
        pub fn give_back(streams: *Streams) void {
            const buffer = streams.forwards.buffer;
            if (buffer == contract.no_buffer) return;
            streams.forwards.buffer = contract.no_buffer;
            streams.release(buffer);
        }
    };
}
