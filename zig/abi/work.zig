//! All that is done with a loop: what the loop needs of its user, handed on to whom it concerns.
//!
//! Ports are given out in one row: connections, listeners, watches, and one for doorbells.

const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const RawSubmission = @import("../loop/channel.zig").RawSubmission;
const LoopDoorbells = @import("../loop/loop_doorbells.zig").LoopDoorbells;
const Net = @import("../net/net.zig").Net;
const Watches = @import("../watch/watches.zig").Watches;

/// Longest wait for an operation to end when a loop closes, in passes of a millisecond.
const close_passes_max = 200;

pub fn Work(comptime Loop: type) type {
    return struct {
        const Self = @This();

        loop: *Loop,
        net: Net(Loop),
        watches: Watches(Loop),
        doorbells: LoopDoorbells(Loop),

        /// `self` and `loop` must stay where they are afterwards.
        pub fn init(
            self: *Self,
            loop: *Loop,
            options: Net(Loop).Options,
            watch_count: u32,
        ) error{OutOfMemory}!void {
            self.loop = loop;
            try self.net.init(loop, options);
            errdefer self.net.deinit();
            self.watches = try .init(loop, self.net.ports(), watch_count);
            errdefer self.watches.deinit();
            self.doorbells = try .init(loop, self.watches.first_port + watch_count);
            self.publish();
        }

        pub fn deinit(self: *Self) void {
            self.doorbells.deinit();
            self.watches.deinit();
            self.net.deinit();
            self.* = undefined;
        }

        /// Resets every connection, closes every listener, ends every watch, and waits for the
        /// kernel to let go of their buffers; false when it has not within the time limit.
        pub fn close_all(self: *Self) bool {
            self.doorbells.close();
            self.watches.close_all();
            self.net.close_all();
            var idle_passes: u32 = 0;
            while (idle_passes < close_passes_max) {
                const before = self.open_count();
                if (before == 0) return true;
                self.loop.discard_pass(self);
                idle_passes = if (self.open_count() < before) 0 else idle_passes + 1;
            }
            return false;
        }

        /// What the kernel has not let go of yet.
        fn open_count(self: *const Self) u32 {
            const held = contract.holding(&self.loop.backend);
            return self.net.open_count() + self.watches.open_count +
                self.doorbells.open_count() + held;
        }

        pub fn apply(self: *Self, operation: layout.Operation, raw: *const RawSubmission) bool {
            return self.net.apply(operation, raw);
        }

        pub fn complete(self: *Self, completion: contract.Completion) void {
            if (completion.kind == .message or completion.port == self.doorbells.port) {
                self.doorbells.complete(completion);
            } else if (completion.port < self.watches.first_port) {
                self.net.complete(completion);
            } else {
                self.watches.complete(completion);
            }
        }

        pub fn release(self: *Self, buffer: u32) void {
            self.net.release(buffer);
        }

        pub fn timer_fired(self: *Self, id: u32) void {
            self.net.timer_fired(id);
        }

        pub fn attend(self: *Self) void {
            // What rang is told of after its mailbox was answered, or a later ring would be lost.
            self.doorbells.attend();
            self.net.attend();
            self.watches.attend();
        }

        pub fn waiting(self: *const Self) bool {
            return self.net.waiting() or self.watches.waiting() or self.doorbells.waiting();
        }

        pub fn publish(self: *Self) void {
            self.net.publish();
            self.loop.channel.header.open_watches = self.watches.open_count;
        }
    };
}
