//! The listeners of a loop. What they accept becomes a connection in `streams.zig`.
//!
//! Invariants: while there is a free slot a listener accepts; when there is none, or the kernel is
//! out of descriptors or memory, connections wait in the backlog and accepting starts again by
//! itself. What is accepted while a listener is being told to stop is parked and opened first.
//! Used by the loop's thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const plain = @import("../loop/channel.zig").plain;
const address_module = @import("address.zig");
const may_pass = @import("messages.zig").may_pass;
const Draining = @import("draining.zig").Draining;
const ListenerPorts = @import("listener_ports.zig").ListenerPorts;
const Inheriting = @import("inheriting.zig").Inheriting;
const Parked = @import("parked.zig").Parked;
const socket_options = @import("socket_options.zig");
const Pipe = @import("inproc/pipe.zig").Pipe;
const unix_path = @import("unix_path.zig");
const Link = @import("../memory/list.zig").Link;
const List = @import("../memory/list.zig").List;

const retry_first_ms = 10;
const retry_longest_ms = 1000;

/// `draining`: takes what waits in the backlog, and then closes.
const State = enum(u8) { free = 0, open, draining, closing };

pub const Listener = struct {
    state: State,
    family: layout.AddressFamily,
    descriptor: i32,
    generation: u32,
    /// The turn in which the slot was last freed: the script has to be told before it is used
    /// again.
    freed_turn: u64,
    stream: layout.StreamOptions,
    /// Accepted sockets have to be given some of the options.
    gives_options: bool,
    path: unix_path.OwnedPath,
    accepting: bool,
    cancelled: bool,
    /// Accepting failed; a timer starts it again.
    retrying: bool,
    retry_ms: u32,
    /// Others have descriptors of the same socket: it goes on without this one.
    shared: bool,
    /// Accepting answers EAGAIN instead of waiting: the next one is waited for with a poll.
    must_poll: bool,
    /// While draining: what may still be accepted.
    drain_left: u32,
    attention: Link,

    fn accepts(self: *const Listener) bool {
        return self.state == .open or self.state == .draining;
    }

    /// It listens on an in-process name and not with a socket.
    pub fn is_named(self: *const Listener) bool {
        return self.family == .inproc;
    }
};

