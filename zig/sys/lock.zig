//! A small futex lock for the few places that threads share: the table of loops and the waker's
//! table. Never held across a system call that can block for long, never on a hot path.

const std = @import("std");

const futex = switch (@import("system.zig").family) {
    .linux => @import("futex_linux.zig"),
    .bsd => @import("futex_bsd.zig"),
};

pub const Lock = struct {
    /// 0: free, 1: held, 2: held and somebody waits.
    state: std.atomic.Value(u32) = .init(0),

    pub fn acquire(self: *Lock) void {
        if (self.state.cmpxchgStrong(0, 1, .acquire, .monotonic) == null) return;
        while (self.state.swap(2, .acquire) != 0) futex.wait(&self.state.raw, 2);
    }

    pub fn release(self: *Lock) void {
        if (self.state.swap(0, .release) == 2) futex.wake_one(&self.state.raw);
    }
};

test "two threads never hold the lock at once" {
    const Shared = struct {
        lock: Lock = .{},
        count: u32 = 0,

        fn add(self: *@This()) void {
            for (0..10_000) |_| {
                self.lock.acquire();
                self.count += 1;
                self.lock.release();
            }
        }
    };
    var shared: Shared = .{};
    const thread = try std.Thread.spawn(.{}, Shared.add, .{&shared});
    shared.add();
    thread.join();
    try std.testing.expectEqual(@as(u32, 20_000), shared.count);
}
