//! The connections of a loop. How they begin and end is in `connecting.zig` and `ending.zig`, their
//! bytes are in `receiving.zig` and `sending.zig`.
//!
//! Invariants: each connection is reported closed once, after its last operation ended; its buffers
//! go back then at the latest; a slot is given out again only afterwards, with another generation.
//! `advance` takes every step that is possible and is harmless at any time: whatever changes a
//! connection calls it, or asks for it with `attention`.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const mapped = @import("../memory/mapped.zig");
const Attempts = @import("attempts.zig").Attempts;
const channel_module = @import("../loop/channel.zig");
const Arriving = @import("arriving.zig").Arriving;
const Connecting = @import("connecting.zig").Connecting;
const Connection = @import("connection.zig").Connection;
const Detaching = @import("detaching.zig").Detaching;
const Ending = @import("ending.zig").Ending;
const Freed = @import("../memory/pool.zig").Freed;
const List = @import("../memory/list.zig").List;
const forwarding = @import("forwarding.zig");
const framing = @import("framing.zig");
const held = @import("held.zig");
const Idling = @import("idling.zig").Idling;
const Loans = @import("lending.zig").Loans;
const Nodes = @import("send_queue.zig").Nodes;
const Passing = @import("passing.zig").Passing;
const Peers = @import("inproc/peers.zig").Peers;
const Pipe = @import("inproc/pipe.zig").Pipe;
const Ports = @import("ports.zig").Ports;
const Receiving = @import("receiving.zig").Receiving;
const Resegmenting = @import("resegmenting.zig").Resegmenting;
const Relaying = @import("relay.zig").Relaying;
const relays_module = @import("relays.zig");
const Returns = @import("returns.zig").Returns;
const Sending = @import("sending.zig").Sending;
const Slots = @import("slots.zig").Slots;
const Unsegmented = @import("unsegmented.zig").Unsegmented;

const plain = channel_module.plain;

/// Buffers that a kernel may fill for one multishot receive before others get their turn
/// (MULTISHOT_MAX_RETRY in io_uring/net.c).
const receive_burst = 32;
/// Connections that wait for others' buffers and are looked at in one pass.
const served_at_once = 64;

const aborted = @intFromEnum(layout.Status.aborted);

