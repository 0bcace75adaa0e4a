//! How a lookup learns that nobody wants its answer any more: a flag, and a descriptor that its
//! waits watch as well. Set by any thread, looked at by the one that looks up.

const std = @import("std");
const Notifier = @import("../../sys/notify.zig").Notifier;

pub const Stop = struct {
    notifier: Notifier = .{},
    wanted: std.atomic.Value(bool) = .init(false),

    pub fn request(self: *Stop) void {
        self.wanted.store(true, .release);
        self.notifier.signal();
    }

    /// After a wait that found the descriptor readable: what else it was signalled for must not end
    /// every wait from now on.
    pub fn looked(self: *const Stop) void {
        if (!self.is_wanted()) self.notifier.forget();
    }

    pub fn is_wanted(self: *const Stop) bool {
        return self.wanted.load(.acquire);
    }
};
