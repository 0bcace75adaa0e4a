//! Tells a process that it is the child of a fork(2), for the price of a load and a branch. What a
//! loop holds (rings, slabs, threads) does not come along into a child, so there every handle is
//! stale however valid it looks.
//!
//! One page is mapped so that the kernel wipes it in children: it holds 1 here and reads as 0 in
//! every child that has memory of its own, whichever way it was made. The advice is inherited, so
//! a child that writes 1 again is watched in turn. A child that shares our memory (vfork,
//! posix_spawn) is not told apart; all it may do is to call execve.
//!
//! Invariants: no lock and no allocation, so a fork in the middle of anything here leaves the child
//! with either no watch or a whole one; what is published stays mapped. Any thread.

const std = @import("std");
const host = @import("host.zig");
const kernel = @import("kernel.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("fork_linux.zig"),
    .bsd => @import("fork_bsd.zig"),
};

/// From here on children know. To be called before anything is made that a child must not use;
/// any number of times. In a child it changes nothing that `adopt` would.
pub fn watch() void {
    own.start();
}

/// Whether this process is a child that has not called `adopt`; false before `watch`.
pub inline fn is_child() bool {
    return own.is_child();
}

/// The child has made itself at home: `is_child` is false from now on, and true in its children.
pub fn adopt() void {
    own.adopt();
}

var own: Watch = .{};

const Word = std.atomic.Value(u32);

/// What `is_child` looks at before there is a watch: never 0.
var unwatched: Word = .init(1);
/// And where the kernel cannot wipe: always 0, so that each call compares process ids.
var undecided: Word = .init(0);

const Watch = struct {
    word: std.atomic.Value(*Word) = .init(&unwatched),
    /// The process id that is no child, with `undecided` only.
    process: std.atomic.Value(i32) = .init(0),

    /// Threads that start at once each make a page, and all but the first give theirs back.
    fn start(self: *Watch) void {
        if (self.word.load(.monotonic) != &unwatched) return;
        const page = map_wiped_in_children() orelse return self.start_without_wiping();
        const word: *Word = @ptrCast(page.ptr);
        word.store(1, .monotonic);
        if (self.publish(word)) return;
        kernel.unmap(page);
    }

    /// The fallback, for the price of a system call each time. It takes a child for its ancestor
    /// when that has ended and the child was given its process id.
    fn start_without_wiping(self: *Watch) void {
        self.process.store(host.process_number(), .monotonic);
        _ = self.publish(&undecided);
    }

    fn publish(self: *Watch, word: *Word) bool {
        return self.word.cmpxchgStrong(&unwatched, word, .release, .monotonic) == null;
    }

    inline fn is_child(self: *const Watch) bool {
        if (self.word.load(.acquire).load(.monotonic) != 0) return false;
        return self.decide();
    }

    fn decide(self: *const Watch) bool {
        if (self.word.load(.acquire) != &undecided) return true;
        return host.process_number() != self.process.load(.monotonic);
    }

    /// Also harmless where there is nothing to adopt.
    fn adopt(self: *Watch) void {
        const word = self.word.load(.acquire);
        if (word == &undecided) {
            self.process.store(host.process_number(), .monotonic);
        } else {
            word.store(1, .monotonic);
        }
    }
};

fn map_wiped_in_children() ?[]align(std.heap.page_size_min) u8 {
    const page = kernel.map(std.heap.page_size_min) orelse return null;
    if (system.wipe_in_children(page)) return page;
    kernel.unmap(page);
    return null;
}

/// For tests: the exit code of a child of ours that ran `body`. A child has only the thread that
/// made it, and locks of others may be held for ever: system calls only.
pub fn exit_code_of_child(context: anytype, comptime body: fn (@TypeOf(context)) u8) !u8 {
    const child = system.fork();
    if (child == 0) {
        @import("record_test.zig").forgo_leak_check();
        system.exit(body(context));
    }
    if (child < 0) return error.ForkFailed;
    var status: u32 = 0;
    while (true) {
        const waited = system.wait(child, &status);
        if (waited == child) break;
        if (waited != kernel.negative(.INTR)) return error.WaitFailed;
    }
    if (!std.posix.W.IFEXITED(status)) return error.ChildWasKilled;
    return std.posix.W.EXITSTATUS(status);
}

