//! Descriptors of the application that a loop watches for readiness: what `ready` completions tell
//! of. The loop neither reads, writes nor closes them.
//!
//! Invariants: a descriptor has at most one watch; what is ready is told at most once in a turn;
//! after `remove` nothing more is told, and its slot is free once its poll has ended. Used by the
//! loop's thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const mapped = @import("../memory/mapped.zig");
const plain = @import("../loop/channel.zig").plain;
const Link = @import("../memory/list.zig").Link;
const List = @import("../memory/list.zig").List;

/// Descriptors that can be watched are below it.
const descriptors_max = 1 << 20;

const interest_mask = layout.ready_readable | layout.ready_writable;
const failure_mask = layout.ready_error | layout.ready_hangup;

const State = enum(u8) { free = 0, open, closing };

const Watch = struct {
    state: State,
    descriptor: i32,
    identity: kernel.Identity,
    /// Changes when the slot is freed; the epoch of its poll.
    generation: u32,
    interest: u32,
    edge: bool,
    polling: bool,
    /// The end of the poll has been asked for.
    cancelled: bool,
    /// What the poll under way waits for.
    polled: u32,
    polled_edge: bool,
    /// Told of in this turn and not polled any more: goes on with the next turn.
    resting: Link,
    attention: Link,
};

