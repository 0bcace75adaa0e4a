//! What is taken from the process that loads the library: the clock, threads and their identity,
//! its number. Any thread.

const std = @import("std");

const system = switch (@import("system.zig").family) {
    .linux => @import("host_linux.zig"),
    .bsd => @import("host_bsd.zig"),
};

/// The monotonic clock in nanoseconds.
pub const now_ns = system.now_ns;

pub const has_threads = system.has_threads;

/// Starts a thread that is never joined; false when the host has none to give. The library stays
/// mapped from then on: a host may unload it while it exits (Node does), and a thread that then
/// returns from a system call would find its code gone.
pub const start_thread = system.start_thread;

/// Calls `body` on the calling thread when that ends, once for each thread that asks, however often
/// it asks. Not when the whole process ends, and not where the host has no such thing.
pub const at_thread_end = system.at_thread_end;

/// Leaves signals to the host's own threads; for a thread that this library started.
pub const block_signals = system.block_signals;

/// The number of this process.
pub const process_number = system.process_number;

var next_thread: std.atomic.Value(u32) = .init(1);
threadlocal var own_thread: u32 = 0;

/// Tells the calling thread from all that live, for an instruction or two: where its control block
/// is. A later thread may have the same, so what is kept by it must end with the thread
/// (`at_thread_end`); where the host does not tell of that end it is `thread_number`.
pub inline fn thread_identity() usize {
    return system.control_block() orelse thread_number();
}

/// A number that no other thread of this process has or will have (until 2^32 threads).
pub fn thread_number() u32 {
    if (own_thread == 0) own_thread = next_thread.fetchAdd(1, .monotonic);
    return own_thread;
}

test "the clock does not go back" {
    const before = now_ns();
    try std.testing.expect(before > 0);
    try std.testing.expect(now_ns() >= before);
}

test "what a thread asks for is done once, when it ends" {
    const Counter = struct {
        var count: std.atomic.Value(u32) = .init(0);

        fn add() void {
            _ = count.fetchAdd(1, .monotonic);
        }

        fn run() void {
            at_thread_end(add);
            at_thread_end(add);
        }
    };
    const first = try std.Thread.spawn(.{}, Counter.run, .{});
    first.join();
    try std.testing.expectEqual(@as(u32, 1), Counter.count.load(.monotonic));
    const second = try std.Thread.spawn(.{}, Counter.run, .{});
    second.join();
    try std.testing.expectEqual(@as(u32, 2), Counter.count.load(.monotonic));
}

test "a thread keeps its number and its identity, which no other has" {
    try std.testing.expect(thread_number() != 0);
    try std.testing.expectEqual(thread_number(), thread_number());
    try std.testing.expectEqual(thread_identity(), thread_identity());
    const Other = struct {
        var identity: usize = 0;

        fn run() void {
            identity = thread_identity();
        }
    };
    const other = try std.Thread.spawn(.{}, Other.run, .{});
    const own = thread_identity();
    other.join();
    try std.testing.expect(Other.identity != 0 and Other.identity != own);
}
