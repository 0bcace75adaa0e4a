//! How connections end: in order with a flush and a wait for the peer, or at once.
//!
//! Invariants: a connection ends once, with the first reason given; it is reported closed after its
//! last operation has ended, and its slot is free from then on.

const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const unsent_counts_end = @import("../sys/sockets.zig").unsent_counts_end;
const plain = @import("../loop/channel.zig").plain;
const Connection = @import("connection.zig").Connection;
const Receiving = @import("receiving.zig").Receiving;
const Sending = @import("sending.zig").Sending;

pub fn Ending(comptime Streams: type) type {
    const sockets = Streams.sockets;
    const Receive = Receiving(Streams);
    const Send = Sending(Streams);
    return struct {
        /// Flush, end our direction, wait for the peer's end.
        pub fn close(streams: *Streams, slot: u32) void {
            const connection = &streams.connections[slot];
            switch (connection.state) {
                // It may have connected meanwhile: no peer is to take nothing for everything.
                .connecting => end(streams, slot, @intFromEnum(layout.Status.aborted), true),
                .resolving => end(streams, slot, @intFromEnum(layout.Status.aborted), false),
                .open => {
                    connection.state = .lingering;
                    connection.shutdown_wanted = true;
                    connection.unsent = unsent_bytes(connection);
                    streams.loop.start_user_timer(slot, connection.options.linger_timeout_ms);
                },
                .free, .lingering, .ending => {},
            }
        }

        /// Ends a connection whatever is under way; `closed` follows when that has ended too.
        pub fn end(streams: *Streams, slot: u32, outcome: i32, reset: bool) void {
            const connection = &streams.connections[slot];
            if (connection.state == .ending) return;
            if (connection.state == .resolving) streams.attempts.abandon(connection.race);
            connection.state = .ending;
            connection.outcome = outcome;
            connection.reset = reset;
            streams.loop.stop_user_timer(slot);
            streams.attention.push(streams.connections, slot);
        }

        pub fn end_now(streams: *Streams, slot: u32, outcome: i32) void {
            end(streams, slot, outcome, outcome != 0);
            advance_ending(streams, slot, &streams.connections[slot]);
        }

        /// Ends every connection with a reset; their operations end in later turns.
        pub fn end_all(streams: *Streams, outcome: i32) void {
            for (streams.connections[0..streams.slots.fresh], 0..) |*connection, slot| {
                if (connection.state != .free) end(streams, @intCast(slot), outcome, true);
            }
        }

        /// A peer that goes on taking what was sent is waited for; one that took nothing in the
        /// whole time limit is reset. One that took everything may still be reading it, so that a
        /// reset would cost it bytes: the kernel waits for its end instead.
        pub fn linger_on(streams: *Streams, slot: u32) void {
            const connection = &streams.connections[slot];
            const unsent = unsent_bytes(connection);
            if (unsent == 0) return end(streams, slot, 0, false);
            if (unsent >= connection.unsent) {
                return end(streams, slot, kernel.negative(.TIMEDOUT), true);
            }
            connection.unsent = unsent;
            streams.loop.start_user_timer(slot, connection.options.linger_timeout_ms);
        }

        /// Bytes that the peer has not acknowledged, ours and the kernel's. The end that follows
        /// them counts as one with some kernels, but is nothing that a peer could miss.
        fn unsent_bytes(connection: *const Connection) u64 {
            const counted = unsent_counts_end and connection.family != .unix;
            const end_length: u32 = @intFromBool(counted and connection.shutdown_done);
            const in_kernel = sockets.unsent(connection.descriptor) -| end_length;
            return @as(u64, connection.queue.bytes) + in_kernel;
        }

        pub fn advance_lingering(streams: *Streams, slot: u32, connection: *Connection) void {
            Receive.drop_held(streams, connection);
            if (connection.failure != 0) return end_now(streams, slot, connection.failure);
            Send.start(streams, slot, connection);
            Receive.start_or_stop(streams, slot, connection);
            Send.shutdown_when_sent(connection);
            if (connection.peer_ended and connection.shutdown_done) end_now(streams, slot, 0);
        }

        pub fn advance_ending(streams: *Streams, slot: u32, connection: *Connection) void {
            Receive.drop_held(streams, connection);
            if (connection.has_operations()) {
                if (connection.cancelled) return;
                connection.cancelled = streams.loop.backend.cancel(
                    slot,
                    connection.generation,
                    connection.descriptor,
                    .all,
                );
                if (!connection.cancelled) streams.attention.push(streams.connections, slot);
            } else if (streams.loop.channel.room() == 0) {
                streams.attention.push(streams.connections, slot);
            } else {
                finish(streams, slot, connection);
            }
        }

        fn finish(streams: *Streams, slot: u32, connection: *Connection) void {
            const loop = streams.loop;
            if (connection.descriptor >= 0) {
                if (!loop.backend.forget(slot, connection.generation, connection.descriptor)) {
                    return streams.attention.push(streams.connections, slot);
                }
                if (connection.reset) {
                    sockets.reset(connection.descriptor);
                } else {
                    sockets.close(connection.descriptor);
                }
            }
            Send.drop(streams, connection);
            const outcome = connection.outcome;
            loop.channel.emit(plain(.closed, slot, connection.generation, outcome));
            loop.counters.closed += 1;
            connection.state = .free;
            connection.generation +%= 1;
            Send.mirror(streams, slot);
            streams.slots.give_back(streams.connections, slot, loop.counters.turns);
        }
    };
}
