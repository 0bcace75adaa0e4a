//! A connection's outgoing bytes: from the script's submission through the queue to the backend.
//!
//! Invariants: one send is under way per connection, so order is the queue's; the script's view of
//! the bytes queued is put right whenever it could differ; a reference that moved with a refused
//! send is given back.

const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const plain = @import("../loop/channel.zig").plain;
const Connection = @import("connection.zig").Connection;
const Relaying = @import("relay.zig").Relaying;
const no_relay = @import("relays.zig").none;
const nothing_passed = @import("passing.zig").none;
const Moving = @import("inproc/moving.zig").Moving;
const Ports = @import("ports.zig").Ports;

pub fn Sending(comptime Streams: type) type {
    const Move = Moving(Streams);
    const Port = Ports(Streams);
    return struct {
        const Relay = Relaying(Streams);

        /// Queues what the script sends; false when the submission is stale or malformed.
        pub fn apply(streams: *Streams, entry: layout.SendEntry) bool {
            const pool = streams.loop.pool;
            const passes = entry.flags & layout.send_flag_descriptors != 0;
            const passed = if (passes) staged(streams, &entry) else null;
            if (!pool.valid(entry.buffer, entry.buffer_generation)) {
                return refuse_with(streams, entry.slot, passed);
            }
            const moves = entry.flags & layout.send_flag_move != 0;
            const held = if (moves)
                pool.take_from_script(entry.buffer)
            else
                pool.retain(entry.buffer);
            if (!held) return refuse_with(streams, entry.slot, passed);
            // From here on one reference is ours, to queue or to give back.
            const is_whole = passed != null or !passes;
            if (is_whole and queue(streams, &entry, passed)) return true;
            streams.release(entry.buffer);
            return refuse_with(streams, entry.slot, passed);
        }

        /// The descriptors that an entry sends along; null where there are none.
        fn staged(streams: *Streams, entry: *const layout.SendEntry) ?u32 {
            const is_staged = streams.passing.is_staged(entry.descriptors);
            return if (is_staged) entry.descriptors else null;
        }

        fn refuse_with(streams: *Streams, slot: u32, passed: ?u32) bool {
            if (passed) |index| streams.passing.drop(index);
            return refuse(streams, slot);
        }

        fn queue(streams: *Streams, entry: *const layout.SendEntry, passed: ?u32) bool {
            const connection = streams.find(entry.slot, entry.generation) orelse return false;
            const size = streams.loop.pool.state(entry.buffer).bytes;
            if (entry.length == 0 or entry.length > size) return false;
            if (entry.offset > size - entry.length) return false;
            switch (connection.state) {
                .connecting, .resolving, .open => {},
                .free, .lingering, .ending => return false,
            }
            if (connection.shutdown_wanted or connection.detach != .none) return false;
            if (passed != null and !connection.passes()) return false;
            const copied = copy_out(streams, entry.buffer, entry.offset, entry.length);
            const queued = connection.queue.push(&streams.nodes, .{
                .buffer = copied orelse entry.buffer,
                .offset = if (copied == null) entry.offset else 0,
                .length = entry.length,
                .answer = entry.flags & layout.send_flag_answer != 0,
                .passed = passed orelse nothing_passed,
            });
            if (!queued) {
                if (copied) |unused| streams.release(unused);
                // The script was told how many there are: nothing may vanish from a stream.
                streams.end(entry.slot, @intFromEnum(layout.Status.exhausted), true);
                return false;
            }
            if (copied != null) streams.release(entry.buffer);
            if (passed) |index| streams.passing.queue(index);
            streams.attention.push(streams.connections, entry.slot);
            return true;
        }

        /// While receive buffers are scarce a short message does not keep one until a slow peer has
        /// taken it: its bytes move to a buffer of their size. Null where there is no need or none.
        pub fn copy_out(streams: *Streams, buffer: u32, offset: u32, length: u32) ?u32 {
            const pool = streams.loop.pool;
            const state = pool.state(buffer);
            if (!state.use.is_received() or length > state.bytes / 8) return null;
            if (!pool.receive_is_scarce()) return null;
            const copied = pool.take(length) orelse return null;
            _ = pool.take_from_script(copied);
            const from = pool.pointer(buffer)[offset..][0..length];
            @memcpy(pool.pointer(copied)[0..length], from);
            return copied;
        }

        /// The script has counted bytes that will not be sent: it gets the true number back.
        fn refuse(streams: *Streams, slot: u32) bool {
            if (slot < streams.connections.len) mirror(streams, slot);
            return false;
        }

        pub fn mirror(streams: *Streams, slot: u32) void {
            streams.loop.channel.queued[slot] = streams.connections[slot].queue.bytes;
        }

        pub fn start(streams: *Streams, slot: u32, connection: *Connection) void {
            if (connection.sending or connection.queue.bytes == 0) return;
            if (connection.failure != 0) return;
            if (connection.is_piped()) return move(streams, slot, connection);
            const segments = connection.queue.segments(
                &streams.nodes,
                streams.loop.pool,
                &streams.segments,
            );
            const backend = &streams.loop.backend;
            const generation = connection.generation;
            const descriptor = connection.descriptor;
            connection.sending = if (connection.queue.passed(&streams.nodes)) |index|
                backend.send_control(
                    slot,
                    generation,
                    descriptor,
                    segments[0],
                    streams.passing.control_of(index),
                )
            else
                backend.send(slot, generation, descriptor, segments);
            if (!connection.sending) streams.attention.push(streams.connections, slot);
        }

        fn move(streams: *Streams, slot: u32, connection: *Connection) void {
            const outcome = Move.move(streams, slot, connection);
            if (outcome.moved > 0) note_sent(streams, slot, connection, outcome.moved);
            switch (outcome.stop) {
                .done => {},
                .full => connection.sending = true,
                .bufferless => streams.bufferless.push(streams.connections, slot),
                .refused => complete(streams, slot, connection, kernel.negative(.PIPE)),
            }
        }

        /// The connection's send completed with bytes sent, 0 for "try again", or a negated errno.
        pub fn complete(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            result: i32,
        ) void {
            connection.sending = false;
            if (result > 0) {
                if (connection.passes()) passed_on(streams, connection);
                sent(streams, slot, connection, @intCast(result));
            } else switch (result) {
                0,
                kernel.negative(.AGAIN),
                kernel.negative(.INTR),
                kernel.negative(.CANCELED),
                => {},
                // We have not ended our direction: the peer is gone.
                kernel.negative(.PIPE) => connection.fail(kernel.negative(.CONNRESET)),
                else => connection.fail(result),
            }
            const settled = connection.state == .open and result > 0 and
                connection.queue.bytes == 0 and !connection.drain_wanted and
                !connection.held_back and !connection.shutdown_wanted and
                connection.detach == .none;
            if (!settled) streams.attention.push(streams.connections, slot);
        }

        fn sent(streams: *Streams, slot: u32, connection: *Connection, length: u32) void {
            var rest = length;
            while (connection.queue.take_sent(&streams.nodes, &rest)) |buffer| {
                streams.release(buffer);
            }
            note_sent(streams, slot, connection, length);
        }

        /// So many bytes have left.
        pub fn note_sent(streams: *Streams, slot: u32, connection: *Connection, length: u32) void {
            const loop = streams.loop;
            loop.counters.sent_bytes += length;
            connection.active_ns = loop.now_ns;
            mirror(streams, slot);
            if (connection.relay != no_relay) Relay.sent(streams, slot, connection);
            if (connection.state == .lingering) {
                connection.waited_ms = 0;
                loop.start_user_timer(slot, connection.options.linger_timeout_ms);
            }
        }

        /// The kernel has the descriptors that went with the first byte.
        fn passed_on(streams: *Streams, connection: *Connection) void {
            const index = connection.queue.passed(&streams.nodes) orelse return;
            streams.passing.drop(index);
            connection.queue.clear_passed(&streams.nodes);
        }

        /// Ends our direction once everything queued is sent.
        pub fn shutdown_when_sent(streams: *Streams, slot: u32, connection: *Connection) void {
            if (!connection.shutdown_wanted or connection.shutdown_done) return;
            if (connection.queue.bytes > 0 or connection.sending) return;
            connection.shutdown_done = true;
            const rc = Port.shutdown(streams, slot, connection);
            // ENOTCONN: the peer reset; the receive reports it with the true reason.
            if (rc < 0 and rc != kernel.negative(.NOTCONN)) connection.failure = rc;
        }

        pub fn report_drain(streams: *Streams, slot: u32, connection: *Connection) void {
            if (!connection.drain_wanted) return;
            if (!has_room(connection)) return;
            const loop = streams.loop;
            const nodes = &streams.nodes;
            const places = @min(@max(1, connection.drain_parts) + nodes.reserve(), nodes.count());
            const has_places = nodes.free_count >= places;
            if (!has_places or !loop.pool.may_take(connection.drain_buffer_bytes)) {
                return streams.bufferless.push(streams.connections, slot);
            }
            if (loop.channel.room() == 0) {
                return streams.attention.push(streams.connections, slot);
            }
            connection.drain_wanted = false;
            loop.channel.emit(plain(.drain, slot, connection.generation, 0));
        }

        /// Whether the message that was refused would be taken now, and not just before the queue
        /// is half empty.
        fn has_room(connection: *const Connection) bool {
            const queued = connection.queue.bytes;
            const mark = connection.options.high_water_mark;
            if (queued == 0) return true;
            return queued <= mark / 2 and connection.drain_bytes <= mark - queued;
        }

        /// Gives back what will not be sent.
        pub fn drop(streams: *Streams, connection: *Connection) void {
            while (connection.queue.bytes > 0) {
                if (connection.queue.passed(&streams.nodes)) |index| streams.passing.drop(index);
                streams.release(connection.queue.pop(&streams.nodes).?);
            }
        }
    };
}
