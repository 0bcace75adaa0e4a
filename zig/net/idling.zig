//! What the timer of an open connection is for: a time limit for silence, and a look at connections
//! that nobody reads.
//!
//! Bytes only note when they moved; the timer looks at that when it fires, and goes on with the
//! rest of the limit, so that no message starts a timer. A kernel tells of a reset to whoever reads
//! or sends. On a connection that does neither, because it is paused, waits for credits or has had
//! its peer's end, it is looked for about once a second.
//!
//! Invariant: while a connection is open and has a limit or is looked at, its timer runs.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Connection = @import("connection.zig").Connection;

const look_interval_ms = 1000;

pub fn Idling(comptime Streams: type) type {
    const sockets = Streams.sockets;
    return struct {
        /// The connection has opened, or has another limit now.
        pub fn start(streams: *Streams, slot: u32, connection: *Connection) void {
            connection.active_ns = streams.loop.now_ns;
            start_timer(streams, slot, connection);
        }

        /// Nobody reads the connection now.
        pub fn look_later(streams: *Streams, slot: u32, connection: *Connection) void {
            if (connection.is_looked_at) return;
            connection.is_looked_at = true;
            start_timer(streams, slot, connection);
        }

        pub fn timer_fired(streams: *Streams, slot: u32, connection: *Connection) void {
            if (connection.options.idle_timeout_ms > 0 and rest_ns(streams, connection) == 0) {
                return streams.end(slot, @intFromEnum(layout.Status.idle_timeout), true);
            }
            if (connection.is_looked_at) look(streams, slot, connection);
            start_timer(streams, slot, connection);
        }

        fn look(streams: *Streams, slot: u32, connection: *Connection) void {
            connection.is_looked_at = !connection.receiving and connection.failure == 0;
            if (!connection.is_looked_at) return;
            const failure = sockets.failure(connection.descriptor);
            if (failure >= 0) return;
            const is_reset = failure == kernel.negative(.PIPE);
            connection.fail(if (is_reset) kernel.negative(.CONNRESET) else failure);
            connection.is_looked_at = false;
            streams.attention.push(streams.connections, slot);
        }

        fn start_timer(streams: *Streams, slot: u32, connection: *const Connection) void {
            const limit = connection.options.idle_timeout_ms;
            const rest = (rest_ns(streams, connection) + std.time.ns_per_ms - 1) /
                std.time.ns_per_ms;
            const look_ms: u64 = if (connection.is_looked_at) look_interval_ms else never_ms;
            const delay_ms = @min(look_ms, if (limit > 0) rest else never_ms);
            if (delay_ms == never_ms) {
                streams.loop.stop_user_timer(slot);
            } else {
                streams.loop.start_user_timer(slot, @intCast(delay_ms));
            }
        }

        const never_ms: u64 = std.math.maxInt(u64);

        /// How much of the limit is left.
        fn rest_ns(streams: *const Streams, connection: *const Connection) u64 {
            const limit_ms: u64 = connection.options.idle_timeout_ms;
            const silent_ns = streams.loop.now_ns -| connection.active_ns;
            return limit_ms * std.time.ns_per_ms -| silent_ns;
        }
    };
}
