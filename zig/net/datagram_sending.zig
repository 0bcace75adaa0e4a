//! A datagram socket's outgoing datagrams: from the script's submission through the queue to the
//! kernel, as many at once as there are.
//!
//! Invariants: datagrams leave in the order in which they were submitted; a datagram is dropped only
//! when the kernel refuses it, and then the script is told; the script's view of the bytes queued is
//! put right whenever it could differ; a reference that moved with a refused send is given back.

const std = @import("std");
const layout = @import("../layout.zig");
const datagrams_module = @import("../sys/datagrams.zig");
const batch_max = datagrams_module.batch_max;
const kernel = @import("../sys/kernel.zig");
const AF = @import("../sys/sockets.zig").AF;
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;
const plain = @import("../loop/channel.zig").plain;
const address_module = @import("address.zig");
const queue_module = @import("datagram_queue.zig");
const Node = queue_module.Node;
const Socket = @import("datagram_socket.zig").Socket;

/// Batches of one socket before others get their turn.
const batches_per_pass = 8;
/// Datagrams that are longer do not go in runs: they might not fit the path, where one alone is cut
/// into fragments.
const run_length_max = 1400;
/// How long a socket rests that has no room and is not told when it does.
const rest_first_ms = 1;
const rest_longest_ms = 64;

/// What a message of the batch that is being sent is made of: so many whole datagrams, or a part of
/// one, of so many bytes.
const Run = struct { datagrams: u32, part_bytes: u32 };
pub const Runs = [batch_max]Run;

