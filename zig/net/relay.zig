//! A relay: what arrives on one connection is sent on the other, and the other way round, without
//! the script.
//!
//! Invariants: bytes keep their order, behind what the script had queued before; a buffer goes on
//! whole, with the connection that received it answering for it until it is sent; a side is not
//! read while more than the mark waits at the other, until half of it is left. A side that forwards
//! (`forwarding.zig`) is not read while anything waits there. A direction that ends is ended at the
//! other side behind its bytes. An error of one side resets the other, once its peer has taken what
//! had arrived before.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Connection = @import("connection.zig").Connection;
const Ending = @import("ending.zig").Ending;
const Forwarding = @import("forwarding.zig").Forwarding;
const Part = @import("held.zig").Part;
const relays_module = @import("relays.zig");
const Relay = relays_module.Relay;
const Sending = @import("sending.zig").Sending;

const idle_timeout = @intFromEnum(layout.Status.idle_timeout);
const bad_argument = @intFromEnum(layout.Status.bad_argument);
const busy = @intFromEnum(layout.Status.busy);
const stale_handle = @intFromEnum(layout.Status.stale_handle);

/// The longest time limit.
const limit_max_ms = 1 << 30;

pub fn Relaying(comptime Streams: type) type {
    return struct {
        const End = Ending(Streams);
        const Send = Sending(Streams);
        const Forward = Forwarding(Streams);

        /// Joins two connections; 0, or a negative status. Nothing moves before the next `attend`,
        /// so that what the script has still to send goes first.
        pub fn join(streams: *Streams, options: *const layout.RelayOptions) i32 {
            const slots = [2]u32{ options.first_slot, options.second_slot };
            const generations = [2]u32{ options.first_generation, options.second_generation };
            if (slots[0] == slots[1] or !valid(streams, options)) return bad_argument;
            for (slots, generations) |slot, generation| {
                const connection = streams.find(slot, generation) orelse return stale_handle;
                switch (connection.state) {
                    .resolving, .connecting, .open => {},
                    .free, .lingering, .ending => return stale_handle,
                }
                if (connection.relay != relays_module.none) return busy;
                if (connection.detach != .none) return stale_handle;
                if (connection.is_segmented() or connection.passes()) return bad_argument;
                if (connection.shutdown_wanted) return kernel.negative(.PIPE);
            }
            const index = streams.relays.add(slots, .{
                .high_water_mark = options.high_water_mark,
                .idle_timeout_ms = options.idle_timeout_ms,
                .half_open_timeout_ms = options.half_open_timeout_ms,
            }, streams.loop.now_ns);
            for (slots) |slot| {
                const connection = &streams.connections[slot];
                connection.relay = index;
                connection.paused = false;
                connection.drain_wanted = false;
                // The script may have been told of it already; the other peer has not.
                connection.end_reported = false;
                streams.loop.channel.relayed[slot] = 0;
                streams.attention.push(streams.connections, slot);
            }
            start_timer(streams, index);
            return 0;
        }

        fn valid(streams: *const Streams, options: *const layout.RelayOptions) bool {
            return options.high_water_mark >= 2 * streams.loop.pool.buffer_size and
                options.high_water_mark <= 1 << 30 and
                options.idle_timeout_ms <= limit_max_ms and
                options.half_open_timeout_ms <= limit_max_ms;
        }

        /// Sends on what arrived on a relayed connection. False where there is no place for it now.
        pub fn pass(streams: *Streams, slot: u32, connection: *Connection, part: Part) bool {
            const relay = streams.relays.at(connection.relay);
            const other_slot = relay.other(slot) orelse return drop(streams, part);
            const other = &streams.connections[other_slot];
            switch (other.state) {
                .resolving, .connecting, .open => {},
                .free, .lingering, .ending => return drop(streams, part),
            }
            const copied = Send.copy_out(streams, part.buffer, part.offset, part.length);
            const queued = other.queue.push(&streams.nodes, .{
                .buffer = copied orelse part.buffer,
                .offset = if (copied == null) part.offset else 0,
                .length = part.length,
            });
            if (!queued) {
                if (copied) |unused| streams.release(unused);
                return false;
            }
            if (copied != null) streams.release(part.buffer);
            const loop = streams.loop;
            loop.counters.relayed_bytes += part.length;
            loop.channel.relayed[slot] += @floatFromInt(part.length);
            Send.mirror(streams, other_slot);
            streams.attention.push(streams.connections, other_slot);
            Forward.note_received(streams, slot, connection, part.length);
            connection.held_back = is_full(relay, connection, other);
            return true;
        }

        /// Nobody takes it any more.
        fn drop(streams: *Streams, part: Part) bool {
            streams.release(part.buffer);
            return true;
        }

        /// Whether to stop reading, or not to go on yet. Once a side has failed nothing more will
        /// come of it, and what did is to leave with its connection.
        fn is_full(
            relay: *const Relay,
            connection: *const Connection,
            other: *const Connection,
        ) bool {
            if (connection.failure != 0) return false;
            if (connection.forwards) return Forward.has_queued(other);
            const divisor: u32 = if (connection.held_back) 2 else 1;
            return other.queue.bytes > relay.options.high_water_mark / divisor;
        }

        pub fn update_hold(streams: *Streams, slot: u32, connection: *Connection) void {
            const relay = streams.relays.at(connection.relay);
            connection.held_back = if (relay.other(slot)) |other|
                is_full(relay, connection, &streams.connections[other])
            else
                false;
        }

        /// Sends on what was held back, as far as it goes.
        pub fn pass_held(streams: *Streams, slot: u32, connection: *Connection) void {
            const pool = streams.loop.pool;
            const nodes = streams.nodes_of(connection);
            while (!connection.held_back) {
                const part = connection.held.pop(pool, nodes) orelse return;
                if (pass(streams, slot, connection, part)) continue;
                connection.held.push_first(pool, nodes, part);
                return streams.bufferless.push(streams.connections, slot);
            }
        }

        /// Bytes of a relayed connection's queue have left: the other side may be read again.
        pub fn sent(streams: *Streams, slot: u32, connection: *const Connection) void {
            const relay = streams.relays.at(connection.relay);
            const other_slot = relay.other(slot) orelse return;
            const other = &streams.connections[other_slot];
            if (!other.held_back or is_full(relay, other, connection)) return;
            streams.attention.push(streams.connections, other_slot);
        }

        /// The peer has ended its direction, and everything before that is queued at the other
        /// side: that side's direction ends behind it.
        pub fn pass_end(streams: *Streams, slot: u32, connection: *Connection) void {
            if (!connection.peer_ended or connection.end_reported) return;
            if (connection.held.count > 0) return;
            connection.end_reported = true;
            const relay = streams.relays.at(connection.relay);
            relay.half_open = true;
            relay.since_ns = streams.loop.now_ns;
            start_timer(streams, connection.relay);
            const other_slot = relay.other(slot) orelse return;
            streams.connections[other_slot].shutdown_wanted = true;
            streams.attention.push(streams.connections, other_slot);
        }

        /// The script closes one side: what was read goes on, then both close in order.
        pub fn close(streams: *Streams, slot: u32, connection: *Connection) void {
            const sides = streams.relays.at(connection.relay).sides;
            pass_rest(streams, slot, connection);
            for (sides) |side| {
                if (side == slot or side == relays_module.none) continue;
                pass_rest(streams, side, &streams.connections[side]);
                End.linger(streams, slot, connection);
                End.close(streams, side);
                return;
            }
            End.linger(streams, slot, connection);
        }

        fn pass_rest(streams: *Streams, slot: u32, connection: *Connection) void {
            connection.held_back = false;
            const nodes = streams.nodes_of(connection);
            while (connection.held.pop(streams.loop.pool, nodes)) |part| {
                if (!pass(streams, slot, connection, part)) streams.release(part.buffer);
            }
        }

        /// A relayed connection ends. In order: the other side goes on by itself. With an error:
        /// it takes the other side with it.
        pub fn side_ends(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            in_order: bool,
        ) void {
            const index = connection.relay;
            const other = streams.relays.at(index).other(slot);
            leave(streams, slot, connection);
            if (in_order) return;
            const other_slot = other orelse return;
            leave(streams, other_slot, &streams.connections[other_slot]);
            End.reset_when_sent(streams, other_slot);
        }

        fn leave(streams: *Streams, slot: u32, connection: *Connection) void {
            const index = connection.relay;
            connection.relay = relays_module.none;
            connection.forwards = false;
            if (!streams.relays.end_side(index, slot)) return;
            streams.loop.stop_user_timer(streams.relay_timer(index));
            if (streams.relays.open_count == 0) Forward.give_back(streams);
        }

        fn start_timer(streams: *Streams, index: u32) void {
            const limit_ms = streams.relays.at(index).limit_ms();
            if (limit_ms == 0) return;
            streams.loop.start_user_timer(streams.relay_timer(index), limit_ms);
        }

        /// So long after it was started: bytes that moved meanwhile have not moved the timer.
        pub fn timer_fired(streams: *Streams, index: u32) void {
            const relay = streams.relays.at(index);
            const limit_ns = @as(u64, relay.limit_ms()) * std.time.ns_per_ms;
            note_activity(streams, relay);
            const idle_ns = streams.loop.now_ns -| relay.since_ns;
            if (idle_ns < limit_ns) {
                const rest_ms = (limit_ns - idle_ns + std.time.ns_per_ms - 1) / std.time.ns_per_ms;
                const timer = streams.relay_timer(index);
                return streams.loop.start_user_timer(timer, @intCast(rest_ms));
            }
            const sides = relay.sides;
            for (sides) |slot| {
                if (slot != relays_module.none) leave(streams, slot, &streams.connections[slot]);
            }
            for (sides) |slot| {
                if (slot == relays_module.none) continue;
                // One that is being closed has the time limit of that.
                if (streams.connections[slot].state == .lingering) continue;
                End.end(streams, slot, idle_timeout, true);
            }
        }

        fn note_activity(streams: *const Streams, relay: *Relay) void {
            for (relay.sides) |slot| {
                if (slot == relays_module.none) continue;
                const connection = &streams.connections[slot];
                // Connecting has a time limit of its own.
                const state = connection.state;
                const is_connecting = state == .connecting or state == .resolving;
                const active_ns = if (is_connecting) streams.loop.now_ns else connection.active_ns;
                relay.since_ns = @max(relay.since_ns, active_ns);
            }
        }
    };
}
