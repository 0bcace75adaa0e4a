//! The doorbells of one loop: which it has, and that it tells the script of those that were rung.
//!
//! Its mailbox comes with the first doorbell. Where the backend's ring takes no messages the loop
//! polls a descriptor on a port of its own. Used by the loop's thread only; others ring through
//! `doorbells.zig`.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Notifier = @import("../sys/notify.zig").Notifier;
const mapped = @import("../memory/mapped.zig");
const plain = @import("channel.zig").plain;
const doorbells = @import("doorbells.zig");
const Handle = doorbells.Handle;

/// Doorbells of one loop.
pub const count_max = 1024;

pub fn LoopDoorbells(comptime Loop: type) type {
    return struct {
        const Self = @This();

        loop: *Loop,
        port: u32,
        own: []Handle,
        count: u32,
        mailbox: ?u32,
        /// What is polled; not open where messages come, or before the first doorbell.
        notifier: Notifier,
        polling: bool,
        cancelled: bool,
        /// Somebody rang, or may have.
        notified: bool,

        pub fn init(loop: *Loop, port: u32) error{OutOfMemory}!Self {
            return .{
                .loop = loop,
                .port = port,
                .own = try mapped.allocate(Handle, count_max),
                .count = 0,
                .mailbox = null,
                .notifier = .{},
                .polling = false,
                .cancelled = false,
                .notified = false,
            };
        }

        pub fn deinit(self: *Self) void {
            self.forget_all();
            if (self.notifier.is_open()) self.notifier.close();
            mapped.free(Handle, self.own);
            self.* = undefined;
        }

        /// A new doorbell, or a negative status.
        pub fn add(self: *Self, made: *Handle) i32 {
            const exhausted = @intFromEnum(layout.Status.exhausted);
            if (self.count == count_max) return exhausted;
            const rc = self.open_mailbox();
            if (rc < 0) return rc;
            made.* = doorbells.add(self.mailbox.?) orelse return exhausted;
            self.own[self.count] = made.*;
            self.count += 1;
            return 0;
        }

        pub fn remove(self: *Self, slot: u32, generation: u32) i32 {
            for (self.own[0..self.count]) |*handle| {
                if (handle.slot != slot or handle.generation != generation) continue;
                doorbells.remove(slot);
                self.count -= 1;
                handle.* = self.own[self.count];
                return 0;
            }
            return @intFromEnum(layout.Status.stale_handle);
        }

        /// How the loop can be woken from now on. 0, or a negative status.
        pub fn open_mailbox(self: *Self) i32 {
            if (self.mailbox != null) return 0;
            const ring = self.loop.backend.message_target();
            if (ring == null and !self.notifier.is_open()) {
                const rc = self.open_notifier();
                if (rc < 0) return rc;
            }
            const target: doorbells.Target =
                if (ring) |to| .{ .ring = to } else .{ .notifier = self.notifier };
            self.mailbox = doorbells.open_mailbox(target) orelse
                return @intFromEnum(layout.Status.exhausted);
            self.start();
            return 0;
        }

        fn open_notifier(self: *Self) i32 {
            const rc = self.notifier.open();
            if (rc < 0) return rc;
            if (self.notifier.descriptor < Loop.Backend.descriptors_max) return 0;
            self.notifier.close();
            return @intFromEnum(layout.Status.descriptor_limit);
        }

        fn start(self: *Self) void {
            if (!self.notifier.is_open() or self.polling or self.mailbox == null) return;
            const interest: contract.Interest = .{ .readable = true };
            self.cancelled = false;
            const descriptor = self.notifier.descriptor;
            self.polling = self.loop.backend.poll(self.port, 0, descriptor, interest, false);
        }

        /// A message came, or the notifier is readable.
        pub fn complete(self: *Self, completion: contract.Completion) void {
            if (completion.kind == .poll) {
                if (!completion.more) self.polling = false;
                if (completion.result > 0) self.notifier.forget();
            }
            self.notified = true;
        }

        pub fn attend(self: *Self) void {
            if (self.mailbox == null) self.close() else self.start();
            if (self.notified) self.tell();
        }

        fn tell(self: *Self) void {
            self.notified = false;
            doorbells.answer(self.mailbox orelse return);
            for (self.own[0..self.count]) |handle| {
                if (self.loop.channel.room() == 0) {
                    self.notified = true;
                    return;
                }
                if (!doorbells.take(handle.slot)) continue;
                self.loop.channel.emit(plain(.rung, handle.slot, handle.generation, 0));
            }
        }

        pub fn waiting(self: *const Self) bool {
            if (self.notified) return true;
            if (self.mailbox == null) return self.polling and !self.cancelled;
            return self.notifier.is_open() and !self.polling;
        }

        /// From now on nobody rings here; the poll ends in a later turn.
        pub fn close(self: *Self) void {
            self.forget_all();
            if (!self.polling or self.cancelled) return;
            const descriptor = self.notifier.descriptor;
            self.cancelled = self.loop.backend.cancel(self.port, 0, descriptor, .poll);
        }

        fn forget_all(self: *Self) void {
            for (self.own[0..self.count]) |handle| doorbells.remove(handle.slot);
            self.count = 0;
            if (self.mailbox) |number| doorbells.close_mailbox(number);
            self.mailbox = null;
        }

        /// Operations that have not ended.
        pub fn open_count(self: *const Self) u32 {
            return @intFromBool(self.polling);
        }
    };
}

/// A backend without messages that may have no room, and a loop over it.
const Stub = struct {
    pub const Backend = struct {
        pub const descriptors_max: i32 = std.math.maxInt(i32);

        has_room: bool = true,

        fn message_target(_: *Backend) ?contract.MessageTarget {
            return null;
        }

        fn poll(_: *Backend, _: u32, _: u32, _: i32, _: contract.Interest, _: bool) bool {
            return true;
        }

        fn cancel(self: *Backend, _: u32, _: u32, _: i32, _: contract.Cancel) bool {
            return self.has_room;
        }
    };

    backend: Backend = .{},
    channel: struct {
        fn room(_: *@This()) u32 {
            return 1;
        }

        fn emit(_: *@This(), _: layout.Completion) void {}
    } = .{},
};

test "a poll is cancelled once there is room for that" {
    var loop: Stub = .{};
    var own: LoopDoorbells(Stub) = try .init(&loop, 0);
    defer own.deinit();
    var made: Handle = undefined;
    try std.testing.expectEqual(@as(i32, 0), own.add(&made));
    loop.backend.has_room = false;
    own.close();
    try std.testing.expect(own.waiting());
    loop.backend.has_room = true;
    own.attend();
    try std.testing.expect(own.cancelled);
    try std.testing.expect(!own.waiting());
}
