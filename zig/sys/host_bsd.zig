//! What `host.zig` is made of on macOS and FreeBSD, where every process has the libc that this
//! library is linked with.

const std = @import("std");
const builtin = @import("builtin");
const c = std.c;
const Lock = @import("lock.zig").Lock;

/// On macOS the one that kernel events use: in nanoseconds, and still while the machine sleeps.
const clock: c.clockid_t = switch (builtin.os.tag) {
    .macos => .UPTIME_RAW,
    else => .MONOTONIC,
};

pub fn now_ns() u64 {
    var time: c.timespec = undefined;
    // It fails for clocks only that the system does not have.
    _ = c.clock_gettime(clock, &time);
    const seconds: u64 = @intCast(time.sec);
    const rest: u64 = @intCast(time.nsec);
    return seconds * std.time.ns_per_s + rest;
}

pub fn has_threads() bool {
    return true;
}

const SymbolInfo = extern struct {
    file: ?[*:0]const u8,
    base: ?*anyopaque,
    symbol: ?[*:0]const u8,
    address: ?*anyopaque,
};
extern "c" fn dladdr(address: *const anyopaque, info: *SymbolInfo) c_int;

fn stay_loaded() void {
    var info: SymbolInfo = undefined;
    if (dladdr(&stay_loaded, &info) == 0) return;
    const file = info.file orelse return;
    _ = c.dlopen(file, .{ .LAZY = true, .NOLOAD = true, .NODELETE = true });
}

pub fn start_thread(comptime body: fn () void) bool {
    stay_loaded();
    const Start = struct {
        fn run(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
            _ = argument;
            body();
            return null;
        }
    };
    var thread: c.pthread_t = undefined;
    if (c.pthread_create(&thread, null, &Start.run, null) != .SUCCESS) return false;
    _ = c.pthread_detach(thread);
    return true;
}

/// pthread_key_t, which Zig's library does not have for FreeBSD.
const ThreadKey = switch (builtin.os.tag) {
    .macos => c_ulong,
    else => c_int,
};
const KeyDestructor = fn (value: ?*anyopaque) callconv(.c) void;
extern "c" fn pthread_key_create(key: *ThreadKey, destructor: *const KeyDestructor) c_int;
extern "c" fn pthread_setspecific(key: ThreadKey, value: ?*const anyopaque) c_int;

pub fn at_thread_end(comptime body: fn () void) void {
    const Key = struct {
        var lock: Lock = .{};
        var key: ?ThreadKey = null;

        fn destroy(value: ?*anyopaque) callconv(.c) void {
            _ = value;
            body();
        }

        fn get() ?ThreadKey {
            lock.acquire();
            defer lock.release();
            if (key) |made| return made;
            var made: ThreadKey = undefined;
            // A destructor outlives every loop, so its code has to as well.
            stay_loaded();
            if (pthread_key_create(&made, &destroy) != 0) return null;
            key = made;
            return made;
        }
    };
    // Any value but null has the destructor called.
    _ = pthread_setspecific(Key.get() orelse return, &Key.lock);
}

pub fn block_signals() void {
    var all: c.sigset_t = undefined;
    _ = c.sigfillset(&all);
    _ = c.sigprocmask(c.SIG.BLOCK, &all, null);
}

pub fn process_number() i32 {
    return c.getpid();
}

pub inline fn control_block() ?usize {
    return @intFromPtr(c.pthread_self());
}