const Generation = struct {
    watch: *Watch,
    /// How many generations are still to come.
    below: u8,

    /// 0, or the number of the step that went wrong; children add 10.
    fn live(self: Generation) u8 {
        if (!self.watch.is_child()) return 1;
        self.watch.start();
        if (!self.watch.is_child()) return 2;
        self.watch.adopt();
        if (self.watch.is_child()) return 3;
        if (self.below == 0) return 0;
        const next: Generation = .{ .watch = self.watch, .below = self.below - 1 };
        const code = exit_code_of_child(next, live) catch return 4;
        if (code != 0) return code +| 10;
        return if (self.watch.is_child()) 5 else 0;
    }
};

fn expect_generations_told_apart(comptime begin: fn (*Watch) void) !void {
    var ours: Watch = .{};
    try std.testing.expect(!ours.is_child());
    begin(&ours);
    begin(&ours);
    try std.testing.expect(!ours.is_child());
    const child: Generation = .{ .watch = &ours, .below = 2 };
    try std.testing.expectEqual(@as(u8, 0), try exit_code_of_child(child, Generation.live));
    try std.testing.expect(!ours.is_child());
    ours.adopt();
    try std.testing.expect(!ours.is_child());
    try std.testing.expectEqual(@as(u8, 0), try exit_code_of_child(child, Generation.live));
}

test "a child, its child and the child of that know it until they adopt" {
    try expect_generations_told_apart(Watch.start);
}

test "they know it where the kernel cannot wipe" {
    try expect_generations_told_apart(Watch.start_without_wiping);
}

test "a child from before the watch is none, and can watch its own" {
    const Before = struct {
        fn live(ours: *Watch) u8 {
            if (ours.is_child()) return 1;
            ours.adopt();
            if (ours.is_child()) return 2;
            ours.start();
            if (ours.is_child()) return 3;
            const child: Generation = .{ .watch = ours, .below = 0 };
            return exit_code_of_child(child, Generation.live) catch 4;
        }
    };
    var ours: Watch = .{};
    try std.testing.expectEqual(@as(u8, 0), try exit_code_of_child(&ours, Before.live));
    try std.testing.expectEqual(&unwatched, ours.word.load(.monotonic));
}

test "the process's own watch" {
    const Child = struct {
        fn live(_: void) u8 {
            if (!is_child()) return 1;
            watch();
            if (!is_child()) return 2;
            adopt();
            return if (is_child()) 3 else 0;
        }
    };
    watch();
    watch();
    try std.testing.expect(!is_child());
    try std.testing.expectEqual(@as(u8, 0), try exit_code_of_child({}, Child.live));
    try std.testing.expect(!is_child());
}

test "threads that start a watch at once share one, and children know whenever they are made" {
    const Shared = struct {
        ours: Watch = .{},
        go: std.atomic.Value(bool) = .init(false),

        fn begin(self: *@This()) void {
            while (!self.go.load(.acquire)) std.atomic.spinLoopHint();
            self.ours.start();
        }

        fn live(self: *@This()) u8 {
            // Forked before or after the watch began: both are sound.
            _ = self.ours.is_child();
            self.ours.adopt();
            self.ours.start();
            return if (self.ours.is_child()) 1 else 0;
        }
    };
    for (0..20) |_| {
        var shared: Shared = .{};
        var threads: [3]std.Thread = undefined;
        for (&threads) |*thread| thread.* = try std.Thread.spawn(.{}, Shared.begin, .{&shared});
        shared.go.store(true, .release);
        const code = exit_code_of_child(&shared, Shared.live);
        for (threads) |thread| thread.join();
        try std.testing.expectEqual(@as(u8, 0), try code);
        try std.testing.expect(!shared.ours.is_child());
        try std.testing.expect(shared.ours.word.load(.monotonic) != &unwatched);
        const child: Generation = .{ .watch = &shared.ours, .below = 0 };
        try std.testing.expectEqual(@as(u8, 0), try exit_code_of_child(child, Generation.live));
    }
}
