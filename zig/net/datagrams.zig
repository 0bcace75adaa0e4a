//! The datagram sockets of a loop, from `bind` to `socket_closed`. Their datagrams are in
//! `datagram_receiving.zig` and `datagram_sending.zig`, their begin is in `datagram_binding.zig`.
//!
//! Invariants: each socket is reported closed once, after its last operation ended; its buffers go
//! back then at the latest. `advance` takes every step that is possible and is harmless at any
//! time: whatever changes a socket calls it, or asks for it with `attention`. Used by the loop's
//! thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Outgoing = @import("../sys/datagrams.zig").Outgoing;
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const channel_module = @import("../loop/channel.zig");
const Binding = @import("datagram_binding.zig").Binding;
const Freed = @import("../memory/pool.zig").Freed;
const held = @import("held.zig");
const List = @import("../memory/list.zig").List;
const Nodes = @import("datagram_queue.zig").Nodes;
const Receiving = @import("datagram_receiving.zig").Receiving;
const Returns = @import("returns.zig").Returns;
const Runs = @import("datagram_sending.zig").Runs;
const Sending = @import("datagram_sending.zig").Sending;
const Slots = @import("slots.zig").Slots;
const Socket = @import("datagram_socket.zig").Socket;

const plain = channel_module.plain;
/// Sockets that wait for what others have, and are looked at in one pass.
const served_at_once = 64;

const aborted = @intFromEnum(layout.Status.aborted);

