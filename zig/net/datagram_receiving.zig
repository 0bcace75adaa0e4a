//! A datagram socket's incoming datagrams: from the backend to the script, or held back until it
//! wants them.
//!
//! Invariants: datagrams reach the script in the order in which the kernel gave them; a buffer is
//! shown, held or given back, never two of these. What the kernel wrote before a datagram stays in
//! its buffer, and is read when the datagram is shown.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const AF = @import("../sys/sockets.zig").AF;
const kernel = @import("../sys/kernel.zig");
const rights = @import("../sys/rights.zig");
const datagrams_module = @import("../sys/datagrams.zig");
const address_module = @import("address.zig");
const Part = @import("held.zig").Part;
const Socket = @import("datagram_socket.zig").Socket;

pub fn Receiving(comptime Datagrams: type) type {
    return struct {
        /// A completion of the socket's receive.
        pub fn complete(
            datagrams: *Datagrams,
            slot: u32,
            socket: *Socket,
            completion: contract.Completion,
        ) void {
            if (!completion.more) {
                socket.receiving = false;
                socket.receive_cancelled = false;
                datagrams.attention.push(datagrams.sockets, slot);
            }
            if (completion.buffer != contract.no_buffer) {
                if (socket.family == AF.UNIX) close_rights(datagrams, completion.buffer);
                return arrived(datagrams, slot, socket, .{
                    .buffer = completion.buffer,
                    .length = @intCast(completion.result),
                });
            }
            switch (completion.result) {
                // A message that was too short to be one: the kernel's business.
                0...std.math.maxInt(i32) => {},
                kernel.negative(.CANCELED), kernel.negative(.AGAIN), kernel.negative(.INTR) => {},
                kernel.negative(.NOBUFS) => {
                    datagrams.loop.counters.starved += 1;
                    datagrams.starved.push(datagrams.sockets, slot);
                },
                else => datagrams.fail(slot, socket, completion.result, .recv),
            }
        }

        /// Whoever can send may send descriptors, which nobody here wants.
        fn close_rights(datagrams: *Datagrams, buffer: u32) void {
            const bytes = datagrams.loop.pool.pointer(buffer);
            const header = std.mem.bytesToValue(contract.MessageHeader, bytes[0..16]);
            const length = @min(header.control_bytes, contract.message_control_bytes);
            var found = rights.decode(bytes[contract.message_control_offset..][0..length]);
            found.close();
        }

        /// Shows a datagram to the script, or holds it back, or drops it when nobody wants it.
        fn arrived(datagrams: *Datagrams, slot: u32, socket: *Socket, part: Part) void {
            const counters = &datagrams.loop.counters;
            counters.datagrams_received += 1;
            counters.received_bytes += part.length;
            socket.failures = 0;
            if (socket.state != .open) return datagrams.release(part.buffer);
            const first = socket.held.count == 0;
            if (!socket.paused and first and deliver(datagrams, slot, socket, part)) return;
            const held = socket.held.push(datagrams.loop.pool, &datagrams.held_nodes, part);
            std.debug.assert(held);
            datagrams.attention.push(datagrams.sockets, slot);
        }

        fn deliver(datagrams: *Datagrams, slot: u32, socket: *Socket, part: Part) bool {
            const channel = &datagrams.loop.channel;
            if (channel.room() < 2) return false;
            if (socket.buffers -| socket.held.count > datagrams.allowance(socket)) return false;
            const state = datagrams.loop.pool.state(part.buffer);
            std.debug.assert(state.borrowed == 0);
            state.borrowed = 1;
            const start: [*]align(8) const u8 =
                @alignCast(datagrams.loop.pool.pointer(part.buffer));
            const flags = tell_source(datagrams, socket, start, channel.source());
            channel.emit_data(.{
                .event = .datagram,
                .slot = slot,
                .generation = socket.generation,
                .result = @bitCast(flags),
                .buffer = part.buffer,
                .buffer_generation = state.generation(),
                .offset = contract.message_payload_offset,
                .length = part.length,
            });
            return true;
        }

        /// Writes who sent a datagram; the `result` of its completion. The script may have changed
        /// any of what is read here.
        fn tell_source(
            datagrams: *Datagrams,
            socket: *Socket,
            buffer: [*]align(8) const u8,
            source: *layout.Source,
        ) u32 {
            const header = @as(*const contract.MessageHeader, @ptrCast(buffer)).*;
            const address_length = @min(header.address_bytes, contract.message_address_bytes);
            const address = buffer[contract.message_address_offset..][0..address_length];
            address_module.write_source(&source.address, address);
            var flags: u32 = if (header.flags & message_truncated != 0)
                layout.datagram_truncated
            else
                0;
            source.segment_bytes = 0;
            source.interface = 0;
            source.local_family = 0;
            if (header.control_bytes == 0) return flags;
            const control_length = @min(header.control_bytes, contract.message_control_bytes);
            const control = datagrams_module.read_control(
                buffer[contract.message_control_offset..][0..control_length],
            );
            source.segment_bytes = control.segment_bytes;
            source.interface = control.interface;
            source.local_family = control.local_family;
            source.local = control.local;
            if (control.drops) |drops| {
                datagrams.loop.counters.datagrams_dropped += drops -% socket.drops;
                socket.drops = drops;
            }
            flags |= @as(u32, control.ecn) << layout.datagram_ecn_shift;
            return flags;
        }

        /// MSG_TRUNC.
        const message_truncated: u32 = std.os.linux.MSG.TRUNC;

        pub fn deliver_held(datagrams: *Datagrams, slot: u32, socket: *Socket) void {
            const pool = datagrams.loop.pool;
            while (!socket.paused) {
                const part = socket.held.pop(pool, &datagrams.held_nodes) orelse return;
                if (deliver(datagrams, slot, socket, part)) continue;
                socket.held.push_first(pool, &datagrams.held_nodes, part);
                // With none of its own that come back it waits for others'.
                if (datagrams.loop.channel.room() < 2) {
                    datagrams.attention.push(datagrams.sockets, slot);
                } else {
                    datagrams.waiters.push(datagrams.sockets, slot);
                }
                return;
            }
        }

        pub fn drop_held(datagrams: *Datagrams, socket: *Socket) void {
            const pool = datagrams.loop.pool;
            while (socket.held.pop(pool, &datagrams.held_nodes)) |part| {
                datagrams.release(part.buffer);
            }
        }

        /// Starts to receive, or stops, as the socket is ready for more or not. As many as it may
        /// have may be held as well: what the kernel has at once need not be stopped for.
        pub fn start_or_stop(datagrams: *Datagrams, slot: u32, socket: *Socket) void {
            if (socket.state != .open) return;
            const allowance = datagrams.allowance(socket);
            const stopped = socket.paused or socket.held.count >= allowance;
            const port = datagrams.first_port + slot;
            const backend = &datagrams.loop.backend;
            const generation = socket.generation;
            if (socket.receiving) {
                if (!stopped or socket.receive_cancelled) return;
                socket.receive_cancelled =
                    backend.cancel(port, generation, socket.descriptor, .receive_message);
                if (!socket.receive_cancelled) {
                    datagrams.attention.push(datagrams.sockets, slot);
                }
                return;
            }
            if (stopped or socket.starved.linked) return;
            socket.receiving = backend.receive_message(port, generation, socket.descriptor);
            if (!socket.receiving) datagrams.attention.push(datagrams.sockets, slot);
        }
    };
}