pub fn Sending(comptime Datagrams: type) type {
    return struct {
        /// Queues what the script sends; false when the submission is stale or malformed.
        pub fn apply(datagrams: *Datagrams, entry: layout.DatagramEntry) bool {
            const pool = datagrams.loop.pool;
            if (!pool.valid(entry.buffer, entry.buffer_generation)) {
                return refuse(datagrams, entry.slot);
            }
            const moves = entry.flags & layout.send_flag_move != 0;
            const held = if (moves)
                pool.take_from_script(entry.buffer)
            else
                pool.retain(entry.buffer);
            if (!held) return refuse(datagrams, entry.slot);
            // From here on one reference is ours, to queue or to give back.
            if (queue(datagrams, &entry)) return true;
            datagrams.release(entry.buffer);
            return refuse(datagrams, entry.slot);
        }

        fn queue(datagrams: *Datagrams, entry: *const layout.DatagramEntry) bool {
            const socket = datagrams.find(entry.slot, entry.generation) orelse return false;
            const size = datagrams.loop.pool.state(entry.buffer).bytes;
            if (socket.state != .open or entry.length > size) return false;
            if (entry.offset > size - entry.length) return false;
            const is_addressed = entry.flags & layout.send_flag_addressed != 0;
            if (is_addressed == socket.is_connected) return false;
            var address: SocketAddress = undefined;
            if (is_addressed) {
                const given = datagrams.loop.channel.address();
                if (!address_module.to_family(&given, socket.family, &address)) return false;
            }
            const node = socket.queue.push(&datagrams.nodes, entry.length) orelse return false;
            node.buffer = entry.buffer;
            node.offset = entry.offset;
            const is_cut = entry.segment_bytes < entry.length and socket.family != AF.UNIX;
            node.segment_bytes = if (is_cut) entry.segment_bytes else 0;
            node.is_addressed = is_addressed;
            if (is_addressed) node.address = address;
            datagrams.attention.push(datagrams.sockets, entry.slot);
            return true;
        }

        /// The script has counted bytes that will not be sent: it gets the true number back.
        fn refuse(datagrams: *Datagrams, slot: u32) bool {
            if (slot < datagrams.sockets.len) mirror(datagrams, slot);
            return false;
        }

        pub fn mirror(datagrams: *Datagrams, slot: u32) void {
            const queued = datagrams.sockets[slot].queue.bytes;
            datagrams.loop.channel.socket_queued[slot] = queued;
        }

        /// Gives the kernel what is queued, as far as there is room.
        pub fn start(datagrams: *Datagrams, slot: u32, socket: *Socket) void {
            if (socket.queue.count == 0 or socket.awaits_room or socket.resting) return;
            defer mirror(datagrams, slot);
            for (0..batches_per_pass) |_| {
                fill(datagrams, socket);
                const rc = datagrams.loop.backend.send_messages(
                    datagrams.first_port + slot,
                    socket.generation,
                    socket.descriptor,
                    &datagrams.batch,
                    socket.is_told_of_room,
                );
                if (rc < 0) {
                    if (!refused(datagrams, slot, socket, rc)) return;
                } else {
                    taken(datagrams, socket, @intCast(rc));
                }
                if (socket.queue.count == 0) return;
            }
            datagrams.attention.push(datagrams.sockets, slot);
        }

        /// Makes messages of the datagrams that come first.
        fn fill(datagrams: *Datagrams, socket: *const Socket) void {
            const batch = &datagrams.batch;
            batch.clear();
            var index = socket.queue.head;
            while (index != queue_module.none and !batch.is_full()) {
                const node = &datagrams.nodes.nodes[index];
                index = if (node.segment_bytes > 0 and !socket.kernel_cuts)
                    add_parts(datagrams, node)
                else
                    add_run(datagrams, socket, node);
            }
        }

        fn bytes_of(datagrams: *const Datagrams, node: *const Node) []const u8 {
            return datagrams.loop.pool.pointer(node.buffer)[node.offset..][0..node.length];
        }

        /// A datagram, with those after it that can go with it as one message. The next datagram.
        fn add_run(datagrams: *Datagrams, socket: *const Socket, first: *const Node) u32 {
            const batch = &datagrams.batch;
            const run = &datagrams.runs[batch.count];
            run.* = .{ .datagrams = 1, .part_bytes = 0 };
            const address = if (first.is_addressed) &first.address else null;
            batch.add(address, bytes_of(datagrams, first), first.segment_bytes);
            if (!may_run(socket, first)) return first.next;
            var last = first;
            var bytes = first.length;
            while (last.next != queue_module.none and !batch.is_full()) {
                const node = &datagrams.nodes.nodes[last.next];
                bytes += node.length;
                // Only the last one may be shorter than the others.
                if (last.length < first.length or !node.continues(first)) break;
                if (run.datagrams == datagrams_module.segments_max) break;
                if (bytes > datagrams_module.segmented_bytes_max) break;
                batch.extend(bytes_of(datagrams, node), @intCast(first.length));
                run.datagrams += 1;
                last = node;
            }
            return last.next;
        }

        fn may_run(socket: *const Socket, first: *const Node) bool {
            if (!datagrams_module.has_segments or !socket.joins_runs) return false;
            if (first.length == 0 or first.length > run_length_max) return false;
            if (first.segment_bytes > 0 or socket.family == AF.UNIX) return false;
            return !first.is_addressed or !address_module.is_for_many(&first.address);
        }

        /// The parts of a datagram that the kernel does not cut, as far as they fit. The next
        /// datagram, or none where this one is not over.
        fn add_parts(datagrams: *Datagrams, node: *const Node) u32 {
            const batch = &datagrams.batch;
            const address = if (node.is_addressed) &node.address else null;
            var left = bytes_of(datagrams, node);
            while (left.len > 0) {
                if (batch.is_full()) return queue_module.none;
                const part = left[0..@min(left.len, node.segment_bytes)];
                left = left[part.len..];
                datagrams.runs[batch.count] = if (left.len == 0)
                    .{ .datagrams = 1, .part_bytes = 0 }
                else
                    .{ .datagrams = 0, .part_bytes = @intCast(part.len) };
                batch.add(address, part, 0);
            }
            return node.next;
        }

        /// The kernel took so many messages.
        fn taken(datagrams: *Datagrams, socket: *Socket, messages: u32) void {
            if (messages == 0) return;
            socket.failures = 0;
            socket.is_retried = false;
            socket.rest_ms = 0;
            const counters = &datagrams.loop.counters;
            for (datagrams.runs[0..messages]) |run| {
                if (run.part_bytes > 0) {
                    socket.queue.cut(&datagrams.nodes, run.part_bytes);
                    counters.sent_bytes += run.part_bytes;
                    counters.datagrams_sent += 1;
                    continue;
                }
                for (0..run.datagrams) |_| {
                    const node = &datagrams.nodes.nodes[socket.queue.head];
                    counters.sent_bytes += node.length;
                    counters.datagrams_sent += segments_of(node, socket.kernel_cuts);
                    datagrams.release(socket.queue.pop(&datagrams.nodes).?);
                }
            }
        }

        fn segments_of(node: *const Node, kernel_cuts: bool) u32 {
            if (node.segment_bytes == 0 or !kernel_cuts) return 1;
            return std.math.divCeil(u32, node.length, node.segment_bytes) catch unreachable;
        }

        /// The kernel did not take the first message; whether to go on at once.
        fn refused(datagrams: *Datagrams, slot: u32, socket: *Socket, result: i32) bool {
            switch (result) {
                kernel.negative(.AGAIN) => {
                    socket.awaits_room = socket.is_told_of_room;
                    if (!socket.is_told_of_room) rest(datagrams, slot, socket);
                    return false;
                },
                kernel.negative(.BUSY) => {
                    datagrams.attention.push(datagrams.sockets, slot);
                    return false;
                },
                kernel.negative(.NOBUFS), kernel.negative(.NOMEM) => {
                    rest(datagrams, slot, socket);
                    return false;
                },
                else => {},
            }
            // Maybe it is the run that it does not take, on this way or at all.
            if (datagrams.runs[0].datagrams > 1 and !socket.is_connected) {
                socket.joins_runs = false;
                return true;
            }
            return refused_for_good(datagrams, slot, socket, result);
        }

        fn refused_for_good(datagrams: *Datagrams, slot: u32, socket: *Socket, result: i32) bool {
            // A connected socket may have been told of an earlier datagram: this one is tried again.
            if (socket.is_connected and !socket.is_retried) {
                socket.is_retried = true;
                datagrams.fail(slot, socket, result, .send);
                return socket.state != .ending;
            }
            socket.is_retried = false;
            if (datagrams.runs[0].datagrams > 1) {
                socket.joins_runs = false;
                return true;
            }
            const first = &datagrams.nodes.nodes[socket.queue.head];
            if (first.segment_bytes > 0 and socket.kernel_cuts and is_of_cutting(result)) {
                socket.kernel_cuts = false;
                return true;
            }
            datagrams.fail(slot, socket, result, .send);
            datagrams.loop.counters.datagrams_refused += 1;
            datagrams.release(socket.queue.pop(&datagrams.nodes).?);
            return socket.state != .ending;
        }

        /// What kernels say that cannot cut, or not on this way.
        fn is_of_cutting(result: i32) bool {
            return switch (result) {
                kernel.negative(.INVAL), kernel.negative(.IO), kernel.negative(.OPNOTSUPP) => true,
                else => false,
            };
        }

        /// Tries again after a while.
        fn rest(datagrams: *Datagrams, slot: u32, socket: *Socket) void {
            socket.resting = true;
            const longer = @max(rest_first_ms, socket.rest_ms * 2);
            socket.rest_ms = @min(rest_longest_ms, longer);
            datagrams.loop.start_user_timer(datagrams.rest_timer(slot), socket.rest_ms);
        }

        pub fn report_drain(datagrams: *Datagrams, slot: u32, socket: *Socket) void {
            if (!socket.drain_wanted or socket.state != .open or !socket.has_room()) return;
            const loop = datagrams.loop;
            const has_place = datagrams.nodes.free_count > 0;
            if (!has_place or !loop.pool.may_take(socket.drain_buffer_bytes)) {
                return datagrams.waiters.push(datagrams.sockets, slot);
            }
            if (loop.channel.room() == 0) return datagrams.attention.push(datagrams.sockets, slot);
            socket.drain_wanted = false;
            loop.channel.emit(plain(.socket_drain, slot, socket.generation, 0));
        }

        /// Gives back what will not be sent.
        pub fn drop(datagrams: *Datagrams, socket: *Socket) void {
            while (socket.queue.pop(&datagrams.nodes)) |buffer| datagrams.release(buffer);
        }
    };
}