pub fn Datagrams(comptime Loop: type) type {
    return struct {
        const Self = @This();
        pub const Backend = Loop.Backend;
        pub const sockets_of = Backend.sockets;
        const Bind = Binding(Self);
        const Receive = Receiving(Self);
        const Send = Sending(Self);

        loop: *Loop,
        sockets: []Socket,
        slots: Slots,
        nodes: Nodes,
        held_nodes: held.Nodes,
        first_port: u32,
        /// First one per socket for its time limit, then one per socket for its rests.
        first_timer: u32,
        attention: List(Socket, "attention"),
        starved: List(Socket, "starved"),
        waiters: List(Socket, "waiting"),
        /// How often buffers and places had become free when it was last looked.
        progress_seen: u64,
        /// How many of those that wait are still to be served since then.
        waiters_due: u32,
        /// For buffers that connections answer for.
        elsewhere: Returns,
        /// What is being sent, and which datagrams each message consists of.
        batch: Outgoing,
        runs: Runs,

        pub const Options = struct {
            limit: u32,
            /// Slots beyond the limit: as many as can be freed in one turn.
            spare: u32,
            first_port: u32,
            first_timer: u32,
            /// Datagrams that may wait in all queues.
            sends: u32,
        };

        /// `self` must stay where it is afterwards; `elsewhere` is the caller's to set.
        pub fn init(self: *Self, loop: *Loop, options: Options) error{OutOfMemory}!void {
            const count = options.limit + options.spare;
            self.sockets = try mapped.allocate(Socket, count);
            errdefer mapped.free(Socket, self.sockets);
            self.slots = try .init(options.limit, options.spare);
            errdefer self.slots.deinit();
            self.nodes = try .init(options.sends);
            errdefer self.nodes.deinit();
            self.loop = loop;
            self.held_nodes = try .of(false);
            self.first_port = options.first_port;
            self.first_timer = options.first_timer;
            self.attention = .{};
            self.starved = .{};
            self.waiters = .{};
            self.progress_seen = 0;
            self.waiters_due = 0;
        }

        pub fn deinit(self: *Self) void {
            for (self.sockets[0..self.slots.fresh]) |*socket| {
                if (socket.state == .free) continue;
                socket.path.remove();
                sockets_of.close(socket.descriptor);
            }
            self.held_nodes.deinit();
            self.nodes.deinit();
            self.slots.deinit();
            mapped.free(Socket, self.sockets);
            self.* = undefined;
        }

        /// The socket of a handle, or null when the handle is stale.
        pub fn find(self: *Self, slot: u32, generation: u32) ?*Socket {
            if (slot >= self.sockets.len) return null;
            const socket = &self.sockets[slot];
            if (socket.state == .free or socket.generation != generation) return null;
            return socket;
        }

        /// Ports are below it.
        pub fn ports_end(self: *const Self) u32 {
            return self.first_port + @as(u32, @intCast(self.sockets.len));
        }

        /// Opens a socket. The slot, or a negative status with `failed` naming the system call.
        pub const bind = Bind.bind;
        /// What is asked of an open socket: options and groups. 0, or a negative status.
        pub const request = Bind.request;

        /// Applies a submission; false when it is stale or malformed.
        pub fn apply(
            self: *Self,
            operation: layout.Operation,
            raw: *const channel_module.RawSubmission,
        ) bool {
            if (operation == .datagram_send) return Send.apply(self, @bitCast(raw.*));
            const entry: layout.HandleEntry = @bitCast(raw.*);
            const socket = self.find(entry.slot, entry.generation) orelse return false;
            switch (operation) {
                .socket_pause => socket.paused = true,
                .socket_unpause => socket.paused = false,
                .socket_want_drain => {
                    socket.drain_wanted = true;
                    socket.drain_bytes = entry.length;
                    socket.drain_buffer_bytes = entry.buffer_bytes;
                },
                .socket_close => self.close(entry.slot),
                .socket_abort => self.end(entry.slot, aborted),
                else => return false,
            }
            self.attention.push(self.sockets, entry.slot);
            return true;
        }

        fn close(self: *Self, slot: u32) void {
            const socket = &self.sockets[slot];
            if (socket.state != .open) return;
            socket.state = .lingering;
            self.loop.start_user_timer(self.first_timer + slot, socket.linger_timeout_ms);
        }

        /// Ends a socket whatever is under way; `socket_closed` follows when that has ended too.
        pub fn end(self: *Self, slot: u32, outcome: i32) void {
            const socket = &self.sockets[slot];
            if (socket.state == .free or socket.state == .ending) return;
            socket.state = .ending;
            socket.outcome = outcome;
            self.loop.stop_user_timer(self.first_timer + slot);
            self.loop.stop_user_timer(self.rest_timer(slot));
            self.attention.push(self.sockets, slot);
        }

        pub fn end_all(self: *Self, outcome: i32) void {
            for (0..self.slots.fresh) |slot| self.end(@intCast(slot), outcome);
        }

        pub fn rest_timer(self: *const Self, slot: u32) u32 {
            return self.first_timer + @as(u32, @intCast(self.sockets.len)) + slot;
        }

        /// `timer`: counted from the first one of sockets.
        pub fn timer_fired(self: *Self, timer: u32) void {
            const count: u32 = @intCast(self.sockets.len);
            if (timer < count) {
                // Longer than that nobody waits for the kernel to take datagrams.
                return self.end(timer, kernel.negative(.TIMEDOUT));
            }
            self.sockets[timer - count].resting = false;
            self.attention.push(self.sockets, timer - count);
        }

        /// A completion of the backend for a socket's port.
        pub fn complete(self: *Self, completion: contract.Completion) void {
            const slot = completion.port - self.first_port;
            const socket = &self.sockets[slot];
            const has_buffer = completion.buffer != contract.no_buffer;
            if (socket.state == .free or socket.generation != completion.epoch) {
                if (has_buffer) self.release(completion.buffer);
                return;
            }
            if (has_buffer) socket.buffers += 1;
            switch (completion.kind) {
                .receive_message => Receive.complete(self, slot, socket, completion),
                .send_messages => {
                    socket.awaits_room = false;
                    self.attention.push(self.sockets, slot);
                },
                .accept, .receive, .readable, .send => unreachable,
                .connect, .poll, .message, .released => unreachable,
            }
        }

        /// Whether something could be done for a socket right now.
        pub fn waiting(self: *const Self) bool {
            if (self.attention.length > 0 or self.waiters_due > 0) return true;
            return self.starved.length > 0 and self.loop.backend.buffers() > 0;
        }

        /// Does what was asked for with `attention`, once for each that asked before.
        pub fn attend(self: *Self) void {
            for (0..@min(self.starved.length, self.loop.backend.buffers())) |_| {
                self.advance(self.starved.pop(self.sockets).?);
            }
            const progress = self.loop.pool.supply.frees +% self.nodes.frees;
            if (progress != self.progress_seen) {
                self.progress_seen = progress;
                self.waiters_due = self.waiters.length;
            }
            for (0..@min(self.waiters_due, served_at_once)) |_| {
                self.waiters_due -= 1;
                self.advance(self.waiters.pop(self.sockets) orelse continue);
            }
            for (0..self.attention.length) |_| {
                self.advance(self.attention.pop(self.sockets).?);
            }
            const awaits = self.starved.length > 0 or self.waiters.length > 0;
            if (awaits) self.loop.pool.supply.awaited = true;
        }

        fn advance(self: *Self, slot: u32) void {
            const socket = &self.sockets[slot];
            switch (socket.state) {
                .free => {},
                .open => {
                    Receive.deliver_held(self, slot, socket);
                    Send.start(self, slot, socket);
                    Receive.start_or_stop(self, slot, socket);
                    self.report_failure(slot, socket);
                    Send.report_drain(self, slot, socket);
                },
                .lingering => self.advance_lingering(slot, socket),
                .ending => self.advance_ending(slot, socket),
            }
        }

        fn advance_lingering(self: *Self, slot: u32, socket: *Socket) void {
            Receive.drop_held(self, socket);
            Send.start(self, slot, socket);
            self.report_failure(slot, socket);
            if (socket.state != .lingering or socket.queue.count > 0) return;
            self.end(slot, 0);
            self.advance_ending(slot, socket);
        }

        fn advance_ending(self: *Self, slot: u32, socket: *Socket) void {
            Receive.drop_held(self, socket);
            if (!socket.has_operations()) return self.finish(slot, socket);
            if (socket.cancelled) return;
            socket.cancelled = self.loop.backend.cancel(
                self.first_port + slot,
                socket.generation,
                socket.descriptor,
                .all,
            );
            if (!socket.cancelled) self.attention.push(self.sockets, slot);
        }

        fn finish(self: *Self, slot: u32, socket: *Socket) void {
            const backend = &self.loop.backend;
            const port = self.first_port + slot;
            if (self.loop.channel.room() == 0 or
                !backend.forget(port, socket.generation, socket.descriptor))
            {
                return self.attention.push(self.sockets, slot);
            }
            Send.drop(self, socket);
            socket.path.remove();
            sockets_of.close(socket.descriptor);
            self.loop.channel.emit(plain(
                .socket_closed,
                slot,
                socket.generation,
                socket.outcome,
            ));
            socket.state = .free;
            socket.generation +%= 1;
            Send.mirror(self, slot);
            self.slots.give_back(self.sockets, slot, self.loop.counters.turns);
        }

        /// What the kernel said of single datagrams. The same one is told once per turn.
        pub fn fail(
            self: *Self,
            slot: u32,
            socket: *Socket,
            failure: i32,
            call: layout.Syscall,
        ) void {
            if (is_fatal(failure) or socket.count_failure()) return self.end(slot, failure);
            if (socket.failure != 0 and socket.failure != failure) {
                self.report_failure(slot, socket);
            }
            socket.failure = failure;
            socket.failed_call = call;
            self.attention.push(self.sockets, slot);
        }

        fn is_fatal(failure: i32) bool {
            return switch (failure) {
                kernel.negative(.BADF),
                kernel.negative(.NOTSOCK),
                kernel.negative(.FAULT),
                kernel.negative(.OPNOTSUPP),
                => true,
                else => false,
            };
        }

        fn report_failure(self: *Self, slot: u32, socket: *Socket) void {
            if (socket.failure == 0) return;
            const turn = self.loop.counters.turns;
            if (socket.told == socket.failure and socket.told_turn == turn) {
                socket.failure = 0;
                return;
            }
            if (self.loop.channel.room() == 0) return self.attention.push(self.sockets, slot);
            socket.told = socket.failure;
            socket.told_turn = turn;
            var completion =
                plain(.socket_error, slot, socket.generation, socket.failure);
            completion.length = @intFromEnum(socket.failed_call);
            self.loop.channel.emit(completion);
            socket.failure = 0;
        }

        /// Receive buffers that a socket may have delivered now: its credits, and no more than a
        /// share of what is free, but always one.
        pub fn allowance(self: *const Self, socket: *const Socket) u32 {
            const share = self.loop.pool.receive_free() / 8;
            return @max(1, @min(socket.receive_credits, share));
        }

        /// One reference on a buffer less.
        pub fn release(self: *Self, buffer: u32) void {
            self.returned(self.loop.pool.release(buffer) orelse return);
        }

        /// A buffer is not used any more; whoever waits for that reads on.
        pub fn returned(self: *Self, freed: Freed) void {
            if (!freed.received) return;
            if (freed.account < self.first_port) return self.elsewhere.tell(freed);
            self.returned_here(freed);
        }

        pub fn returned_here(self: *Self, freed: Freed) void {
            const slot = freed.account -% self.first_port;
            const socket = self.find(slot, freed.account_generation) orelse return;
            socket.buffers -= 1;
            if (socket.state != .open) return;
            if (socket.receiving and socket.held.count == 0) return;
            self.attention.push(self.sockets, slot);
        }
    };
}