pub fn Listeners(comptime Loop: type, comptime Streams: type) type {
    return struct {
        const Self = @This();
        pub const sockets = Loop.Backend.sockets;
        pub const Backend = Loop.Backend;
        const Drain = Draining(Self);
        const Port = ListenerPorts(Self);
        const Inherit = Inheriting(Self);

        loop: *Loop,
        streams: *Streams,
        listeners: []Listener,
        /// Ports of listeners follow those of connections; so do their timers.
        first_port: u32,
        open_count: u32,
        attention: List(Listener, "attention"),
        parked: Parked,

        pub fn init(loop: *Loop, streams: *Streams, slots: u32) error{OutOfMemory}!Self {
            var parked: Parked = try .init();
            errdefer parked.deinit();
            return .{
                .loop = loop,
                .streams = streams,
                .parked = parked,
                .listeners = try mapped.allocate(Listener, slots),
                .first_port = @intCast(streams.connections.len),
                .open_count = 0,
                .attention = .{},
            };
        }

        pub fn deinit(self: *Self) void {
            while (self.parked.pop()) |parked| sockets.reset(parked.descriptor);
            for (self.listeners) |*listener| {
                if (listener.state == .free or listener.is_named()) continue;
                listener.path.remove();
                sockets.close(listener.descriptor);
            }
            mapped.free(Listener, self.listeners);
            self.parked.deinit();
            self.* = undefined;
        }

        pub fn find(self: *Self, slot: u32, generation: u32) ?*Listener {
            if (slot >= self.listeners.len) return null;
            const listener = &self.listeners[slot];
            if (!listener.accepts() or listener.generation != generation) return null;
            return listener;
        }

        /// Whether a listener of this loop has the descriptor.
        pub fn owns(self: *const Self, descriptor: i32) bool {
            for (self.listeners) |listener| {
                if (listener.state != .free and listener.descriptor == descriptor) return true;
            }
            return false;
        }

        /// The slot, or a negative status with `failed` naming the system call.
        pub fn listen(
            self: *Self,
            options: *const layout.ListenOptions,
            failed: *layout.Syscall,
        ) i32 {
            if (options.address.family == @intFromEnum(layout.AddressFamily.descriptor)) {
                return Inherit.listen(self, options, failed);
            }
            if (address_module.is_inproc(&options.address)) return self.listen_on_name(options);
            const address = address_module.to_kernel(&options.address) orelse
                return @intFromEnum(layout.Status.bad_argument);
            const slot = self.free_slot() orelse return @intFromEnum(layout.Status.exhausted);
            failed.* = .socket;
            const family = address_module.family(&address);
            if (!may_pass(&options.stream, family)) {
                return @intFromEnum(layout.Status.bad_argument);
            }
            const descriptor = sockets.open_stream(family, Loop.Backend.nonblocking);
            if (descriptor < 0) return descriptor;
            if (descriptor >= Loop.Backend.descriptors_max) {
                sockets.close(descriptor);
                return @intFromEnum(layout.Status.descriptor_limit);
            }
            const listener = &self.listeners[slot];
            const rc = self.prepare(descriptor, &address, options, &listener.path, failed);
            if (rc < 0) {
                listener.path.remove();
                sockets.close(descriptor);
                return rc;
            }
            self.occupy(slot, descriptor, @enumFromInt(options.address.family), &options.stream);
            return @intCast(slot);
        }

        fn listen_on_name(self: *Self, options: *const layout.ListenOptions) i32 {
            const bad_argument = @intFromEnum(layout.Status.bad_argument);
            const name = address_module.name_of(&options.address) orelse return bad_argument;
            // A pipe has no control data.
            if (options.stream.descriptors != 0) return bad_argument;
            const slot = self.free_slot() orelse return @intFromEnum(layout.Status.exhausted);
            const port = self.first_port + slot;
            const generation = self.listeners[slot].generation;
            var target: socket_options.Target = .of_pipe(.listener, options.stream.best_effort);
            var rc = target.apply(sockets, &options.stream.socket);
            if (rc < 0) {
                self.loop.channel.note_option(target.refused.?);
                return rc;
            }
            rc = self.streams.peers.listen(port, generation, name, options.backlog);
            if (rc < 0) return rc;
            self.listeners[slot].path = .{};
            self.occupy(slot, -1, .inproc, &options.stream);
            return @intCast(slot);
        }

        /// Makes a free slot a listener.
        pub fn occupy(
            self: *Self,
            slot: u32,
            descriptor: i32,
            family: layout.AddressFamily,
            stream: *const layout.StreamOptions,
        ) void {
            const listener = &self.listeners[slot];
            listener.state = .open;
            listener.family = family;
            listener.descriptor = descriptor;
            listener.stream = stream.*;
            listener.shared = false;
            listener.must_poll = false;
            self.note_options(listener);
            listener.accepting = false;
            listener.cancelled = false;
            listener.retrying = false;
            listener.retry_ms = retry_first_ms;
            self.open_count += 1;
            self.attention.push(self.listeners, slot);
        }

        /// Another descriptor of the listener, the caller's, or a negative status.
        pub const share = Inherit.share;

        /// Half of the slots may be open; the others rest until the script was told of their end.
        pub fn free_slot(self: *const Self) ?u32 {
            if (self.open_count >= self.listeners.len / 2) return null;
            const turn = self.loop.counters.turns;
            for (self.listeners, 0..) |listener, slot| {
                if (listener.state != .free) continue;
                if (listener.generation == 0 or listener.freed_turn != turn) return @intCast(slot);
            }
            return null;
        }

        fn prepare(
            self: *Self,
            descriptor: i32,
            address: *const sockets.SocketAddress,
            options: *const layout.ListenOptions,
            path: *unix_path.OwnedPath,
            failed: *layout.Syscall,
        ) i32 {
            failed.* = .setsockopt;
            path.* = .{};
            var target: socket_options.Target = .{
                .descriptor = descriptor,
                .use = .listener,
                .family = address_module.family(address),
                .best_effort = options.stream.best_effort != 0,
            };
            var rc = target.apply(sockets, &options.stream.socket);
            if (rc < 0) {
                self.loop.channel.note_option(target.refused.?);
                return rc;
            }
            failed.* = .bind;
            rc = if (options.address.family == @intFromEnum(layout.AddressFamily.unix))
                unix_path.bind(descriptor, address, .{
                    .unlink_stale = options.unlink_stale != 0,
                    .mode = options.mode,
                }, path)
            else
                sockets.bind(descriptor, address);
            if (rc < 0) return rc;
            failed.* = .listen;
            return sockets.listen(descriptor, options.backlog);
        }

        /// To be called when the options of its connections have changed.
        pub fn note_options(self: *Self, listener: *Listener) void {
            _ = self;
            const family = address_module.kernel_family(listener.family);
            listener.gives_options = socket_options.has_losses(&listener.stream.socket, family);
        }

        /// Opens a connection that it accepted, with the options that it does not have by itself.
        fn open(self: *Self, slot: u32, descriptor: i32) void {
            const listener = &self.listeners[slot];
            if (listener.gives_options) {
                var target: socket_options.Target = .{
                    .descriptor = descriptor,
                    .use = .connection,
                    .family = address_module.kernel_family(listener.family),
                    // The listener has them; it is the peer that may be gone already.
                    .best_effort = true,
                };
                _ = target.apply_inheritance(sockets, &listener.stream.socket);
            }
            self.streams.open_accepted(descriptor, slot, listener.family, &listener.stream);
        }

        pub fn close(self: *Self, slot: u32, generation: u32) bool {
            const listener = self.find(slot, generation) orelse return false;
            listener.state = .closing;
            if (listener.is_named()) {
                self.streams.peers.stop_listening(self.first_port + slot);
            } else if (!listener.shared) {
                listener.path.remove();
                sockets.stop_listening(listener.descriptor);
            }
            self.drop_parked(slot);
            self.loop.stop_user_timer(self.first_port + slot);
            self.attention.push(self.listeners, slot);
            return true;
        }

        /// Closes once what waits in the backlog is accepted.
        pub const drain = Drain.begin;

        pub fn complete(self: *Self, completion: contract.Completion) void {
            const slot = completion.port - self.first_port;
            const listener = &self.listeners[slot];
            if (!completion.more) {
                listener.accepting = false;
                listener.cancelled = false;
                self.attention.push(self.listeners, slot);
            }
            if (completion.result < 0) {
                self.failed_to_accept(slot, listener, completion.result);
            } else if (completion.kind == .accept) {
                self.accepted(slot, listener, completion.result);
            } else {
                std.debug.assert(completion.kind == .poll);
            }
        }

        pub fn accepted(self: *Self, slot: u32, listener: *Listener, descriptor: i32) void {
            listener.retry_ms = retry_first_ms;
            if (!listener.accepts()) return sockets.reset(descriptor);
            if (descriptor >= Loop.Backend.descriptors_max) {
                return self.refuse(slot, listener, descriptor);
            }
            if (self.streams.accepts_more() and self.parked.count == 0) {
                self.open(slot, descriptor);
            } else if (!self.parked.push(.{ .descriptor = descriptor, .listener = slot })) {
                sockets.reset(descriptor);
                self.report(slot, listener, @intFromEnum(layout.Status.exhausted));
            }
            if (!self.streams.accepts_more()) self.attention.push(self.listeners, slot);
        }

        /// What has connected to a name, for which there is a slot.
        pub fn accepted_pipe(self: *Self, port: u32, pipe: *Pipe) void {
            const slot = port - self.first_port;
            self.streams.open_piped(pipe, slot, &self.listeners[slot].stream);
            if (!self.streams.accepts_more()) self.attention.push(self.listeners, slot);
        }

        /// The backend cannot use a descriptor so high: others wait until lower ones may be free.
        fn refuse(self: *Self, slot: u32, listener: *Listener, descriptor: i32) void {
            sockets.reset(descriptor);
            self.failed_to_accept(slot, listener, @intFromEnum(layout.Status.descriptor_limit));
            if (!listener.accepting or listener.cancelled) return;
            const port = self.first_port + slot;
            const backend = &self.loop.backend;
            listener.cancelled =
                backend.cancel(port, listener.generation, listener.descriptor, .all);
        }

        fn open_parked(self: *Self) void {
            while (self.streams.accepts_more() and self.loop.channel.room() > 0) {
                const parked = self.parked.pop() orelse return;
                if (self.listeners[parked.listener].state == .draining) {
                    self.attention.push(self.listeners, parked.listener);
                }
                self.open(parked.listener, parked.descriptor);
            }
        }

        /// Resets what waits for a listener that goes; the others keep their order.
        fn drop_parked(self: *Self, listener: u32) void {
            for (0..self.parked.count) |_| {
                const parked = self.parked.pop().?;
                if (parked.listener == listener) {
                    sockets.reset(parked.descriptor);
                } else {
                    const kept = self.parked.push(parked);
                    std.debug.assert(kept);
                }
            }
        }

        fn failed_to_accept(self: *Self, slot: u32, listener: *Listener, result: i32) void {
            switch (result) {
                // It does not block, because others have it as well, of whom nobody here may know:
                // it is waited for in another way.
                kernel.negative(.AGAIN) => {
                    listener.must_poll = true;
                    return;
                },
                // Ours, or the peer's business: the connection went away before it was accepted.
                kernel.negative(.CANCELED),
                kernel.negative(.INTR),
                kernel.negative(.CONNABORTED),
                kernel.negative(.PROTO),
                => return,
                else => {},
            }
            self.retry_later(slot, listener, result);
        }

        /// Tells of what is missing, and has accepting begin again after a pause.
        pub fn retry_later(self: *Self, slot: u32, listener: *Listener, result: i32) void {
            if (!listener.accepts()) return;
            self.report(slot, listener, result);
            listener.retrying = true;
            self.loop.start_user_timer(self.first_port + slot, listener.retry_ms);
            listener.retry_ms = @min(listener.retry_ms * 2, retry_longest_ms);
        }

        pub fn report(self: *Self, slot: u32, listener: *const Listener, result: i32) void {
            const channel = &self.loop.channel;
            if (channel.room() == 0) return;
            channel.emit(plain(.listener_error, slot, listener.generation, result));
        }

        pub fn timer_fired(self: *Self, slot: u32) void {
            self.listeners[slot].retrying = false;
            self.attention.push(self.listeners, slot);
        }

        /// A connection's slot and descriptor became free: accept again where that was missing.
        pub fn room_again(self: *Self) void {
            for (self.listeners, 0..) |*listener, slot| {
                if (!listener.accepts() or listener.accepting) continue;
                const index: u32 = @intCast(slot);
                if (listener.retrying) self.loop.stop_user_timer(self.first_port + index);
                listener.retrying = false;
                self.attention.push(self.listeners, index);
            }
        }

        pub fn waiting(self: *const Self) bool {
            if (self.parked.count > 0 and self.streams.accepts_more()) return true;
            return self.attention.length > 0;
        }

        pub fn attend(self: *Self) void {
            self.open_parked();
            for (0..self.attention.length) |_| {
                self.advance(self.attention.pop(self.listeners).?);
            }
        }

        fn advance(self: *Self, slot: u32) void {
            const listener = &self.listeners[slot];
            switch (listener.state) {
                .free => {},
                .open => self.advance_open(slot, listener),
                .draining => Drain.advance(self, slot, listener),
                .closing => self.advance_closing(slot, listener),
            }
        }

        fn advance_open(self: *Self, slot: u32, listener: *Listener) void {
            if (listener.accepting) {
                if (listener.cancelled or self.streams.accepts_more()) return;
                listener.cancelled = Port.cancel(self, slot, listener);
            } else {
                if (listener.retrying or !self.streams.accepts_more()) return;
                listener.accepting = Port.accept(self, slot, listener);
            }
            if (!listener.accepting) self.attention.push(self.listeners, slot);
        }

        /// Asks once for the end of what waits for connections.
        pub fn stop_accepting(self: *Self, slot: u32, listener: *Listener) void {
            if (listener.cancelled) return;
            listener.cancelled = Port.cancel(self, slot, listener);
            if (!listener.cancelled) self.attention.push(self.listeners, slot);
        }

        fn advance_closing(self: *Self, slot: u32, listener: *Listener) void {
            if (listener.accepting) return self.stop_accepting(slot, listener);
            if (self.loop.channel.room() == 0) return self.attention.push(self.listeners, slot);
            if (!Port.close(self, slot, listener)) {
                return self.attention.push(self.listeners, slot);
            }
            self.loop.channel.emit(plain(.listener_closed, slot, listener.generation, 0));
            listener.state = .free;
            listener.generation +%= 1;
            listener.freed_turn = self.loop.counters.turns;
            self.open_count -= 1;
        }

        /// Where it listens, written for the script; a negated errno, or 0.
        pub const write_address = Port.write_address;

        pub fn close_all(self: *Self) void {
            for (self.listeners, 0..) |*listener, slot| {
                if (listener.accepts()) _ = self.close(@intCast(slot), listener.generation);
            }
        }
    };
}
