//! A connection's incoming bytes: from the backend to the script, or held back until it wants them.
//!
//! Invariants: bytes reach the script in order; a buffer is shown, held or given back, never two of
//! these; the peer's end is reported after everything before it.

const std = @import("std");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const plain = @import("../loop/channel.zig").plain;
const messages = @import("messages.zig");
const Connection = @import("connection.zig").Connection;
const Held = @import("held.zig").Held;
const Forwarding = @import("forwarding.zig").Forwarding;
const Framing = @import("framing.zig").Framing;
const Lending = @import("lending.zig").Lending;
const Part = @import("held.zig").Part;
const Relaying = @import("relay.zig").Relaying;
const no_relay = @import("relays.zig").none;
const Ports = @import("ports.zig").Ports;

/// No place to hold back what arrived.
const no_buffers = kernel.negative(.NOBUFS);

pub fn Receiving(comptime Streams: type) type {
    const Port = Ports(Streams);
    const sockets = Streams.sockets;
    const Frames = Framing(Streams);
    const Lend = Lending(Streams);
    return struct {
        const Relay = Relaying(Streams);
        const Forward = Forwarding(Streams);

        /// A completion of the connection's receive.
        pub fn complete(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            completion: contract.Completion,
        ) void {
            if (!completion.more) {
                connection.receiving = false;
                connection.receive_cancelled = false;
            }
            const result = completion.result;
            if (completion.kind == .receive_message and completion.buffer != contract.no_buffer) {
                messages.unpack(streams, connection, completion.buffer, @intCast(result));
                // An end has a buffer as well.
                if (result == 0) streams.release(completion.buffer);
            }
            if (result > 0) {
                connection.active_ns = streams.loop.now_ns;
                connection.was_fed = true;
                arrived(streams, slot, connection, .{
                    .buffer = completion.buffer,
                    .offset = completion.offset,
                    .length = @intCast(result),
                });
                if (connection.passes()) connection.arrivals.received += @intCast(result);
                if (completion.more and connection.failure == 0) return;
            } else if (result == 0) {
                note_end(connection);
            } else switch (result) {
                kernel.negative(.CANCELED), kernel.negative(.AGAIN), kernel.negative(.INTR) => {},
                kernel.negative(.NOBUFS) => {
                    streams.loop.counters.starved += 1;
                    streams.starved.push(streams.connections, slot);
                },
                else => connection.fail(result),
            }
            streams.attention.push(streams.connections, slot);
        }

        /// The socket has nothing more to receive.
        pub fn note_end(connection: *Connection) void {
            if (hides_reset(connection)) {
                connection.fail(kernel.negative(.CONNRESET));
            } else {
                connection.peer_ended = true;
            }
        }

        /// A kernel tells of an error once. A send may have been told, and have kept it back
        /// because it had sent something before: then the receive reads an end where there is none.
        fn hides_reset(connection: *const Connection) bool {
            if (connection.queue.bytes == 0 or connection.shutdown_done) return false;
            if (connection.family == .unix or connection.is_piped()) return false;
            return sockets.is_dead(connection.descriptor);
        }

        /// Shows bytes to the script, or gives them to the relay, or holds them back, or drops them
        /// when nobody wants them.
        fn arrived(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            part: Part,
        ) void {
            streams.loop.counters.received_bytes += part.length;
            if (connection.state != .open or connection.failure == no_buffers) {
                return streams.release(part.buffer);
            }
            if (connection.is_segmented()) return Frames.arrived(streams, slot, connection, part);
            const stopped = connection.paused or connection.held_back;
            const wanted = !stopped and connection.detach == .none;
            const first = connection.held.count == 0;
            if (wanted and first and consume(streams, slot, connection, part)) {
                const goes_on = connection.buffers < streams.allowance(connection);
                if (goes_on and !connection.held_back) return;
            } else {
                const nodes = streams.nodes_of(connection);
                if (!connection.held.push(streams.loop.pool, nodes, part)) {
                    streams.release(part.buffer);
                    connection.fail(no_buffers);
                } else if (!wanted) {
                    return;
                }
            }
            streams.attention.push(streams.connections, slot);
        }

        fn consume(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            part: Part,
        ) bool {
            if (connection.relay == no_relay) return deliver(streams, slot, connection, part);
            return Relay.pass(streams, slot, connection, part);
        }

        fn deliver(
            streams: *Streams,
            slot: u32,
            connection: *Connection,
            part: Part,
        ) bool {
            const channel = &streams.loop.channel;
            if (channel.room() < 2) return false;
            if (connection.buffers -| connection.held.count > streams.allowance(connection)) {
                return false;
            }
            const turn = streams.loop.counters.turns;
            const state = streams.loop.pool.state(part.buffer);
            if (state.borrowed == std.math.maxInt(u16)) return false;
            if (!connection.may_deliver(turn, part.length)) return false;
            if (connection.passes()) messages.tell(streams, slot, connection, part.length);
            Lend.lend(streams, slot, connection, .{ .event = .data, .shown = part, .all = part });
            return true;
        }

        pub fn deliver_held(streams: *Streams, slot: u32, connection: *Connection) void {
            const pool = streams.loop.pool;
            if (connection.is_segmented()) return Frames.pump(streams, slot, connection);
            while (!connection.paused and !connection.held_back) {
                const nodes = streams.nodes_of(connection);
                const part = connection.held.pop(pool, nodes) orelse return;
                if (deliver(streams, slot, connection, part)) continue;
                connection.held.push_first(pool, nodes, part);
                if (connection.may_have_more(streams.allowance(connection))) {
                    streams.attention.push(streams.connections, slot);
                }
                return;
            }
        }

        /// Whether something is to be shown yet before a connection that failed ends.
        pub fn has_undelivered(streams: *Streams, slot: u32, connection: *Connection) bool {
            if (connection.is_segmented()) return Frames.has_undelivered(streams, slot, connection);
            return connection.held.count > 0;
        }

        pub fn drop_held(streams: *Streams, connection: *Connection) void {
            if (connection.passes()) streams.passing.drop_arrivals(&connection.arrivals);
            const nodes = streams.nodes_of(connection);
            for ([_]*Held{ &connection.returned, &connection.held }) |held| {
                while (held.pop(streams.loop.pool, nodes)) |part| {
                    streams.release(part.buffer);
                }
            }
            Frames.drop(streams, connection);
        }

        /// Starts to receive, or stops, as the connection is ready for more bytes or not.
        pub fn start_or_stop(streams: *Streams, slot: u32, connection: *Connection) void {
            const allowance = streams.allowance(connection);
            const stopped = connection.state == .open and connection.reading_stopped(allowance);
            if (stopped and connection.squeezed_by(allowance)) {
                streams.squeezed.push(streams.connections, slot);
            }
            if (connection.receiving) {
                // One that receives messages goes on at their end.
                const has_ended = connection.peer_ended and connection.passes();
                const changes = connection.forwards and !connection.awaits;
                const over = stopped or has_ended or changes;
                if (over and !connection.receive_cancelled) cancel(streams, slot, connection);
                return;
            }
            if (stopped or connection.peer_ended or connection.failure != 0) return;
            if (connection.starved.linked) return;
            connection.receiving = if (connection.forwards)
                Forward.wait(streams, slot, connection, .unknown)
            else
                Port.receive(streams, slot, connection);
            if (!connection.receiving) streams.attention.push(streams.connections, slot);
        }

        fn cancel(streams: *Streams, slot: u32, connection: *Connection) void {
            const what: contract.Cancel = if (connection.awaits)
                .readable
            else if (connection.passes()) .receive_message else .receive;
            connection.receive_cancelled = Port.cancel(streams, slot, connection, what);
            if (!connection.receive_cancelled) {
                streams.attention.push(streams.connections, slot);
            }
        }

        /// The peer's end, once everything before it is delivered. A script that does not handle it
        /// has its side closed too.
        pub fn report_end(streams: *Streams, slot: u32, connection: *Connection) void {
            if (!connection.peer_ended or connection.end_reported) return;
            if (connection.is_segmented()) {
                if (!Frames.may_end(streams, slot, connection)) return;
            } else if (connection.held.count > 0 or connection.paused) return;
            const channel = &streams.loop.channel;
            if (channel.room() == 0) return streams.attention.push(streams.connections, slot);
            connection.end_reported = true;
            channel.emit(plain(.end, slot, connection.generation, 0));
            if (connection.options.allow_half_open == 0) streams.close(slot);
        }
    };
}