pub fn Watches(comptime Loop: type) type {
    return struct {
        const Self = @This();

        loop: *Loop,
        watches: []Watch,
        first_port: u32,
        /// By descriptor: 1 + the slot of its watch, 0 for none.
        slots: []u32,
        open_count: u32,
        /// Where to look for a free slot first.
        next_slot: u32,
        attention: List(Watch, "attention"),
        resting: List(Watch, "resting"),
        /// The turn in which those that rest were told of.
        rest_turn: u64,

        pub fn init(loop: *Loop, first_port: u32, count: u32) error{OutOfMemory}!Self {
            const watches = try mapped.allocate(Watch, count);
            errdefer mapped.free(Watch, watches);
            return .{
                .loop = loop,
                .watches = watches,
                .first_port = first_port,
                .slots = try mapped.allocate(u32, descriptors_max),
                .open_count = 0,
                .next_slot = 0,
                .attention = .{},
                .resting = .{},
                .rest_turn = 0,
            };
        }

        pub fn deinit(self: *Self) void {
            mapped.free(u32, self.slots);
            mapped.free(Watch, self.watches);
            self.* = undefined;
        }

        /// The slot, or a negative status.
        pub fn add(self: *Self, descriptor: i32, interest: u32) i32 {
            if (!valid(interest)) return @intFromEnum(layout.Status.bad_argument);
            const edge = interest & layout.watch_edge != 0;
            if (edge and !Loop.Backend.has_edges) return @intFromEnum(layout.Status.unsupported);
            var identity: kernel.Identity = .{};
            const rc = check(descriptor, &identity);
            if (rc < 0) return rc;
            const place: usize = @intCast(descriptor);
            if (self.slots[place] != 0) return kernel.negative(.EXIST);
            const slot = self.free_slot() orelse return @intFromEnum(layout.Status.exhausted);
            const watch = &self.watches[slot];
            watch.state = .open;
            watch.descriptor = descriptor;
            watch.identity = identity;
            watch.interest = interest & interest_mask;
            watch.edge = edge;
            self.slots[place] = slot + 1;
            self.open_count += 1;
            self.start(slot, watch);
            return @intCast(slot);
        }

        fn valid(interest: u32) bool {
            return interest & ~(interest_mask | layout.watch_edge) == 0 and
                interest & interest_mask != 0;
        }

        fn check(descriptor: i32, identity: *kernel.Identity) i32 {
            if (descriptor < 0) return kernel.negative(.BADF);
            const rc = kernel.check_pollable(descriptor, identity);
            if (rc < 0) return rc;
            const most = @min(descriptors_max, Loop.Backend.descriptors_max);
            return if (descriptor < most) 0 else @intFromEnum(layout.Status.descriptor_limit);
        }

        /// Whether the descriptor is watched.
        pub fn has(self: *const Self, descriptor: i32) bool {
            if (descriptor < 0 or descriptor >= descriptors_max) return false;
            return self.slots[@intCast(descriptor)] != 0;
        }

        fn free_slot(self: *Self) ?u32 {
            const count: u32 = @intCast(self.watches.len);
            if (self.open_count == count) return null;
            for (0..count) |_| {
                const slot = self.next_slot;
                self.next_slot = if (slot + 1 == count) 0 else slot + 1;
                if (self.watches[slot].state == .free) return slot;
            }
            return null;
        }

        pub fn generation_of(self: *const Self, slot: u32) u32 {
            return self.watches[slot].generation;
        }

        /// 0, or a negative status.
        pub fn modify(self: *Self, slot: u32, generation: u32, interest: u32) i32 {
            const watch = self.find(slot, generation) orelse return kernel.negative(.NOENT);
            if (!valid(interest)) return @intFromEnum(layout.Status.bad_argument);
            const edge = interest & layout.watch_edge != 0;
            if (edge and !Loop.Backend.has_edges) return @intFromEnum(layout.Status.unsupported);
            if (is_lost(watch)) {
                self.end(slot, watch, .lost_poll);
                return kernel.negative(.BADF);
            }
            watch.interest = interest & interest_mask;
            watch.edge = edge;
            self.stop(slot, watch, .poll);
            return 0;
        }

        /// Whether its descriptor was closed: nothing may be done to who has the number now.
        fn is_lost(watch: *const Watch) bool {
            var identity: kernel.Identity = .{};
            const rc = kernel.check_pollable(watch.descriptor, &identity);
            return rc < 0 or !std.meta.eql(identity, watch.identity);
        }

        /// 0, or a negative status. The descriptor may be closed afterwards.
        pub fn remove(self: *Self, slot: u32, generation: u32) i32 {
            const watch = self.find(slot, generation) orelse return kernel.negative(.NOENT);
            self.end(slot, watch, if (is_lost(watch)) .lost_poll else .poll);
            return 0;
        }

        fn end(self: *Self, slot: u32, watch: *Watch, how: contract.Cancel) void {
            watch.state = .closing;
            self.slots[@intCast(watch.descriptor)] = 0;
            self.stop(slot, watch, how);
        }

        fn find(self: *Self, slot: u32, generation: u32) ?*Watch {
            if (slot >= self.watches.len) return null;
            const watch = &self.watches[slot];
            if (watch.state != .open or watch.generation != generation) return null;
            return watch;
        }

        fn start(self: *Self, slot: u32, watch: *Watch) void {
            watch.polled = watch.interest;
            watch.polled_edge = watch.edge;
            watch.cancelled = false;
            watch.polling = self.loop.backend.poll(
                self.first_port + slot,
                watch.generation,
                watch.descriptor,
                .{
                    .readable = watch.interest & layout.ready_readable != 0,
                    .writable = watch.interest & layout.ready_writable != 0,
                },
                watch.edge,
            );
            if (!watch.polling) self.attention.push(self.watches, slot);
        }

        /// Asks for the end of the poll; what follows that is up to `advance`.
        fn stop(self: *Self, slot: u32, watch: *Watch, how: contract.Cancel) void {
            if (watch.polling and !watch.cancelled) {
                watch.cancelled = self.loop.backend.cancel(
                    self.first_port + slot,
                    watch.generation,
                    watch.descriptor,
                    how,
                );
            }
            if (!watch.polling or !watch.cancelled) self.attention.push(self.watches, slot);
        }

        /// A completion of the backend for a watch's port.
        pub fn complete(self: *Self, completion: contract.Completion) void {
            const slot = completion.port - self.first_port;
            const watch = &self.watches[slot];
            std.debug.assert(completion.kind == .poll);
            if (watch.state == .free or watch.generation != completion.epoch) return;
            if (!completion.more) watch.polling = false;
            if (watch.state == .open) self.tell(slot, watch, completion.result);
            if (watch.polling) return;
            if (watch.state == .open and !watch.cancelled) {
                self.rest_turn = self.loop.counters.turns;
                self.resting.push(self.watches, slot);
            } else {
                self.attention.push(self.watches, slot);
            }
        }

        fn tell(self: *Self, slot: u32, watch: *Watch, result: i32) void {
            const channel = &self.loop.channel;
            if (result < 0) {
                const cancelled = kernel.negative(.CANCELED);
                if (result == cancelled or result == kernel.negative(.INTR)) return;
                channel.emit(plain(.ready, slot, watch.generation, result));
                watch.state = .closing;
                self.slots[@intCast(watch.descriptor)] = 0;
                return;
            }
            const told = @as(u32, @intCast(result)) & (watch.interest | failure_mask);
            if (told == 0) return;
            channel.emit(plain(.ready, slot, watch.generation, @intCast(told)));
        }

        pub fn waiting(self: *const Self) bool {
            return self.attention.length > 0 or self.resting.length > 0;
        }

        pub fn attend(self: *Self) void {
            if (self.rest_turn != self.loop.counters.turns) {
                for (0..self.resting.length) |_| {
                    self.advance(self.resting.pop(self.watches).?);
                }
            }
            for (0..self.attention.length) |_| {
                self.advance(self.attention.pop(self.watches).?);
            }
        }

        fn advance(self: *Self, slot: u32) void {
            const watch = &self.watches[slot];
            switch (watch.state) {
                .free => {},
                .open => if (!watch.polling) {
                    self.start(slot, watch);
                } else if (watch.polled != watch.interest or watch.polled_edge != watch.edge) {
                    self.stop(slot, watch, .poll);
                },
                .closing => if (watch.polling)
                    // Whoever had the descriptor may have closed it meanwhile.
                    self.stop(slot, watch, if (is_lost(watch)) .lost_poll else .poll)
                else
                    self.finish(slot, watch),
            }
        }

        fn finish(self: *Self, slot: u32, watch: *Watch) void {
            const backend = &self.loop.backend;
            const port = self.first_port + slot;
            // Its number may be a connection's by now.
            if (!backend.forget(port, watch.generation, -1)) {
                return self.attention.push(self.watches, slot);
            }
            watch.state = .free;
            watch.generation +%= 1;
            self.open_count -= 1;
        }

        /// Also of those that rest: a loop that closes has no next turn.
        pub fn close_all(self: *Self) void {
            self.rest_turn = std.math.maxInt(u64);
            for (self.watches, 0..) |*watch, slot| {
                if (watch.state != .open) continue;
                _ = self.remove(@intCast(slot), watch.generation);
            }
        }
    };
}