pub fn Streams(comptime LoopType: type) type {
    return struct {
        const Self = @This();
        pub const Loop = LoopType;
        pub const Backend = Loop.Backend;
        pub const sockets = Backend.sockets;
        const Arrive = Arriving(Self);
        const Connect = Connecting(Self);
        const Detach = Detaching(Self);
        const End = Ending(Self);
        pub const Idle = Idling(Self);
        const Port = Ports(Self);
        const Receive = Receiving(Self);
        const Relay = Relaying(Self);
        const Send = Sending(Self);
        const Forward = forwarding.Forwarding(Self);
        const RawSubmission = channel_module.RawSubmission;

        loop: *Loop,
        connections: []Connection,
        nodes: Nodes,
        held_nodes: held.Nodes,
        passing: Passing,
        /// The same for connections that have or had a segmenter.
        segmented_nodes: held.Nodes,
        loans: Loans,
        /// What the message that is being shown lies in.
        pieces: [framing.pieces_max]held.Part,
        /// Parts and joins of connections that wait for a buffer to join a message in.
        waiting_parts: u32,
        waiting_joins: u32,
        slots: Slots,
        relays: relays_module.Relays,
        forwards: forwarding.Forwards,
        /// Timers of relays follow those of ports.
        first_relay_timer: u32,
        /// What is in-process of it.
        peers: Peers(Loop),
        /// By slot, the peer of a connect under way: the kernel reads it when it takes the
        /// operation.
        addresses: []sockets.SocketAddress,
        /// Set once both are where they stay.
        attempts: *Attempts(Self),
        attention: List(Connection, "attention"),
        starved: List(Connection, "starved"),
        bufferless: List(Connection, "bufferless"),
        squeezed: List(Connection, "squeezed"),
        /// How often buffers and places in queues had become free when it was last looked.
        progress_seen: u64,
        /// How many of those two lists are still to be served since then.
        bufferless_due: u32,
        squeezed_due: u32,
        /// For buffers that datagram sockets answer for; set before the first turn.
        elsewhere: Returns,
        /// What the send that is being started consists of.
        segments: [contract.segments_max]contract.Segment,

        pub const Options = struct {
            limit: u32,
            /// Slots beyond the limit: as many as can be freed in one turn.
            spare: u32,
            /// Parts of buffers that may wait in all send queues.
            sends: u32,
            /// Of connections and listeners.
            ports: u32,
        };

        pub fn init(loop: *Loop, options: Options) error{OutOfMemory}!Self {
            const count = options.limit + options.spare;
            const connections = try mapped.allocate(Connection, count);
            errdefer mapped.free(Connection, connections);
            const addresses = try mapped.allocate(sockets.SocketAddress, count);
            errdefer mapped.free(sockets.SocketAddress, addresses);
            var slots = try Slots.init(options.limit, options.spare);
            errdefer slots.deinit();
            var relays = try relays_module.Relays.init(count);
            errdefer relays.deinit();
            var nodes = try Nodes.init(options.sends);
            errdefer nodes.deinit();
            var held_nodes = try held.Nodes.of(contract.shares_buffers(&loop.backend));
            errdefer held_nodes.deinit();
            var segmented_nodes = try held.Nodes.of_segmented();
            errdefer segmented_nodes.deinit();
            var passing: Passing = try .init();
            errdefer passing.deinit();
            return .{
                .loop = loop,
                .connections = connections,
                .nodes = nodes,
                .passing = passing,
                .held_nodes = held_nodes,
                .segmented_nodes = segmented_nodes,
                .loans = try .init(@intCast(loop.channel.completions.len)),
                .pieces = undefined,
                .waiting_parts = 0,
                .waiting_joins = 0,
                .slots = slots,
                .relays = relays,
                .forwards = .{},
                .first_relay_timer = 0,
                .peers = .init(loop, options.ports),
                .addresses = addresses,
                .attempts = undefined,
                .attention = .{},
                .starved = .{},
                .bufferless = .{},
                .squeezed = .{},
                .progress_seen = 0,
                .bufferless_due = 0,
                .squeezed_due = 0,
                .elsewhere = undefined,
                .segments = undefined,
            };
        }

        pub fn deinit(self: *Self) void {
            for (self.connections[0..self.slots.fresh], 0..) |*connection, slot| {
                if (connection.state != .free) Port.drop(self, @intCast(slot), connection);
            }
            Forward.give_back(self);
            self.passing.deinit();
            self.peers.deinit();
            self.loans.deinit();
            self.segmented_nodes.deinit();
            self.held_nodes.deinit();
            self.nodes.deinit();
            self.relays.deinit();
            self.slots.deinit();
            mapped.free(sockets.SocketAddress, self.addresses);
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

        /// Where what a connection holds back stands.
        pub fn nodes_of(self: *Self, connection: *const Connection) *held.Nodes {
            return if (connection.frame.is_in_nodes) &self.segmented_nodes else &self.held_nodes;
        }

        pub fn take_slot(self: *Self) u32 {
            return self.slots.take(self.connections, self.loop.counters.turns);
        }

        pub fn accepts_more(self: *const Self) bool {
            return self.slots.has_free();
        }

        pub fn free_slots(self: *const Self) u32 {
            return self.slots.limit - self.slots.open_count;
        }

        /// A connection that a listener accepted, where `accepts_more`.
        pub fn open_accepted(
            self: *Self,
            descriptor: i32,
            listener: u32,
            family: layout.AddressFamily,
            options: *const layout.StreamOptions,
        ) void {
            const slot = self.take_slot();
            self.connections[slot].open(.open, descriptor, family, .of(options));
            self.begin(slot, listener);
        }

        /// The same for a pipe, whose far side is the connection's.
        pub fn open_piped(
            self: *Self,
            pipe: *Pipe,
            listener: u32,
            options: *const layout.StreamOptions,
        ) void {
            const slot = self.take_slot();
            const connection = &self.connections[slot];
            connection.open(.open, -1, .inproc, .of(options));
            self.peers.open(slot, connection.generation, &pipe.far);
            self.begin(slot, listener);
        }

        fn begin(self: *Self, slot: u32, listener: u32) void {
            self.loop.counters.accepted += 1;
            self.loop.channel.queued[slot] = 0;
            const connection = &self.connections[slot];
            if (connection.options.idle_timeout_ms > 0) Idle.start(self, slot, connection);
            const generation = connection.generation;
            self.loop.channel.emit(plain(.open, slot, generation, @intCast(listener)));
            self.advance(slot);
        }

        /// An open connection has a time limit for silence.
        pub fn start_idling(self: *Self, slot: u32) void {
            Idle.start(self, slot, &self.connections[slot]);
        }

        /// Starts to connect. The slot, or a negative status with `failed` naming the system call.
        pub const connect = Connect.connect;
        /// For `attempts.zig`, which finds such a connection its descriptor.
        pub const open_resolving = Connect.open_resolving;
        pub const resolved = Connect.resolved;
        /// Joins two connections: what arrives on one is sent on the other. 0, or a status.
        pub const relay = Relay.join;
        /// Takes over a connected socket, or a connection in transit. The slot, or a status.
        pub const adopt = Arrive.adopt;
        pub const receive = Arrive.receive;
        pub const owns = Arrive.owns;
        /// What becomes of a detached connection that rests.
        pub const read_detached = Detach.read;
        pub const take_detached = Detach.take;
        pub const hand_off = Detach.hand_off;
        pub const end_left = Detach.end_left;
        /// Flush, end our direction, wait for the peer's end.
        pub const close = End.close;
        /// Ends a connection whatever is under way; `closed` follows when that has ended too.
        pub const end = End.end;
        /// Ends every connection with a reset; their operations end in later turns.
        pub const end_all = End.end_all;
        /// Makes messages of what a connection receives from now on.
        pub const set_segmenter = Resegmenting(Self).set;

        /// Applies a submission; false when it is stale or malformed.
        pub fn apply(
            self: *Self,
            operation: layout.Operation,
            raw: *const RawSubmission,
        ) bool {
            if (operation == .send) return Send.apply(self, @bitCast(raw.*));
            if (operation == .undeliver) return Detach.undeliver(self, @bitCast(raw.*));
            if (operation == .segment) return Unsegmented(Self).answer(self, @bitCast(raw.*));
            const entry: layout.HandleEntry = @bitCast(raw.*);
            const connection = self.find(entry.slot, entry.generation) orelse return false;
            switch (operation) {
                // Also what the script asked for before a relay had the connection.
                .pause => connection.paused = connection.relay == relays_module.none,
                .unpause => connection.paused = false,
                // The end of the direction is the relay's, behind what it still sends there.
                .shutdown => {
                    if (connection.relay != relays_module.none) return false;
                    connection.shutdown_wanted = true;
                },
                .detach => {
                    const travels = entry.flags & layout.detach_flag_travels != 0;
                    if (!Detach.want(connection, travels)) return false;
                },
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
                .receive, .receive_message => Receive.complete(self, slot, connection, completion),
                .readable => Forward.ready(self, slot, connection, completion.result),
                .send => Send.complete(self, slot, connection, completion.result),
                .connect => Connect.complete(self, slot, connection, completion.result),
                .accept, .send_messages, .poll, .message, .released => unreachable,
            }
        }

        /// Another time limit for silence, 0 for none.
        pub fn limit_idling(self: *Self, slot: u32, timeout_ms: u32) void {
            const connection = &self.connections[slot];
            connection.options.idle_timeout_ms = timeout_ms;
            // One that rests takes its limit along, and is not waited for here.
            if (connection.state != .open or connection.detach == .rest) return;
            Idle.start(self, slot, connection);
        }

        /// A time limit of a connection passed: for connecting, silence or lingering.
        pub fn timer_fired(self: *Self, slot: u32) void {
            switch (self.connections[slot].state) {
                .connecting, .resolving => {
                    Connect.timer_fired(self, slot, &self.connections[slot]);
                },
                .lingering => End.linger_on(self, slot),
                .open => Idle.timer_fired(self, slot, &self.connections[slot]),
                .free, .ending => {},
            }
        }

        pub fn relay_timer(self: *const Self, index: u32) u32 {
            return self.first_relay_timer + index;
        }

        pub fn relay_timer_fired(self: *Self, index: u32) void {
            Relay.timer_fired(self, index);
        }

        /// Whether something could be done for a connection right now.
        pub fn waiting(self: *const Self) bool {
            if (self.attention.length > 0 or self.peers.waiting()) return true;
            if (self.bufferless_due + self.squeezed_due > 0) return true;
            return self.starved.length > 0 and self.loop.backend.buffers() > 0;
        }

        /// Does what was asked for with `attention`, once for each that asked before.
        pub fn attend(self: *Self) void {
            self.serve_starved();
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

        /// As many as there are buffers. The backend gives those to whoever comes first, and one
        /// connection may take all: so who got some stands back for who got none.
        fn serve_starved(self: *Self) void {
            const waiting_count = self.starved.length;
            var left = @min(waiting_count, self.loop.backend.buffers());
            for (0..waiting_count) |_| {
                if (left == 0) return;
                const slot = self.starved.pop(self.connections).?;
                const connection = &self.connections[slot];
                if (connection.was_fed) {
                    connection.was_fed = false;
                    self.starved.push(self.connections, slot);
                } else {
                    left -= 1;
                    self.advance(slot);
                }
            }
            for (0..left) |_| self.advance(self.starved.pop(self.connections).?);
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

        pub fn advance(self: *Self, slot: u32) void {
            const connection = &self.connections[slot];
            switch (connection.state) {
                .free => {},
                .connecting => Connect.start(self, slot, connection),
                .resolving => {},
                .open => self.advance_open(slot, connection),
                .lingering => End.advance_lingering(self, slot, connection),
                .ending => End.advance_ending(self, slot, connection),
            }
        }

        fn advance_open(self: *Self, slot: u32, connection: *Connection) void {
            if (connection.open_owed and !Arrive.report_open(self, slot, connection)) return;
            if (connection.detach != .none) return Detach.advance(self, slot, connection);
            if (connection.relay == relays_module.none) {
                connection.update_hold();
                Receive.deliver_held(self, slot, connection);
            } else {
                Relay.update_hold(self, slot, connection);
                Relay.pass_held(self, slot, connection);
            }
            // What arrived before the error comes first, and while paused both wait.
            if (connection.failure != 0) {
                const undelivered = Receive.has_undelivered(self, slot, connection);
                if (!undelivered) return End.end_now(self, slot, connection.failure);
            }
            Send.start(self, slot, connection);
            Receive.start_or_stop(self, slot, connection);
            Send.shutdown_when_sent(self, slot, connection);
            Send.report_drain(self, slot, connection);
            if (connection.relay == relays_module.none) {
                Receive.report_end(self, slot, connection);
            } else {
                Relay.pass_end(self, slot, connection);
            }
            if (connection.state == .lingering) {
                return End.advance_lingering(self, slot, connection);
            }
            if (connection.end_reported and connection.shutdown_done) {
                return End.end_now(self, slot, 0);
            }
            if (!connection.receiving) Idle.look_later(self, slot, connection);
        }

        /// Receive buffers that a connection may hold now: its credits, and no more than a share of
        /// what is free, so that slow ones leave something for the others. Always one: a connection
        /// that holds none goes on.
        pub fn allowance(self: *const Self, connection: *const Connection) u32 {
            const share = self.loop.pool.receive_free() / 8;
            return @max(1, @min(connection.options.receive_credits, share));
        }

        /// Whether a connection that receives takes one buffer more.
        pub fn takes_more(self: *const Self, slot: u32) bool {
            const connection = &self.connections[slot];
            if (connection.state != .open) return true;
            return !connection.reading_stopped(self.allowance(connection));
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
            if (freed.account >= self.connections.len) return self.elsewhere.tell(freed);
            const connection = self.find(freed.account, freed.account_generation) orelse return;
            connection.buffers -= 1;
            if (connection.state != .open) return;
            if (connection.receiving and connection.held.count == 0) return;
            self.attention.push(self.connections, freed.account);
        }
    };
}
