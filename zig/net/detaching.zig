//! How a connection leaves its loop without losing a byte: to whoever asked for its descriptor, or
//! to another loop of the process.
//!
//! Invariants: from the moment that it is asked for, nothing is delivered: what arrives is held,
//! and what was delivered and not looked at comes back before that. A connection rests once no
//! operation is under way; the backend does not know its descriptor any more, and what the peer
//! sends stays in the kernel. Until it is taken or handed off it ends as any other does.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const plain = @import("../loop/channel.zig").plain;
const Connection = @import("connection.zig").Connection;
const Ending = @import("ending.zig").Ending;
const given = @import("given.zig");
const Held = @import("held.zig").Held;
const Part = @import("held.zig").Part;
const Receiving = @import("receiving.zig").Receiving;
const no_relay = @import("relays.zig").none;
const Sending = @import("sending.zig").Sending;
const transit = @import("transit.zig");

const stale = @intFromEnum(layout.Status.stale_handle);

pub fn Detaching(comptime Streams: type) type {
    const End = Ending(Streams);
    const Receive = Receiving(Streams);
    const Send = Sending(Streams);
    return struct {
        /// False when it cannot be asked for now, or was already.
        pub fn want(connection: *Connection, travels: bool) bool {
            if (connection.state != .open or connection.detach != .none) return false;
            // Descriptors that came and were not told of have no way to go along.
            if (connection.passes()) return false;
            if (connection.relay != no_relay or connection.is_piped()) return false;
            // What was made messages of cannot become bytes again.
            if (connection.is_segmented() or connection.frame.is_in_nodes) return false;
            connection.detach = .wanted;
            connection.travels = travels;
            return true;
        }

        /// Takes back what was delivered and not looked at; false when the submission is stale or
        /// malformed, or there is no place for it.
        pub fn undeliver(streams: *Streams, entry: layout.SendEntry) bool {
            const pool = streams.loop.pool;
            const connection = streams.find(entry.slot, entry.generation) orelse return false;
            if (connection.state != .open or connection.detach != .wanted) return false;
            if (!pool.valid(entry.buffer, entry.buffer_generation)) return false;
            const state = pool.state(entry.buffer);
            if (entry.length == 0 or entry.length > state.bytes) return false;
            if (entry.offset > state.bytes - entry.length) return false;
            const are_parts = streams.held_nodes.nodes.len > 0;
            if (!are_parts) {
                // One that is held, or waits to be sent, stands in a list already.
                const is_held = state.references > @as(u64, state.script_references) +
                    state.borrowed;
                if (is_held or state.use == .adopted or entry.offset != 0) return false;
            }
            if (!pool.retain(entry.buffer)) return false;
            const part: Part = .{
                .buffer = entry.buffer,
                .offset = entry.offset,
                .length = entry.length,
            };
            if (connection.returned.push(pool, &streams.held_nodes, part)) return true;
            streams.release(entry.buffer);
            connection.fail(kernel.negative(.NOBUFS));
            return false;
        }

        /// One step towards resting.
        pub fn advance(streams: *Streams, slot: u32, connection: *Connection) void {
            if (connection.detach == .rest) return;
            const loop = streams.loop;
            if (connection.failure != 0 and !connection.sending) {
                Send.drop(streams, connection);
                Send.mirror(streams, slot);
            }
            Send.start(streams, slot, connection);
            Receive.start_or_stop(streams, slot, connection);
            Send.shutdown_when_sent(streams, slot, connection);
            if (connection.has_operations() or connection.queue.bytes > 0) return;
            if (connection.travels and !make_whole(streams, connection)) {
                return streams.bufferless.push(streams.connections, slot);
            }
            const generation = connection.generation;
            if (loop.channel.room() == 0 or
                !loop.backend.leave(slot, generation, connection.descriptor))
            {
                return streams.attention.push(streams.connections, slot);
            }
            loop.stop_user_timer(slot);
            connection.detach = .rest;
            loop.channel.emit(plain(.detached, slot, generation, connection.failure));
        }

        /// Copies parts of buffers that others use as well to buffers of their own, because only
        /// those can go to another loop; false when there are none.
        fn make_whole(streams: *Streams, connection: *Connection) bool {
            for ([_]*Held{ &connection.returned, &connection.held }) |held| {
                for (0..held.count) |index| {
                    const part = held.pop(streams.loop.pool, &streams.held_nodes).?;
                    const own = own_buffer(streams, part);
                    push(streams, held, own orelse part);
                    if (own != null) continue;
                    for (index + 1..held.count) |_| {
                        push(streams, held, held.pop(streams.loop.pool, &streams.held_nodes).?);
                    }
                    for (0..index) |_| {
                        push(streams, held, held.pop(streams.loop.pool, &streams.held_nodes).?);
                    }
                    return false;
                }
            }
            return true;
        }

        /// Into the place that has just become free.
        fn push(streams: *Streams, held: *Held, part: Part) void {
            const pushed = held.push(streams.loop.pool, &streams.held_nodes, part);
            std.debug.assert(pushed);
        }

        fn own_buffer(streams: *Streams, part: Part) ?Part {
            const pool = streams.loop.pool;
            const state = pool.state(part.buffer);
            const is_plain = state.use == .receive or state.use == .script;
            if (is_plain and part.offset == 0 and state.references == 1 and
                state.script_references == 0 and state.borrowed == 0) return part;
            const copy = pool.take(part.length) orelse return null;
            _ = pool.take_from_script(copy);
            const from = pool.pointer(part.buffer)[part.offset..][0..part.length];
            @memcpy(pool.pointer(copy)[0..part.length], from);
            streams.release(part.buffer);
            return .{ .buffer = copy, .length = part.length };
        }

        /// The connection of a handle that rests; null where there is none.
        fn find_resting(streams: *Streams, slot: u32, generation: u32) ?*Connection {
            const connection = streams.find(slot, generation) orelse return null;
            const rests = connection.state == .open and connection.detach == .rest;
            return if (rests) connection else null;
        }

        /// The next part that was received and not delivered, with one reference of the script; or
        /// a negative status in `rc`.
        pub fn read(streams: *Streams, slot: u32, generation: u32, rc: *i32) ?Part {
            rc.* = stale;
            const connection = find_resting(streams, slot, generation) orelse return null;
            if (connection.travels) return null;
            rc.* = kernel.negative(.NOENT);
            const part = next_part(streams, connection) orelse return null;
            streams.loop.pool.give_to_script(part.buffer);
            return part;
        }

        fn next_part(streams: *Streams, connection: *Connection) ?Part {
            const pool = streams.loop.pool;
            const nodes = &streams.held_nodes;
            return connection.returned.pop(pool, nodes) orelse connection.held.pop(pool, nodes);
        }

        /// The descriptor, which is the caller's from now on, or a negative status.
        pub fn take(streams: *Streams, slot: u32, generation: u32) i32 {
            const connection = find_resting(streams, slot, generation) orelse return stale;
            Receive.drop_held(streams, connection);
            const descriptor = connection.descriptor;
            given.give(descriptor);
            End.free_slot(streams, slot, connection);
            return descriptor;
        }

        /// Puts the connection in transit; null where it is stale, or there is no room, as `rc`
        /// tells.
        pub fn hand_off(streams: *Streams, slot: u32, generation: u32, rc: *i32) ?transit.Handle {
            rc.* = stale;
            const connection = find_resting(streams, slot, generation) orelse return null;
            if (!connection.travels) return null;
            rc.* = @intFromEnum(layout.Status.exhausted);
            const pool = streams.loop.pool;
            const parts = connection.returned.count + connection.held.count;
            const place = transit.reserve(pool.number(), parts) orelse return null;
            while (next_part(streams, connection)) |part| {
                const sent = pool.state(part.buffer).generation();
                pool.give_to_script(part.buffer);
                const freed = pool.transfer(part.buffer, sent, 1) catch {
                    // A script has made itself a reference on what it was never shown.
                    _ = pool.take_from_script(part.buffer);
                    streams.release(part.buffer);
                    connection.fail(kernel.negative(.IO));
                    continue;
                };
                streams.returned(freed);
                transit.add(place, .{
                    .name = part.buffer,
                    .generation = sent,
                    .length = part.length,
                });
            }
            const handle = transit.publish(place, .{
                .descriptor = connection.descriptor,
                .family = connection.family,
                .options = connection.options,
                .shut = connection.shutdown_done,
                .failure = connection.failure,
            });
            End.free_slot(streams, slot, connection);
            return handle;
        }

        /// Ends what this loop has left in transit and nobody has taken.
        pub fn end_left(streams: *Streams) void {
            const pool = streams.loop.pool;
            while (transit.take_left(pool.number())) |left| {
                var taken = left;
                while (transit.next_part(&taken)) |part| {
                    if (!pool.receive(part.name, part.generation)) continue;
                    _ = pool.take_from_script(part.name);
                    _ = pool.release(part.name);
                }
                Streams.sockets.reset(taken.content.descriptor);
            }
        }
    };
}
