//! The connections of a loop: from accept or connect to `closed`. Their bytes are in
//! `receiving.zig` and `sending.zig`.
//!
//! Invariants: each connection is reported closed once, after its last operation ended; its buffers
//! go back then at the latest; a slot is given out again only afterwards, with another generation.
//! `advance` takes every step that is possible and is harmless at any time: whatever changes a
//! connection calls it, or asks for it with `attention`.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const unsent_counts_end = @import("../sys/sockets.zig").unsent_counts_end;
const mapped = @import("../memory/mapped.zig");
const channel_module = @import("../loop/channel.zig");
const address_module = @import("address.zig");
const Connection = @import("connection.zig").Connection;
const Freed = @import("../memory/pool.zig").Freed;
const List = @import("../memory/list.zig").List;
const held = @import("held.zig");
const Nodes = @import("send_queue.zig").Nodes;
const Receiving = @import("receiving.zig").Receiving;
const Sending = @import("sending.zig").Sending;

const plain = channel_module.plain;

/// Buffers that a kernel may fill for one multishot receive before others get their turn
/// (MULTISHOT_MAX_RETRY in io_uring/net.c).
const receive_burst = 32;
/// Connections that wait for others' buffers and are looked at in one pass.
const served_at_once = 64;

const aborted = @intFromEnum(layout.Status.aborted);
const descriptor_limit = @intFromEnum(layout.Status.descriptor_limit);
const exhausted = @intFromEnum(layout.Status.exhausted);
const connect_timeout = @intFromEnum(layout.Status.connect_timeout);

