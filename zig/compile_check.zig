//! Root that has everything between `sys` and a loop compiled for a system on which no backend
//! waits yet. Nobody loads it.

const std = @import("std");
const layout = @import("layout.zig");
const contract = @import("backend/contract.zig");
const Instance = @import("abi/instance.zig").Instance;
const socket_verbs = @import("sys/sockets.zig");
const host = @import("sys/host.zig");

comptime {
    for (.{
        Instance(Nothing),
        @import("abi/memory.zig"),
        @import("abi/options.zig"),
        @import("loop/waker.zig"),
        @import("memory/arena.zig"),
        @import("memory/regions.zig"),
        @import("net/address.zig"),
        @import("sys/fork.zig"),
        @import("sys/kernel.zig"),
        @import("sys/machine.zig"),
        @import("sys/memory_facts.zig"),
        @import("sys/pages.zig"),
        socket_verbs,
        host,
    }) |Space| {
        for (@typeInfo(Space).@"struct".decls) |declaration| {
            _ = &@field(Space, declaration.name);
        }
    }
    @export(&open, .{ .name = "open" });
}

/// Calls what is generic in its body.
fn open() callconv(.c) bool {
    host.at_thread_end(at_end);
    return host.start_thread(at_end) and host.thread_identity() != 0;
}

fn at_end() void {}

/// A backend on which nothing ever happens.
const Nothing = struct {
    pub const kind: layout.BackendKind = .auto;
    pub const nonblocking: bool = true;
    pub const sockets = socket_verbs;

    pub fn init(
        self: *Nothing,
        options: contract.Options,
        failure: *contract.Failure,
    ) contract.InitError!void {
        _ = self;
        _ = options;
        failure.* = .{};
        return error.Unavailable;
    }

    pub fn deinit(_: *Nothing) void {}

    pub fn grant(_: *const Nothing) contract.Grant {
        return .{};
    }

    pub fn accept(_: *Nothing, _: u32, _: u32, _: i32, _: bool) bool {
        return false;
    }

    pub fn receive(_: *Nothing, _: u32, _: u32, _: i32, _: bool) bool {
        return false;
    }

    pub fn send(_: *Nothing, _: u32, _: u32, _: i32, _: []const contract.Segment) bool {
        return false;
    }

    pub fn connect(
        _: *Nothing,
        _: u32,
        _: u32,
        _: i32,
        _: *const socket_verbs.SocketAddress,
    ) bool {
        return false;
    }

    pub fn cancel(_: *Nothing, _: u32, _: u32, _: i32, _: contract.Cancel) bool {
        return false;
    }

    pub fn forget(_: *Nothing, _: u32, _: u32, _: i32) bool {
        return true;
    }

    pub fn enter(_: *Nothing, _: u64) i32 {
        return 0;
    }

    pub fn ready(_: *Nothing) bool {
        return false;
    }

    pub fn reap(_: *Nothing, _: []contract.Completion) u32 {
        return 0;
    }

    pub fn buffers(_: *const Nothing) u32 {
        return 0;
    }

    pub fn buffers_wanted(_: *Nothing) u32 {
        return 0;
    }

    pub fn provide(_: *Nothing, _: u32) void {}

    pub fn register_slab(_: *Nothing, _: u32, _: []u8) i32 {
        return 0;
    }

    pub fn unregister_slab(_: *Nothing, _: u32) void {}

    pub fn wake_descriptor(_: *Nothing) i32 {
        return -1;
    }

    pub fn arm(_: *Nothing) void {}

    pub fn disarm(_: *Nothing) void {}

    pub fn system_calls(_: *const Nothing) u64 {
        return 0;
    }

    pub fn now_ns(_: *const Nothing) u64 {
        return host.now_ns();
    }
};
