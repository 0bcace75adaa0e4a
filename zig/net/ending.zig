//! How connections end: in order with a flush and a wait for the peer, at once, or at once after a
//! flush.
//!
//! Invariants: a connection ends once, with the first reason given; it is reported closed after its
//! last operation has ended, and its slot is free from then on.

const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const plain = @import("../loop/channel.zig").plain;
const Connection = @import("connection.zig").Connection;
const Ports = @import("ports.zig").Ports;
const Receiving = @import("receiving.zig").Receiving;
const Relaying = @import("relay.zig").Relaying;
const no_relay = @import("relays.zig").none;
const Sending = @import("sending.zig").Sending;

const aborted = @intFromEnum(layout.Status.aborted);

pub fn Ending(comptime Streams: type) type {
    const Port = Ports(Streams);
    const Receive = Receiving(Streams);
    const Send = Sending(Streams);
    return struct {
        const Relay = Relaying(Streams);

        /// Flush, end our direction, wait for the peer's end.
        pub fn close(streams: *Streams, slot: u32) void {
            const connection = &streams.connections[slot];
            switch (connection.state) {
                // It may have connected meanwhile: no peer is to take nothing for everything.
                .connecting => end(streams, slot, aborted, true),
                .resolving => end(streams, slot, aborted, false),
                .open => if (connection.relay == no_relay)
                    linger(streams, slot, connection)
                else
                    Relay.close(streams, slot, connection),
                .free, .lingering, .ending => {},
            }
        }

        /// The same for one that is open, whatever relay it is in.
        pub fn linger(streams: *Streams, slot: u32, connection: *Connection) void {
            connection.state = .lingering;
            connection.shutdown_wanted = true;
            connection.unsent = unsent_bytes(connection);
            streams.loop.start_user_timer(slot, connection.options.linger_timeout_ms);
            streams.attention.push(streams.connections, slot);
        }

        /// Resets a connection once its peer has taken everything that was queued, or nothing of it
        /// for the linger time limit.
        pub fn reset_when_sent(streams: *Streams, slot: u32) void {
            const connection = &streams.connections[slot];
            switch (connection.state) {
                .connecting => end(streams, slot, aborted, true),
                .resolving => end(streams, slot, aborted, false),
                .open => {
                    connection.resets = true;
                    linger(streams, slot, connection);
                },
                .free, .lingering, .ending => {},
            }
        }

        /// Ends a connection whatever is under way; `closed` follows when that has ended too.
        pub fn end(streams: *Streams, slot: u32, outcome: i32, reset: bool) void {
            const connection = &streams.connections[slot];
            if (connection.state == .ending) return;
            if (connection.state == .resolving) streams.attempts.abandon(connection.race);
            if (connection.relay != no_relay) {
                Relay.side_ends(streams, slot, connection, outcome == 0);
            }
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
            if (connection.resets) return reset_later(streams, slot, connection);
            const unsent = unsent_bytes(connection);
            if (unsent == 0) return end(streams, slot, 0, false);
            if (unsent >= connection.unsent) {
                return end(streams, slot, kernel.negative(.TIMEDOUT), true);
            }
            connection.unsent = unsent;
            streams.loop.start_user_timer(slot, connection.options.linger_timeout_ms);
        }

        /// Nobody tells when the peer has acknowledged the last byte, before which a reset would
        /// take it from the kernel's queue: it is asked for, ever less often.
        fn reset_later(streams: *Streams, slot: u32, connection: *Connection) void {
            const unsent = unsent_bytes(connection);
            const limit_ms = connection.options.linger_timeout_ms;
            if (unsent < connection.unsent) connection.waited_ms = 0;
            if (unsent == 0 or connection.waited_ms >= limit_ms) {
                return end(streams, slot, aborted, true);
            }
            connection.unsent = unsent;
            const delay_ms = @max(1, @min(connection.waited_ms, limit_ms - connection.waited_ms));
            connection.waited_ms += delay_ms;
            streams.loop.start_user_timer(slot, delay_ms);
        }

        /// Bytes that the peer has not acknowledged, ours and the kernel's.
        fn unsent_bytes(connection: *const Connection) u64 {
            return @as(u64, connection.queue.bytes) + Port.unsent(connection);
        }

        pub fn advance_lingering(streams: *Streams, slot: u32, connection: *Connection) void {
            Receive.drop_held(streams, connection);
            if (connection.failure != 0) return end_now(streams, slot, connection.failure);
            Send.start(streams, slot, connection);
            Receive.start_or_stop(streams, slot, connection);
            if (connection.resets) {
                const is_sent = connection.queue.bytes == 0 and !connection.sending;
                // Otherwise its timer runs.
                if (!is_sent or connection.waited_ms > 0) return;
                return reset_later(streams, slot, connection);
            }
            Send.shutdown_when_sent(streams, slot, connection);
            if (connection.peer_ended and connection.shutdown_done) end_now(streams, slot, 0);
        }

        pub fn advance_ending(streams: *Streams, slot: u32, connection: *Connection) void {
            Receive.drop_held(streams, connection);
            if (connection.has_operations()) {
                if (connection.cancelled) return;
                connection.cancelled = Port.cancel(streams, slot, connection, .all);
                if (!connection.cancelled) streams.attention.push(streams.connections, slot);
            } else if (streams.loop.channel.room() == 0) {
                streams.attention.push(streams.connections, slot);
            } else {
                finish(streams, slot, connection);
            }
        }

        fn finish(streams: *Streams, slot: u32, connection: *Connection) void {
            const loop = streams.loop;
            if (!Port.close(streams, slot, connection)) {
                return streams.attention.push(streams.connections, slot);
            }
            Send.drop(streams, connection);
            const outcome = connection.outcome;
            loop.channel.emit(plain(.closed, slot, connection.generation, outcome));
            free_slot(streams, slot, connection);
        }

        /// The connection is not the loop's any more.
        pub fn free_slot(streams: *Streams, slot: u32, connection: *Connection) void {
            const loop = streams.loop;
            loop.counters.closed += 1;
            connection.state = .free;
            connection.generation +%= 1;
            Send.mirror(streams, slot);
            streams.slots.give_back(streams.connections, slot, loop.counters.turns);
        }
    };
}
