//! A stream that fills several receive buffers at a time, over the readiness backends: few calls,
//! and every byte in its place.

const std = @import("std");
const linux = std.os.linux;
const contract = @import("contract.zig");
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;
const Epoll = @import("epoll.zig").Epoll;
const Kqueue = @import("kqueue.zig").Kqueue;
const Select = @import("select.zig").Select;

const testing = std.testing;
const buffer_size = 512;
const buffers = 16;
const round_bytes = 7 * buffer_size + 100;
const rounds = 20;

fn check(comptime Backend: type) !void {
    const pools = try mapped.allocate(Pool, 1);
    defer mapped.free(Pool, pools);
    const pool = &pools[0];
    try pool.init(.{
        .kind = .{ .slab_bytes = 64 * 1024 },
        .max_bytes = 64 * 1024,
        .buffer_size = buffer_size,
        .receive_count = buffers,
    });
    defer pool.deinit(true);
    var failure: contract.Failure = .{};
    const backends = try mapped.allocate(Backend, 1);
    defer mapped.free(Backend, backends);
    const backend = &backends[0];
    try backend.init(.{ .entries = 16, .ports = 4, .pool = pool }, &failure);
    defer backend.deinit();
    for (0..buffers) |_| backend.provide(pool.take_for_backend().?);

    var pair: [2]i32 = undefined;
    const kind = linux.SOCK.STREAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    const rc = kernel.result(linux.socketpair(linux.AF.UNIX, kind, 0, &pair));
    try testing.expectEqual(@as(i32, 0), rc);
    defer for (pair) |descriptor| {
        _ = linux.close(descriptor);
    };
    try testing.expect(backend.receive(1, 1, pair[0], true));
    var seen: u64 = 0;
    const before = backend.system_calls();
    for (0..rounds) |_| try pass(backend, pool, pair[1], &seen);
    try testing.expectEqual(@as(u64, rounds * round_bytes), seen);
    // Waiting is one call and receiving another; one for each buffer would be eight.
    try testing.expect(backend.system_calls() - before < 5 * rounds);
    try testing.expect(backend.cancel(1, 1, pair[0], .all));
    var out: [32]contract.Completion = undefined;
    try testing.expectEqual(@as(i32, 0), backend.enter(0));
    try testing.expectEqual(@as(u32, 1), backend.reap(&out));
    try testing.expect(backend.forget(1, 1, pair[0]));
}

/// Sends a round and takes what comes of it.
fn pass(backend: anytype, pool: *Pool, sender: i32, seen: *u64) !void {
    var bytes: [round_bytes]u8 = undefined;
    for (&bytes, seen.*..) |*byte, place| byte.* = @truncate(place % 251);
    const sent = kernel.result(linux.write(sender, &bytes, bytes.len));
    try testing.expectEqual(@as(i32, bytes.len), sent);
    const end = seen.* + bytes.len;
    var out: [32]contract.Completion = undefined;
    for (0..100) |_| {
        if (seen.* == end) return;
        try testing.expectEqual(@as(i32, 0), backend.enter(20 * std.time.ns_per_ms));
        for (out[0..backend.reap(&out)]) |completion| {
            try testing.expect(completion.more and completion.result > 0);
            const length: u32 = @intCast(completion.result);
            for (pool.pointer(completion.buffer)[0..length], seen.*..) |byte, place| {
                try testing.expectEqual(@as(u8, @truncate(place % 251)), byte);
            }
            seen.* += length;
            backend.provide(completion.buffer);
        }
    }
    return error.NothingCame;
}

test "what fills several buffers is received with few calls, in order" {
    inline for (.{ Epoll, Kqueue, Select }) |Backend| {
        check(Backend) catch |err| {
            std.debug.print("on {t}\n", .{Backend.kind});
            return err;
        };
    }
}
