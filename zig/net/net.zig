//! TCP on a loop: what concerns connections and listeners, handed on to them.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const RawSubmission = @import("../loop/channel.zig").RawSubmission;
const address_module = @import("address.zig");
const Listeners = @import("listeners.zig").Listeners;
const Streams = @import("streams.zig").Streams;

pub fn Net(comptime Loop: type) type {
    return struct {
        const Self = @This();
        const sockets = Loop.Backend.sockets;

        loop: *Loop,
        streams: Streams(Loop),
        listeners: Listeners(Loop, Streams(Loop)),

        pub const Options = struct {
            connections: u32,
            /// Slots of connections beyond that, for those whose end is being reported.
            spare: u32,
            listeners: u32,
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
            self.publish();
        }

        pub fn deinit(self: *Self) void {
            self.listeners.deinit();
            self.streams.deinit();
            self.* = undefined;
        }

        /// Resets every connection and closes every listener; their operations end in later turns.
        pub fn close_all(self: *Self) void {
            self.listeners.close_all();
            self.streams.end_all(@intFromEnum(layout.Status.loop_closed));
        }

        pub fn open_count(self: *const Self) u32 {
            return self.streams.slots.open_count + self.listeners.open_count;
        }

        /// Ports are below it.
        pub fn ports(self: *const Self) u32 {
            return self.listeners.first_port + @as(u32, @intCast(self.listeners.listeners.len));
        }

        pub fn apply(self: *Self, operation: layout.Operation, raw: *const RawSubmission) bool {
            if (operation != .listener_close) return self.streams.apply(operation, raw);
            const entry: layout.HandleEntry = @bitCast(raw.*);
            return self.listeners.close(entry.slot, entry.generation);
        }

        pub fn complete(self: *Self, completion: contract.Completion) void {
            if (completion.port < self.listeners.first_port) {
                self.streams.complete(completion);
            } else {
                self.listeners.complete(completion);
            }
        }

        /// One reference on a buffer less.
        pub fn release(self: *Self, buffer: u32) void {
            self.streams.release(buffer);
        }

        pub fn timer_fired(self: *Self, id: u32) void {
            if (id < self.listeners.first_port) {
                self.streams.timer_fired(id);
            } else {
                self.listeners.timer_fired(id - self.listeners.first_port);
            }
        }

        pub fn attend(self: *Self) void {
            const closed = self.loop.counters.closed;
            self.streams.attend();
            if (self.loop.counters.closed != closed) self.listeners.room_again();
            self.listeners.attend();
        }

        pub fn waiting(self: *const Self) bool {
            return self.streams.waiting() or self.listeners.waiting();
        }

        pub fn publish(self: *Self) void {
            const header = self.loop.channel.header;
            header.free_sends = self.streams.nodes.free_count;
            header.open_connections = self.streams.slots.open_count;
            header.open_listeners = self.listeners.open_count;
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
