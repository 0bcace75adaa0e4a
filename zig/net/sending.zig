//! A connection's outgoing bytes: from the script's submission through the queue to the backend.
//!
//! Invariants: one send is under way per connection, so order is the queue's; the script's view of
//! the bytes queued is put right whenever it could differ; a reference that moved with a refused
//! send is given back.

const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const plain = @import("../loop/channel.zig").plain;
const Connection = @import("connection.zig").Connection;

pub fn Sending(comptime Streams: type) type {
    const sockets = Streams.sockets;
    return struct {
        /// Queues what the script sends; false when the submission is stale or malformed.
        pub fn apply(streams: *Streams, entry: layout.SendEntry) bool {
            const pool = streams.loop.pool;
            if (!pool.valid(entry.buffer, entry.buffer_generation)) {
                return refuse(streams, entry.slot);
            }
            const moves = entry.flags & layout.send_flag_move != 0;
            const held = if (moves)
                pool.take_from_script(entry.buffer)
            else
                pool.retain(entry.buffer);
            if (!held) return refuse(streams, entry.slot);
            // From here on one reference is ours, to queue or to give back.
            if (queue(streams, &entry)) return true;
            streams.release(entry.buffer);
            return refuse(streams, entry.slot);
        }

        fn queue(streams: *Streams, entry: *const layout.SendEntry) bool {
            const connection = streams.find(entry.slot, entry.generation) orelse return false;
            const size = streams.loop.pool.state(entry.buffer).bytes;
            if (entry.length == 0 or entry.length > size) return false;
            if (entry.offset > size - entry.length) return false;
            switch (connection.state) {
                .connecting, .resolving, .open => {},
                .free, .lingering, .ending => return false,
            }
            if (connection.shutdown_wanted) return false;
            const copied = copy_out(streams, entry);
            const queued = connection.queue.push(&streams.nodes, .{
                .buffer = copied orelse entry.buffer,
                .offset = if (copied == null) entry.offset else 0,
                .length = entry.length,
                .answer = entry.flags & layout.send_flag_answer != 0,
            });
            if (!queued) {
                if (copied) |unused| streams.release(unused);
                // The script was told how many there are: nothing may vanish from a stream.
                streams.end(entry.slot, @intFromEnum(layout.Status.exhausted), true);
                return false;
            }
            if (copied != null) streams.release(entry.buffer);
            streams.attention.push(streams.connections, entry.slot);
            return true;
        }

        /// While receive buffers are scarce a short message does not keep one until a slow peer has
        /// taken it: its bytes move to a buffer of their size. Null where there is no need or none.
        fn copy_out(streams: *Streams, entry: *const layout.SendEntry) ?u32 {
            const pool = streams.loop.pool;
            const state = pool.state(entry.buffer);
            if (!state.use.is_received() or entry.length > state.bytes / 8) return null;
            if (!pool.receive_is_scarce()) return null;
            const copied = pool.take(entry.length) orelse return null;
            _ = pool.take_from_script(copied);
            const from = pool.pointer(entry.buffer)[entry.offset..][0..entry.length];
            @memcpy(pool.pointer(copied)[0..entry.length], from);
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
            const segments = connection.queue.segments(
                &streams.nodes,
                streams.loop.pool,
                &streams.segments,
            );
            connection.sending = streams.loop.backend.send(
                slot,
                connection.generation,
                connection.descriptor,
                segments,
            );
            if (!connection.sending) streams.attention.push(streams.connections, slot);
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
                !connection.held_back and !connection.shutdown_wanted;
            if (!settled) streams.attention.push(streams.connections, slot);
        }

        fn sent(streams: *Streams, slot: u32, connection: *Connection, length: u32) void {
            const loop = streams.loop;
            loop.counters.sent_bytes += length;
            connection.active_ns = loop.now_ns;
            var rest = length;
            while (connection.queue.take_sent(&streams.nodes, &rest)) |buffer| {
                streams.release(buffer);
            }
            mirror(streams, slot);
            if (connection.state == .lingering) {
                loop.start_user_timer(slot, connection.options.linger_timeout_ms);
            }
        }

        /// Ends our direction once everything queued is sent.
        pub fn shutdown_when_sent(connection: *Connection) void {
            if (!connection.shutdown_wanted or connection.shutdown_done) return;
            if (connection.queue.bytes > 0 or connection.sending) return;
            connection.shutdown_done = true;
            const rc = sockets.shutdown_send(connection.descriptor);
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
            while (connection.queue.pop(&streams.nodes)) |buffer| {
                streams.release(buffer);
            }
        }
    };
}
