//! What is taken from the process that loads the library, instead of linking a libc: the same file
//! then loads on glibc and musl. All symbols are weak: absent ones are null and have a fallback.

const std = @import("std");
const linux = std.os.linux;
const Lock = @import("lock.zig").Lock;

const ClockGetTime = fn (clock: i32, time: *linux.timespec) callconv(.c) i32;
const ThreadStart = fn (argument: ?*anyopaque) callconv(.c) ?*anyopaque;
const ThreadCreate = fn (
    thread: *usize,
    attributes: ?*const anyopaque,
    start: *const ThreadStart,
    argument: ?*anyopaque,
) callconv(.c) i32;

const KeyDestructor = fn (value: ?*anyopaque) callconv(.c) void;
const KeyCreate = fn (key: *u32, destructor: *const KeyDestructor) callconv(.c) i32;
const SetSpecific = fn (key: u32, value: ?*const anyopaque) callconv(.c) i32;

const SymbolInfo = extern struct {
    file: ?[*:0]const u8,
    base: ?*anyopaque,
    symbol: ?[*:0]const u8,
    address: ?*anyopaque,
};
const FindAddress = fn (address: *const anyopaque, info: *SymbolInfo) callconv(.c) i32;
const FindSymbol = fn (library: *anyopaque, name: [*:0]const u8) callconv(.c) ?*anyopaque;
const ReadEnvironment = fn (name: [*:0]const u8) callconv(.c) ?[*:0]const u8;
const ErrnoLocation = fn () callconv(.c) *i32;
const OpenLibrary = fn (file: [*:0]const u8, flags: i32) callconv(.c) ?*anyopaque;

const clock_gettime = @extern(?*const ClockGetTime, .{
    .name = "clock_gettime",
    .linkage = .weak,
});
const pthread_create = @extern(?*const ThreadCreate, .{
    .name = "pthread_create",
    .linkage = .weak,
});

const pthread_key_create = @extern(?*const KeyCreate, .{
    .name = "pthread_key_create",
    .linkage = .weak,
});
const pthread_setspecific = @extern(?*const SetSpecific, .{
    .name = "pthread_setspecific",
    .linkage = .weak,
});
const dladdr = @extern(?*const FindAddress, .{ .name = "dladdr", .linkage = .weak });
const dlsym = @extern(?*const FindSymbol, .{ .name = "dlsym", .linkage = .weak });
const getenv = @extern(?*const ReadEnvironment, .{ .name = "getenv", .linkage = .weak });
const errno_location = @extern(?*const ErrnoLocation, .{
    .name = "__errno_location",
    .linkage = .weak,
});
const dlopen = @extern(?*const OpenLibrary, .{ .name = "dlopen", .linkage = .weak });

/// The same numbers in glibc and musl.
const open_lazily = 0x1;
const open_now = 0x2;
const open_if_loaded = 0x4;
const open_for_good = 0x1000;

/// The monotonic clock in nanoseconds: through the host's vDSO when there is one (20 ns against
/// 100 ns for the system call).
pub fn now_ns() u64 {
    var time: linux.timespec = undefined;
    if (clock_gettime) |call| {
        if (call(@intFromEnum(linux.CLOCK.MONOTONIC), &time) == 0) return nanoseconds(time);
    }
    _ = linux.clock_gettime(.MONOTONIC, &time);
    return nanoseconds(time);
}

fn nanoseconds(time: linux.timespec) u64 {
    const seconds: u64 = @intCast(time.sec);
    const rest: u64 = @intCast(time.nsec);
    return seconds * std.time.ns_per_s + rest;
}

pub fn has_threads() bool {
    return pthread_create != null;
}

/// A variable of the process's environment, or null.
pub fn environment(name: [*:0]const u8) ?[*:0]const u8 {
    const read = getenv orelse return null;
    return read(name);
}

/// A library, loaded for good; null where it cannot be.
pub fn load_library(file: [*:0]const u8) ?*anyopaque {
    const open = dlopen orelse return null;
    return open(file, open_now | open_for_good);
}

pub fn find_symbol(library: *anyopaque, name: [*:0]const u8) ?*anyopaque {
    const find = dlsym orelse return null;
    return find(library, name);
}

/// The error number of the last call into the host's C library that failed.
pub fn last_errno() i32 {
    const location = errno_location orelse return @intFromEnum(linux.E.IO);
    return location().*;
}

/// Keeps the library mapped until the process ends. A host may unload it while it exits (Node
/// does), and a thread that then returns from a system call would find its code gone.
fn stay_loaded() void {
    const find = dladdr orelse return;
    const open = dlopen orelse return;
    var info: SymbolInfo = undefined;
    if (find(&next_thread, &info) == 0) return;
    const file = info.file orelse return;
    _ = open(file, open_lazily | open_if_loaded | open_for_good);
}

/// Starts a thread that is never joined; false when the host has none to give.
/// `std.Thread.spawn` is no alternative: without libc it sets up thread-local storage of its own
/// and takes the host down.
pub fn start_thread(comptime body: fn () void) bool {
    const create = pthread_create orelse return false;
    stay_loaded();
    const Start = struct {
        fn run(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
            _ = argument;
            body();
            return null;
        }
    };
    var thread: usize = 0;
    return create(&thread, null, &Start.run, null) == 0;
}

/// Calls `body` on the calling thread when that ends, once for each thread that asks, however often
/// it asks. Not when the whole process ends, and not where the host has no such thing.
pub fn at_thread_end(comptime body: fn () void) void {
    const set = pthread_setspecific orelse return;
    const Key = struct {
        var lock: Lock = .{};
        var key: ?u32 = null;

        fn destroy(value: ?*anyopaque) callconv(.c) void {
            _ = value;
            body();
        }

        fn get() ?u32 {
            lock.acquire();
            defer lock.release();
            if (key) |made| return made;
            const create = pthread_key_create orelse return null;
            var made: u32 = 0;
            // A destructor outlives every loop, so its code has to as well.
            stay_loaded();
            if (create(&made, &destroy) != 0) return null;
            key = made;
            return made;
        }
    };
    // Any value but null has the destructor called.
    _ = set(Key.get() orelse return, &next_thread);
}

var next_thread: std.atomic.Value(u32) = .init(1);
threadlocal var own_thread: u32 = 0;

/// Tells the calling thread from all that live, for one instruction: where its control block is.
/// A later thread may have the same, so what is kept by it must end with the thread
/// (`at_thread_end`); where the host does not tell of that end it is `thread_number`.
pub inline fn thread_identity() usize {
    if (pthread_setspecific == null) return thread_number();
    return switch (@import("builtin").cpu.arch) {
        .x86_64 => asm ("movq %%fs:0, %[identity]"
            : [identity] "=r" (-> usize),
        ),
        .aarch64 => asm ("mrs %[identity], tpidr_el0"
            : [identity] "=r" (-> usize),
        ),
        else => thread_number(),
    };
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