/// A backend that may have no room, and a loop over it.
const Stub = struct {
    pub const Backend = struct {
        pub const has_edges: bool = true;
        pub const descriptors_max: i32 = std.math.maxInt(i32);

        has_room: bool = true,
        edge: ?bool = null,
        cancelled: bool = false,

        fn poll(
            self: *Backend,
            _: u32,
            _: u32,
            _: i32,
            _: contract.Interest,
            edge: bool,
        ) bool {
            if (self.has_room) self.edge = edge;
            return self.has_room;
        }

        fn cancel(self: *Backend, _: u32, _: u32, _: i32, _: contract.Cancel) bool {
            self.cancelled = self.has_room;
            return self.has_room;
        }

        fn forget(self: *Backend, _: u32, _: u32, _: i32) bool {
            return self.has_room;
        }
    };

    backend: Backend = .{},
    counters: struct { turns: u64 = 0 } = .{},
    channel: struct {
        fn emit(_: *@This(), _: layout.Completion) void {}
    } = .{},
};

test "a change for which there is no room is made once there is" {
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    defer for (pair) |descriptor| kernel.close(descriptor);
    var loop: Stub = .{};
    var watches: Watches(Stub) = try .init(&loop, 0, 1);
    defer watches.deinit();
    try std.testing.expectEqual(@as(i32, 0), watches.add(pair[0], layout.ready_readable));
    loop.backend.has_room = false;
    const changed = layout.ready_readable | layout.watch_edge;
    try std.testing.expectEqual(@as(i32, 0), watches.modify(0, 0, changed));
    watches.attend();
    loop.backend.has_room = true;
    watches.attend();
    try std.testing.expect(loop.backend.cancelled);
    watches.complete(.{
        .kind = .poll,
        .more = false,
        .port = 0,
        .epoch = 0,
        .result = kernel.negative(.CANCELED),
    });
    watches.attend();
    try std.testing.expectEqual(@as(?bool, true), loop.backend.edge);
    try std.testing.expect(!watches.waiting());
}
