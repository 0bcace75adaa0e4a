//! Sockets on a loop: what concerns connections, listeners and datagram sockets, handed on to them.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const RawSubmission = @import("../loop/channel.zig").RawSubmission;
const address_module = @import("address.zig");
const Datagrams = @import("datagrams.zig").Datagrams;
const Freed = @import("../memory/pool.zig").Freed;
const Listeners = @import("listeners.zig").Listeners;
const socket_control = @import("socket_control.zig");
const Streams = @import("streams.zig").Streams;

pub fn Net(comptime Loop: type) type {
    return struct {
        const Self = @This();
        pub const sockets = Loop.Backend.sockets;

        loop: *Loop,
        streams: Streams(Loop),
        listeners: Listeners(Loop, Streams(Loop)),
        datagrams: Datagrams(Loop),

        pub const Options = struct {
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
            });
            errdefer self.streams.deinit();
            self.listeners = try .init(loop, &self.streams, options.listeners);
            errdefer self.listeners.deinit();
            const listener_count: u32 = @intCast(self.listeners.listeners.len);
            try self.datagrams.init(loop, .{
                .limit = options.sockets,
                .spare = options.spare,
                .first_port = self.listeners.first_port + listener_count,
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

        pub fn deinit(self: *Self) void {
            self.datagrams.deinit();
            self.listeners.deinit();
            self.streams.deinit();
            self.* = undefined;
        }

        /// Resets every connection and closes every listener; their operations end in later turns.
        pub fn close_all(self: *Self) void {
            self.listeners.close_all();
            self.streams.end_all(@intFromEnum(layout.Status.loop_closed));
            self.datagrams.end_all(@intFromEnum(layout.Status.loop_closed));
        }

        pub fn open_count(self: *const Self) u32 {
            return self.streams.slots.open_count + self.listeners.open_count +
                self.datagrams.slots.open_count;
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
            return self.listeners.close(entry.slot, entry.generation);
        }

        pub fn complete(self: *Self, completion: contract.Completion) void {
            if (completion.port < self.listeners.first_port) {
                self.streams.complete(completion);
            } else if (completion.port < self.datagrams.first_port) {
                self.listeners.complete(completion);
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
            } else if (id < self.datagrams.first_port) {
                self.listeners.timer_fired(id - self.listeners.first_port);
            } else {
                self.datagrams.timer_fired(id - self.datagrams.first_port);
            }
        }

        pub fn attend(self: *Self) void {
            const closed = self.loop.counters.closed;
            self.streams.attend();
            if (self.loop.counters.closed != closed) self.listeners.room_again();
            self.listeners.attend();
            self.datagrams.attend();
        }

        pub fn waiting(self: *const Self) bool {
            return self.streams.waiting() or self.listeners.waiting() or
                self.datagrams.waiting();
        }

        pub fn publish(self: *Self) void {
            const header = self.loop.channel.header;
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
            return self.write_address(listener.descriptor, false, failed);
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
            return self.write_address(connection.descriptor, remote, failed);
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
            return self.write_address(socket.descriptor, remote, failed);
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

        fn write_address(
            self: *Self,
            descriptor: i32,
            remote: bool,
            failed: *layout.Syscall,
        ) i32 {
            var address: sockets.SocketAddress = undefined;
            failed.* = if (remote) .getpeername else .getsockname;
            const rc = if (remote)
                sockets.remote_address(descriptor, &address)
            else
                sockets.local_address(descriptor, &address);
            if (rc < 0) return rc;
            self.loop.channel.header.address = address_module.to_script(&address) orelse
                return @intFromEnum(layout.Status.bad_argument);
            return 0;
        }
    };
}
