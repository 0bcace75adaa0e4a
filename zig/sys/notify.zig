//! How one thread tells another one's loop that there is something for it: a descriptor that
//! becomes readable. Any thread may signal; the loop forgets.

const std = @import("std");
const kernel = @import("kernel.zig");
const sockets = @import("sockets.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("notify_linux.zig"),
    .bsd => @import("notify_bsd.zig"),
};

pub const Notifier = struct {
    /// To wait for.
    descriptor: i32 = -1,
    /// To write to; the same where one does for both.
    end: i32 = -1,

    /// 0, or a negated errno.
    pub fn open(self: *Notifier) i32 {
        return system.open(&self.descriptor, &self.end);
    }

    pub fn close(self: *Notifier) void {
        if (self.end != self.descriptor) kernel.close(self.end);
        kernel.close(self.descriptor);
        self.* = .{};
    }

    pub fn is_open(self: *const Notifier) bool {
        return self.descriptor >= 0;
    }

    /// What cannot be written is no loss: the descriptor is readable then.
    pub fn signal(self: Notifier) void {
        system.signal(self.end);
    }

    /// It is not readable afterwards.
    pub fn forget(self: *const Notifier) void {
        system.forget(self.descriptor);
    }

    /// Whether it is readable within so many milliseconds.
    pub fn wait(self: *const Notifier, limit_ms: i32) bool {
        return sockets.ready_within(self.descriptor, limit_ms, .{ .readable = true }).readable;
    }
};

test "signals come together until they are forgotten" {
    var notifier: Notifier = .{};
    try std.testing.expectEqual(@as(i32, 0), notifier.open());
    defer notifier.close();
    for (0..2) |_| {
        try std.testing.expect(!notifier.wait(0));
        for (0..3) |_| notifier.signal();
        try std.testing.expect(notifier.wait(0));
        notifier.forget();
    }
    try std.testing.expect(!notifier.wait(0));
}