pub fn Streams(comptime Loop: type) type {
    return struct {
        const Self = @This();
        pub const sockets = Loop.Backend.sockets;
        const Receive = Receiving(Self);
        const Send = Sending(Self);
        const RawSubmission = channel_module.RawSubmission;

        loop: *Loop,
        connections: []Connection,
        nodes: Nodes,
        held_nodes: held.Nodes,
        /// Connections at a time; there are more slots, because a freed one rests until the script
        /// has been told.
        limit: u32,
        /// Slots from here on were never used; `free` is a ring of those that were and are again.
        fresh: u32,
        free: []u32,
        free_first: u32,
        free_count: u32,
        open_count: u32,
        attention: List(Connection, "attention"),
        starved: List(Connection, "starved"),
        bufferless: List(Connection, "bufferless"),
        squeezed: List(Connection, "squeezed"),
        /// How often buffers and places in queues had become free when it was last looked.
        progress_seen: u64,
        /// How many of those two lists are still to be served since then.
        bufferless_due: u32,
        squeezed_due: u32,
        /// What the send that is being started consists of.
        segments: [contract.segments_max]contract.Segment,

        pub const Options = struct {
            limit: u32,
            /// Slots beyond the limit: as many as can be freed in one turn.
            spare: u32,
            /// Parts of buffers that may wait in all send queues.
            sends: u32,
        };

        pub fn init(loop: *Loop, options: Options) error{OutOfMemory}!Self {
            const slots = options.limit + options.spare;
            const connections = try mapped.allocate(Connection, slots);
            errdefer mapped.free(Connection, connections);
            const free = try mapped.allocate(u32, slots);
            errdefer mapped.free(u32, free);
            var nodes = try Nodes.init(options.sends);
            errdefer nodes.deinit();
            return .{
                .loop = loop,
                .connections = connections,
                .nodes = nodes,
                .held_nodes = try .of(contract.shares_buffers(&loop.backend)),
                .limit = options.limit,
                .free_first = 0,
                .fresh = 0,
                .free = free,
                .free_count = 0,
                .open_count = 0,
                .attention = .{},
                .starved = .{},
                .bufferless = .{},
                .squeezed = .{},
                .progress_seen = 0,
                .bufferless_due = 0,
                .squeezed_due = 0,
                .segments = undefined,
            };
        }

        pub fn deinit(self: *Self) void {
            for (self.connections[0..self.fresh]) |*connection| {
                if (connection.state != .free) sockets.reset(connection.descriptor);
            }
            self.held_nodes.deinit();
            self.nodes.deinit();
            mapped.free(u32, self.free);
            mapped.free(Connection, self.connections);
            self.* = undefined;
        }

        /// The connection of a handle, or null when the handle is stale.
        pub fn find(self: *Self, slot: u32, generation: u32) ?*Connection {
            if (slot >= self.connections.len) return null;
            const connection = &self.connections[slot];
            if (connection.state == .free or connection.generation != generation) return null;
            return connection;
        }

        /// A slot where `accepts_more`. One that was freed in this turn would take the place of a
        /// connection whose end the script has not seen.
        fn take_slot(self: *Self) u32 {
            std.debug.assert(self.accepts_more());
            if (self.free_count > 0) {
                const slot = self.free[self.free_first];
                if (self.connections[slot].freed_turn != self.loop.counters.turns) {
                    self.free_first = (self.free_first + 1) % @as(u32, @intCast(self.free.len));
                    self.free_count -= 1;
                    return slot;
                }
            }
            std.debug.assert(self.fresh < self.connections.len);
            self.fresh += 1;
            return self.fresh - 1;
        }

        fn give_back_slot(self: *Self, slot: u32) void {
            self.connections[slot].freed_turn = self.loop.counters.turns;
            const place = (self.free_first + self.free_count) % @as(u32, @intCast(self.free.len));
            self.free[place] = slot;
            self.free_count += 1;
        }

        pub fn accepts_more(self: *const Self) bool {
            return self.open_count < self.limit;
        }

        pub fn free_slots(self: *const Self) u32 {
            return self.limit - self.open_count;
        }

        /// A connection that a listener accepted, where `accepts_more`.
        pub fn open_accepted(
            self: *Self,
            descriptor: i32,
            listener: u32,
            options: layout.StreamOptions,
        ) void {
            const slot = self.take_slot();
            const connection = &self.connections[slot];
            connection.open(.open, descriptor, options);
            self.open_count += 1;
            self.loop.counters.accepted += 1;
            self.loop.channel.queued[slot] = 0;
            const generation = connection.generation;
            self.loop.channel.emit(plain(.open, slot, generation, @intCast(listener)));
            self.advance(slot);
        }

        /// Starts to connect. The slot, or a negative status with `failed` naming the system call.
        pub fn connect(
            self: *Self,
            options: *const layout.ConnectOptions,
            failed: *layout.Syscall,
        ) i32 {
            const address = address_module.to_kernel(&options.address) orelse
                return @intFromEnum(layout.Status.bad_argument);
            if (!self.accepts_more()) return exhausted;
            const descriptor = self.open_socket(&address, options, failed);
            if (descriptor < 0) return descriptor;
            const slot = self.take_slot();
            const connection = &self.connections[slot];
            connection.open(.connecting, descriptor, options.stream);
            connection.address = address;
            self.open_count += 1;
            self.loop.channel.queued[slot] = 0;
            if (options.timeout_ms > 0) self.loop.start_user_timer(slot, options.timeout_ms);
            self.advance(slot);
            return @intCast(slot);
        }

        fn open_socket(
            self: *Self,
            address: *const sockets.SocketAddress,
            options: *const layout.ConnectOptions,
            failed: *layout.Syscall,
        ) i32 {
            _ = self;
            failed.* = .socket;
            const family = address_module.family(address);
            const descriptor = sockets.open_stream(family, Loop.Backend.nonblocking);
            if (descriptor >= Loop.Backend.descriptors_max) {
                sockets.close(descriptor);
                return descriptor_limit;
            }
            if (descriptor < 0 or options.stream.no_delay == 0) return descriptor;
            const rc = sockets.set_no_delay(descriptor);
            if (rc >= 0) return descriptor;
            failed.* = .setsockopt;
            sockets.close(descriptor);
            return rc;
        }

        /// Applies a submission; false when it is stale or malformed.
        pub fn apply(
            self: *Self,
            operation: layout.Operation,
            raw: *const RawSubmission,
        ) bool {
            if (operation == .send) return Send.apply(self, @bitCast(raw.*));
            const entry: layout.HandleEntry = @bitCast(raw.*);
            const connection = self.find(entry.slot, entry.generation) orelse return false;
            switch (operation) {
                .pause => connection.paused = true,
                .unpause => connection.paused = false,
                .shutdown => connection.shutdown_wanted = true,
                .want_drain => {
                    connection.drain_wanted = true;
                    connection.drain_parts = @min(entry.parts, self.nodes.count());
                    connection.drain_bytes = entry.length;
                    connection.drain_buffer_bytes = entry.buffer_bytes;
                },
                .close => self.close(entry.slot),
                .abort => self.end(entry.slot, aborted, true),
                else => return false,
            }
            self.attention.push(self.connections, entry.slot);
            return true;
        }

        /// Flush, end our direction, wait for the peer's end.
        pub fn close(self: *Self, slot: u32) void {
            const connection = &self.connections[slot];
            switch (connection.state) {
                // It may have connected meanwhile: no peer is to take nothing for everything.
                .connecting => self.end(slot, aborted, true),
                .open => {
                    connection.state = .lingering;
                    connection.shutdown_wanted = true;
                    connection.unsent = unsent_bytes(connection);
                    self.loop.start_user_timer(slot, connection.options.linger_timeout_ms);
                },
                .free, .lingering, .ending => {},
            }
        }

        /// Ends a connection whatever is under way; `closed` follows when that has ended too.
        pub fn end(self: *Self, slot: u32, outcome: i32, reset: bool) void {
            const connection = &self.connections[slot];
            if (connection.state == .ending) return;
            connection.state = .ending;
            connection.outcome = outcome;
            connection.reset = reset;
            self.loop.stop_user_timer(slot);
            self.attention.push(self.connections, slot);
        }

        /// A completion of the backend for a connection's port.
        pub fn complete(self: *Self, completion: contract.Completion) void {
            const slot = completion.port;
            const connection = &self.connections[slot];
            const has_buffer = completion.buffer != contract.no_buffer;
            if (connection.state == .free or connection.generation != completion.epoch) {
                if (has_buffer) self.release(completion.buffer);
                return;
            }
            if (has_buffer and completion.share == .whole) connection.buffers += 1;
            switch (completion.kind) {
                .receive => Receive.complete(self, slot, connection, completion),
                .send => Send.complete(self, slot, connection, completion.result),
                .connect => self.complete_connect(slot, connection, completion.result),
                .accept, .receive_message, .send_messages, .poll, .message, .released => unreachable,
            }
        }

        fn complete_connect(self: *Self, slot: u32, connection: *Connection, result: i32) void {
            connection.connecting = false;
            self.attention.push(self.connections, slot);
            if (connection.state != .connecting) return;
            if (result < 0) return self.end(slot, result, false);
            self.loop.stop_user_timer(slot);
            connection.state = .open;
            self.loop.counters.connected += 1;
            self.loop.channel.emit(plain(.open, slot, connection.generation, -1));
        }

        /// The connect or the linger time limit of a connection passed.
        pub fn timer_fired(self: *Self, slot: u32) void {
            switch (self.connections[slot].state) {
                .connecting => self.end(slot, connect_timeout, true),
                .lingering => self.linger_on(slot),
                .free, .open, .ending => {},
            }
        }

        /// A peer that goes on taking what was sent is waited for; one that took nothing in the
        /// whole time limit is reset. One that took everything may still be reading it, so that a
        /// reset would cost it bytes: the kernel waits for its end instead.
        fn linger_on(self: *Self, slot: u32) void {
            const connection = &self.connections[slot];
            const unsent = unsent_bytes(connection);
            if (unsent == 0) return self.end(slot, 0, false);
            if (unsent >= connection.unsent) {
                return self.end(slot, kernel.negative(.TIMEDOUT), true);
            }
            connection.unsent = unsent;
            self.loop.start_user_timer(slot, connection.options.linger_timeout_ms);
        }

        /// Bytes that the peer has not acknowledged, ours and the kernel's. The end that follows
        /// them counts as one with some kernels, but is nothing that a peer could miss.
        fn unsent_bytes(connection: *const Connection) u64 {
            const end_length: u32 = @intFromBool(unsent_counts_end and connection.shutdown_done);
            const in_kernel = sockets.unsent(connection.descriptor) -| end_length;
            return @as(u64, connection.queue.bytes) + in_kernel;
        }

        /// Whether something could be done for a connection right now.
        pub fn waiting(self: *const Self) bool {
            if (self.attention.length > 0) return true;
            if (self.bufferless_due + self.squeezed_due > 0) return true;
            return self.starved.length > 0 and self.loop.backend.buffers() > 0;
        }

        /// Does what was asked for with `attention`, once for each that asked before.
        pub fn attend(self: *Self) void {
            for (0..@min(self.starved.length, self.loop.backend.buffers())) |_| {
                self.advance(self.starved.pop(self.connections).?);
            }
            const progress = self.loop.pool.supply.frees +% self.nodes.frees;
            if (progress != self.progress_seen) {
                self.progress_seen = progress;
                self.bufferless_due = self.bufferless.length;
                self.squeezed_due = self.squeezed.length;
            }
            self.serve_waiting();
            for (0..self.attention.length) |_| {
                self.advance(self.attention.pop(self.connections).?);
            }
            self.loop.pool.supply.awaited = self.starved.length > 0 or self.bufferless.length > 0;
        }

        /// Each once, some of them at a time: there may be very many.
        fn serve_waiting(self: *Self) void {
            for (0..@min(self.bufferless_due, served_at_once)) |_| {
                self.bufferless_due -= 1;
                self.advance(self.bufferless.pop(self.connections) orelse continue);
            }
            for (0..@min(self.squeezed_due, served_at_once)) |_| {
                self.squeezed_due -= 1;
                self.advance(self.squeezed.pop(self.connections) orelse continue);
            }
        }

        fn advance(self: *Self, slot: u32) void {
            const connection = &self.connections[slot];
            switch (connection.state) {
                .free => {},
                .connecting => self.start_connect(slot, connection),
                .open => self.advance_open(slot, connection),
                .lingering => self.advance_lingering(slot, connection),
                .ending => self.advance_ending(slot, connection),
            }
        }

        fn advance_open(self: *Self, slot: u32, connection: *Connection) void {
            connection.update_hold();
            Receive.deliver_held(self, slot, connection);
            const undelivered = connection.held.count > 0 and !connection.paused;
            if (connection.failure != 0 and !undelivered) {
                return self.end_now(slot, connection.failure);
            }
            Send.start(self, slot, connection);
            Receive.start_or_stop(self, slot, connection);
            Send.shutdown_when_sent(connection);
            Send.report_drain(self, slot, connection);
            Receive.report_end(self, slot, connection);
            if (connection.state == .lingering) return self.advance_lingering(slot, connection);
            if (connection.end_reported and connection.shutdown_done) self.end_now(slot, 0);
        }

        /// Receive buffers that a connection may hold now: its credits, and no more than a share of
        /// what is free, so that slow ones leave something for the others. Always one: a connection
        /// that holds none goes on.
        pub fn allowance(self: *const Self, connection: *const Connection) u32 {
            const share = self.loop.pool.receive_free() / 8;
            return @max(1, @min(connection.options.receive_credits, share));
        }

        /// Whether a connection may be given several buffers before it is looked at again.
        pub fn may_burst(self: *const Self, connection: *const Connection) bool {
            return connection.buffers + receive_burst <= self.allowance(connection);
        }

        /// One reference on a buffer less.
        pub fn release(self: *Self, buffer: u32) void {
            self.returned(self.loop.pool.release(buffer) orelse return);
        }

        /// A buffer is not used any more; a connection that waits for that reads on.
        pub fn returned(self: *Self, freed: Freed) void {
            if (!freed.received) return;
            const connection = self.find(freed.account, freed.account_generation) orelse return;
            connection.buffers -= 1;
            if (connection.state != .open) return;
            if (connection.receiving and connection.held.count == 0) return;
            self.attention.push(self.connections, freed.account);
        }

        fn advance_lingering(self: *Self, slot: u32, connection: *Connection) void {
            Receive.drop_held(self, connection);
            if (connection.failure != 0) return self.end_now(slot, connection.failure);
            Send.start(self, slot, connection);
            Receive.start_or_stop(self, slot, connection);
            Send.shutdown_when_sent(connection);
            if (connection.peer_ended and connection.shutdown_done) self.end_now(slot, 0);
        }

        fn advance_ending(self: *Self, slot: u32, connection: *Connection) void {
            Receive.drop_held(self, connection);
            if (connection.has_operations()) {
                if (connection.cancelled) return;
                connection.cancelled = self.loop.backend.cancel(
                    slot,
                    connection.generation,
                    connection.descriptor,
                    .all,
                );
                if (!connection.cancelled) self.attention.push(self.connections, slot);
            } else if (self.loop.channel.room() == 0) {
                self.attention.push(self.connections, slot);
            } else {
                self.finish(slot, connection);
            }
        }

        fn end_now(self: *Self, slot: u32, outcome: i32) void {
            self.end(slot, outcome, outcome != 0);
            self.advance_ending(slot, &self.connections[slot]);
        }

        fn finish(self: *Self, slot: u32, connection: *Connection) void {
            const backend = &self.loop.backend;
            if (!backend.forget(slot, connection.generation, connection.descriptor)) {
                return self.attention.push(self.connections, slot);
            }
            Send.drop(self, connection);
            if (connection.reset) {
                sockets.reset(connection.descriptor);
            } else {
                sockets.close(connection.descriptor);
            }
            const outcome = connection.outcome;
            self.loop.channel.emit(plain(.closed, slot, connection.generation, outcome));
            self.loop.counters.closed += 1;
            connection.state = .free;
            connection.generation +%= 1;
            Send.mirror(self, slot);
            self.open_count -= 1;
            self.give_back_slot(slot);
        }

        fn start_connect(self: *Self, slot: u32, connection: *Connection) void {
            if (connection.connecting) return;
            connection.connecting = self.loop.backend.connect(
                slot,
                connection.generation,
                connection.descriptor,
                &connection.address,
            );
            if (!connection.connecting) self.attention.push(self.connections, slot);
        }

        /// Ends every connection with a reset; their operations end in later turns.
        pub fn end_all(self: *Self, outcome: i32) void {
            for (self.connections[0..self.fresh], 0..) |*connection, slot| {
                if (connection.state != .free) self.end(@intCast(slot), outcome, true);
            }
        }
    };
}
