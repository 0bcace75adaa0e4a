//! What `host.zig` is made of on Linux: symbols of the process that loads the library, instead of a
//! libc that it is linked with, so that the same file loads on glibc and musl. All are weak: absent
//! ones are null and have a fallback.

const std = @import("std");
const builtin = @import("builtin");
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

/// Through the host's vDSO when there is one: 20 ns against 100 ns for the system call.
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

pub fn has_threads() bool {
    return pthread_create != null;
}

fn stay_loaded() void {
    const find = dladdr orelse return;
    const open = dlopen orelse return;
    var info: SymbolInfo = undefined;
    if (find(&stay_loaded, &info) == 0) return;
    const file = info.file orelse return;
    _ = open(file, open_lazily | open_if_loaded | open_for_good);
}

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
    _ = set(Key.get() orelse return, &Key.lock);
}

pub fn block_signals() void {
    const all: linux.sigset_t = @splat(std.math.maxInt(@typeInfo(linux.sigset_t).array.child));
    _ = linux.sigprocmask(linux.SIG.BLOCK, &all, null);
}

pub fn process_number() i32 {
    return linux.getpid();
}

/// Null where the host does not tell of a thread's end.
pub inline fn control_block() ?usize {
    if (pthread_setspecific == null) return null;
    return switch (builtin.cpu.arch) {
        .x86_64 => asm ("movq %%fs:0, %[identity]"
            : [identity] "=r" (-> usize),
        ),
        .aarch64 => asm ("mrs %[identity], tpidr_el0"
            : [identity] "=r" (-> usize),
        ),
        else => null,
    };
}
