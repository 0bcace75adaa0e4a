//! Sockets on a loop: what concerns connections, listeners and datagram sockets, handed on to them.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const RawSubmission = @import("../loop/channel.zig").RawSubmission;
const address_module = @import("address.zig");
const attempts_module = @import("attempts.zig");
const Attempts = attempts_module.Attempts;
const Datagrams = @import("datagrams.zig").Datagrams;
const Freed = @import("../memory/pool.zig").Freed;
const Listeners = @import("listeners.zig").Listeners;
const LoopDoorbells = @import("../loop/loop_doorbells.zig").LoopDoorbells;
const Ports = @import("ports.zig").Ports;
const Resolving = @import("resolving.zig").Resolving;
const socket_control = @import("socket_control.zig");
const lookup_timers = @import("resolving.zig").timers;
const Streams = @import("streams.zig").Streams;
const transit = @import("transit.zig");

/// Timers of a datagram socket: until when it lingers, and when it tries to send again.
const socket_timers = 2;

pub fn Net(comptime Loop: type) type {
    return struct {
        const Self = @This();
        pub const sockets = Loop.Backend.sockets;
        const Port = Ports(Streams(Loop));

        loop: *Loop,
        streams: Streams(Loop),
        listeners: Listeners(Loop, Streams(Loop)),
        resolving: Resolving(Loop),
        attempts: Attempts(Streams(Loop)),
        datagrams: Datagrams(Loop),

        pub const Options = struct {
            /// How lookups wake the loop; it need not be open yet.
            doorbells: *LoopDoorbells(Loop),
            connections: u32,
            /// Slots of connections beyond that, for those whose end is being reported.
            spare: u32,
            listeners: u32,
            /// Datagram sockets; there are as many spare slots of them as of connections.
            sockets: u32,
            sends: u32,
        };

        /// `self` and `loop` must stay where they are afterwards.
        pub fn init(self: *Self, loop: *Loop, options: Options) error{OutOfMemory}!void {
            self.loop = loop;
            self.streams = try .init(loop, .{
                .limit = options.connections,
                .spare = options.spare,
                .sends = options.sends,
                .ports = options.connections + options.spare + options.listeners,
            });
            errdefer self.streams.deinit();
            self.listeners = try .init(loop, &self.streams, options.listeners);
            errdefer self.listeners.deinit();
            const counts = count(
                options.connections,
                options.spare,
                options.listeners,
                options.sockets + options.spare,
            );
            const races = attempts_module.races_max(options.connections);
            self.resolving = .init(loop, options.doorbells, counts.ports + races);
            self.attempts = try .init(&self.streams, &self.resolving, .{
                .connections = options.connections,
                .first_port = self.listeners.first_port + options.listeners,
                .first_timer = counts.ports,
            });
            errdefer self.attempts.deinit();
            self.streams.attempts = &self.attempts;
            self.streams.first_relay_timer = counts.timers;
            self.streams.peers.doorbells = options.doorbells;
            const attempt_count: u32 = @intCast(self.attempts.attempts.len);
            try self.datagrams.init(loop, .{
                .limit = options.sockets,
                .spare = options.spare,
                .first_port = self.attempts.first_port + attempt_count,
                .first_timer = counts.ports + races + lookup_timers,
                .sends = options.sends,
            });
            self.streams.elsewhere = .{
                .context = &self.datagrams,
                .returned = &returned_to_datagrams,
            };
            self.datagrams.elsewhere = .{
                .context = &self.streams,
                .returned = &returned_to_streams,
            };
            self.publish();
        }

        fn returned_to_datagrams(context: *anyopaque, freed: Freed) void {
            const datagrams: *Datagrams(Loop) = @ptrCast(@alignCast(context));
            datagrams.returned_here(freed);
        }

        fn returned_to_streams(context: *anyopaque, freed: Freed) void {
            const streams: *Streams(Loop) = @ptrCast(@alignCast(context));
            streams.returned(freed);
        }

        /// Ports and timers that such options need.
        pub const Counts = struct { ports: u32, timers: u32 };

        pub fn count(
            connections: u32,
            spare: u32,
            listeners: u32,
            socket_slots: u32,
        ) Counts {
            const attempts = attempts_module.attempts_max(connections);
            const ports_needed = connections + spare + listeners + attempts + socket_slots;
            const races = attempts_module.races_max(connections);
            const others = races + lookup_timers + socket_slots * socket_timers;
            return .{ .ports = ports_needed, .timers = ports_needed + others };
        }

        pub fn deinit(self: *Self) void {
            self.resolving.close();
            self.datagrams.deinit();
            self.attempts.deinit();
            self.listeners.deinit();
            self.streams.deinit();
            self.* = undefined;
        }

        /// Resets every connection and closes every listener; their operations end in later turns.
        pub fn close_all(self: *Self) void {
            self.listeners.close_all();
            self.streams.end_left();
            self.streams.end_all(@intFromEnum(layout.Status.loop_closed));
            self.datagrams.end_all(@intFromEnum(layout.Status.loop_closed));
            self.resolving.close();
        }

        pub fn open_count(self: *const Self) u32 {
            return self.streams.slots.open_count + self.listeners.open_count +
                self.attempts.open_count() + self.datagrams.slots.open_count;
        }

        /// Starts to connect, to an address or to a name. The slot, or a negative status with
        /// `failed` naming the system call.
        pub fn connect(
            self: *Self,
            options: *const layout.ConnectOptions,
            failed: *layout.Syscall,
        ) i32 {
            if (options.name_length > 0) return self.attempts.connect(options);
            return self.streams.connect(options, failed);
        }

        /// Ports are below it.
        pub fn ports(self: *const Self) u32 {
            return self.datagrams.ports_end();
        }

        pub fn apply(self: *Self, operation: layout.Operation, raw: *const RawSubmission) bool {
            switch (operation) {
                .datagram_send,
                .socket_pause,
                .socket_unpause,
                .socket_close,
                .socket_abort,
                .socket_want_drain,
                => return self.datagrams.apply(operation, raw),
                .listener_close => {},
                else => return self.streams.apply(operation, raw),
            }
            const entry: layout.HandleEntry = @bitCast(raw.*);
            if (entry.flags & layout.listener_flag_drain != 0) {
                return self.listeners.drain(entry.slot, entry.generation);
            }
            return self.listeners.close(entry.slot, entry.generation);
        }

        pub fn complete(self: *Self, completion: contract.Completion) void {
            if (completion.port < self.listeners.first_port) {
                self.streams.complete(completion);
            } else if (completion.port < self.attempts.first_port) {
                self.listeners.complete(completion);
            } else if (completion.port < self.datagrams.first_port) {
                self.attempts.complete(completion);
            } else {
                self.datagrams.complete(completion);
            }
        }

        /// One reference on a buffer less.
        pub fn release(self: *Self, buffer: u32) void {
            self.streams.release(buffer);
        }

        /// A buffer is not used any more.
        pub fn returned(self: *Self, freed: Freed) void {
            self.streams.returned(freed);
        }

        pub fn timer_fired(self: *Self, id: u32) void {
            if (id < self.listeners.first_port) {
                self.streams.timer_fired(id);
            } else if (id < self.attempts.first_port) {
                self.listeners.timer_fired(id - self.listeners.first_port);
            } else if (id < self.resolving.first_timer) {
                self.attempts.timer_fired(id - self.attempts.first_timer);
            } else if (id < self.datagrams.first_timer) {
                self.resolving.timer_fired(id - self.resolving.first_timer);
            } else if (id < self.streams.first_relay_timer) {
                self.datagrams.timer_fired(id - self.datagrams.first_timer);
            } else {
                self.streams.relay_timer_fired(id - self.streams.first_relay_timer);
            }
        }

        pub fn attend(self: *Self) void {
            const closed = self.loop.counters.closed;
            self.resolving.attend(&self.attempts);
            self.attempts.attend();
            self.streams.attend();
            if (self.loop.counters.closed != closed) self.listeners.room_again();
            self.listeners.attend();
            self.datagrams.attend();
        }

        pub fn waiting(self: *const Self) bool {
            return self.streams.waiting() or self.listeners.waiting() or
                self.resolving.waiting() or self.attempts.waiting() or
                self.datagrams.waiting();
        }

        /// Takes over a connected socket. The slot, or a negative status.
        pub fn adopt(
            self: *Self,
            descriptor: i32,
            options: *const layout.StreamOptions,
            failed: *layout.Syscall,
        ) i32 {
            if (self.listeners.owns(descriptor)) return kernel.negative(.EXIST);
            return self.streams.adopt(descriptor, options, failed);
        }

        /// The descriptor of a detached connection that rests, or a negative status.
        pub fn take_detached(self: *Self, slot: u32, generation: u32) i32 {
            const descriptor = self.streams.take_detached(slot, generation);
            if (descriptor >= 0) self.listeners.room_again();
            return descriptor;
        }

        /// Puts a detached connection that rests in transit; null where that cannot be, as `rc`
        /// tells.
        pub fn hand_off(self: *Self, slot: u32, generation: u32, rc: *i32) ?transit.Handle {
            const handle = self.streams.hand_off(slot, generation, rc) orelse return null;
            self.listeners.room_again();
            return handle;
        }

        /// Whether loops of this process have told of something.
        pub inline fn has_arrivals(self: *const Self) bool {
            return self.streams.peers.has_arrivals();
        }

        /// Completes what they have brought about.
        pub fn take_arrivals(self: *Self) void {
            self.streams.peers.complete(self);
        }

        /// From now on what they tell wakes the loop; false when there is something already.
        pub fn arm(self: *Self) bool {
            return self.streams.peers.arm();
        }

        pub fn disarm(self: *Self) void {
            self.streams.peers.disarm();
        }

        /// Whether anything of it is the kernel's business.
        pub fn needs_kernel(self: *const Self) bool {
            // The threads that look names up wake a loop as the script's doorbells do.
            if (self.resolving.pending > 0) return true;
            return self.open_count() > self.streams.peers.open_count;
        }

        pub fn publish(self: *Self) void {
            const header = self.loop.channel.header;
            const calls = self.streams.peers.wakes + self.streams.forwards.system_calls;
            header.counters.system_calls += @floatFromInt(calls);
            header.free_sends = self.streams.nodes.free_count;
            header.open_connections = self.streams.slots.open_count;
            header.open_listeners = self.listeners.open_count;
            header.open_sockets = self.datagrams.slots.open_count;
            header.free_datagrams = self.datagrams.nodes.free_count;
        }

        pub fn listener_address(
            self: *Self,
            slot: u32,
            generation: u32,
            failed: *layout.Syscall,
        ) i32 {
            const stale = @intFromEnum(layout.Status.stale_handle);
            const listener = self.listeners.find(slot, generation) orelse return stale;
            return self.listeners.write_address(slot, listener, failed);
        }

        pub fn connection_address(
            self: *Self,
            slot: u32,
            generation: u32,
            remote: bool,
            failed: *layout.Syscall,
        ) i32 {
            const stale = @intFromEnum(layout.Status.stale_handle);
            const connection = self.streams.find(slot, generation) orelse return stale;
            return Port.write_address(&self.streams, slot, connection, remote, failed);
        }

        pub fn socket_address(
            self: *Self,
            slot: u32,
            generation: u32,
            remote: bool,
            failed: *layout.Syscall,
        ) i32 {
            const stale = @intFromEnum(layout.Status.stale_handle);
            const socket = self.datagrams.find(slot, generation) orelse return stale;
            const address = &self.loop.channel.header.address;
            return address_module.tell(sockets, socket.descriptor, remote, address, failed);
        }

        /// Changes options of an open connection or listener. 0, or a negative status.
        pub fn configure(self: *Self, control: *const layout.SocketControl) i32 {
            return socket_control.configure(self, control);
        }

        /// Reads them. 0, or a negative status.
        pub fn read_options(self: *Self, control: *layout.SocketControl) i32 {
            return socket_control.read(self, control);
        }

        /// Who is at the other end of a Unix connection. 0, or a negative status.
        pub fn read_credentials(self: *Self, credentials: *layout.PeerCredentials) i32 {
            const stale = @intFromEnum(layout.Status.stale_handle);
            const connection = self.streams.find(credentials.slot, credentials.generation) orelse
                return stale;
            if (connection.family != .unix) return @intFromEnum(layout.Status.unsupported);
            return sockets.peer_credentials(connection.descriptor, credentials);
        }
    };
}
