//! Messages received over every backend, as the contract tells: each in a buffer of its own, with
//! header and address before it.

const std = @import("std");
const linux = std.os.linux;
const contract = @import("contract.zig");
const datagrams = @import("../sys/datagrams.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;
const Epoll = @import("epoll.zig").Epoll;
const IoUring = @import("io_uring.zig").IoUring;
const Kqueue = @import("kqueue.zig").Kqueue;
const Select = @import("select.zig").Select;

const testing = std.testing;
const buffer_size = 512;
const payload_max = buffer_size - contract.message_payload_offset;

fn open_pool() !*Pool {
    const pools = try mapped.allocate(Pool, 1);
    errdefer mapped.free(Pool, pools);
    try pools[0].init(.{
        .kind = .{ .slab_bytes = 64 * 1024 },
        .max_bytes = 64 * 1024,
        .buffer_size = buffer_size,
        .receive_count = 16,
    });
    return &pools[0];
}

/// A datagram socket on loopback, and its address.
fn open_datagram(address: *sockets.SocketAddress) !i32 {
    const kind = linux.SOCK.DGRAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    const descriptor = kernel.result(linux.socket(linux.AF.INET, kind, 0));
    try testing.expect(descriptor >= 0);
    address.storage.in4 = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
    try testing.expectEqual(@as(i32, 0), sockets.bind(descriptor, address));
    try testing.expectEqual(@as(i32, 0), sockets.local_address(descriptor, address));
    return descriptor;
}

fn send(from: i32, to: *const sockets.SocketAddress, bytes: []const u8) !void {
    const rc = linux.sendto(from, bytes.ptr, bytes.len, 0, to.pointer(), to.length());
    try testing.expectEqual(@as(i32, @intCast(bytes.len)), kernel.result(rc));
}

fn next(backend: anytype) !contract.Completion {
    var out: [32]contract.Completion = undefined;
    for (0..100) |_| {
        try testing.expectEqual(@as(i32, 0), backend.enter(20 * std.time.ns_per_ms));
        // One at a time, so that nothing waits in `out`.
        const count = backend.reap(out[0..16]);
        try testing.expect(count <= 1);
        if (count == 1) return out[0];
    }
    return error.NothingCame;
}

fn check(comptime Backend: type) !void {
    const pool = try open_pool();
    defer mapped.free(Pool, @as([*]Pool, @ptrCast(pool))[0..1]);
    defer pool.deinit(true);
    var failure: contract.Failure = .{};
    const backends = try mapped.allocate(Backend, 1);
    defer mapped.free(Backend, backends);
    const backend = &backends[0];
    backend.init(.{ .entries = 16, .ports = 4, .pool = pool }, &failure) catch |err| {
        if (Backend == IoUring and failure.reason != .none) return;
        return err;
    };
    defer backend.deinit();
    for (0..8) |_| backend.provide(pool.take_for_backend().?);

    var from: sockets.SocketAddress = undefined;
    const sender = try open_datagram(&from);
    defer kernel.close(sender);
    var to: sockets.SocketAddress = undefined;
    const receiver = try open_datagram(&to);
    defer kernel.close(receiver);
    try testing.expect(backend.receive_message(2, 9, receiver));

    const long: [payload_max + 50]u8 = @splat('z');
    for ([_][]const u8{ "hello", "", &long, "again" }) |bytes| {
        try send(sender, &to, bytes);
        const completion = try next(backend);
        try testing.expectEqual(contract.Kind.receive_message, completion.kind);
        // The kernel's multishot receive ends with an empty message.
        try testing.expect(completion.more or bytes.len == 0);
        if (!completion.more) try testing.expect(backend.receive_message(2, 9, receiver));
        try testing.expectEqual(@as(u32, 2), completion.port);
        try testing.expectEqual(@as(u32, 9), completion.epoch);
        const kept = @min(bytes.len, payload_max);
        try testing.expectEqual(@as(i32, @intCast(kept)), completion.result);
        try testing.expect(completion.buffer != contract.no_buffer);
        try check_message(pool.pointer(completion.buffer), bytes, &from);
        backend.provide(completion.buffer);
    }
    try check_sends(backend, pool, sender, &to);
    try testing.expect(backend.cancel(2, 9, receiver, .receive_message));
    const end = try next(backend);
    try testing.expectEqual(contract.Kind.receive_message, end.kind);
    try testing.expect(!end.more);
    try testing.expectEqual(kernel.negative(.CANCELED), end.result);
    try testing.expect(backend.forget(2, 9, receiver));
}

/// A batch is taken whole, and where there is no room for a first message that is told.
fn check_sends(
    backend: anytype,
    pool: *Pool,
    sender: i32,
    to: *const sockets.SocketAddress,
) !void {
    const batches = try mapped.allocate(datagrams.Outgoing, 1);
    defer mapped.free(datagrams.Outgoing, batches);
    const batch = &batches[0];
    // Their buffers come back in another order than they were in.
    for ([_][2][]const u8{ .{ "first", "second" }, .{ "third", "4th" } }) |texts| {
        batch.clear();
        for (texts) |bytes| batch.add(to, bytes, 0);
        try testing.expectEqual(@as(i32, 2), backend.send_messages(3, 7, sender, batch, true));
        var arrived: usize = 0;
        for (0..100) |_| {
            if (arrived == 2) break;
            try testing.expectEqual(@as(i32, 0), backend.enter(20 * std.time.ns_per_ms));
            var out: [32]contract.Completion = undefined;
            for (out[0..backend.reap(&out)]) |completion| {
                const payload = pool.pointer(completion.buffer)[contract.message_payload_offset..];
                const length: usize = @intCast(completion.result);
                try testing.expectEqualStrings(texts[arrived], payload[0..length]);
                arrived += 1;
                backend.provide(completion.buffer);
            }
        }
        try testing.expectEqual(@as(usize, 2), arrived);
    }
    var pair: [2]i32 = undefined;
    const kind = linux.SOCK.DGRAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
    const opened = kernel.result(linux.socketpair(linux.AF.UNIX, kind, 0, &pair));
    try testing.expectEqual(@as(i32, 0), opened);
    defer for (pair) |end| kernel.close(end);
    // A socket that receives already is the one that waits for room as well.
    try testing.expect(backend.receive_message(1, 5, pair[0]));
    try testing.expectEqual(@as(i32, 0), backend.enter(0));
    batch.clear();
    batch.add(null, "x", 0);
    const full = for (0..10_000) |_| {
        const rc = backend.send_messages(1, 5, pair[0], batch, true);
        if (rc < 0) break rc;
    } else 0;
    try testing.expectEqual(kernel.negative(.AGAIN), full);
    var byte: [1]u8 = undefined;
    while (sockets.receive(pair[1], &byte) > 0) {}
    const room = try next(backend);
    try testing.expectEqual(contract.Kind.send_messages, room.kind);
    try testing.expectEqual(@as(u32, 1), room.port);
    try testing.expectEqual(@as(u32, 5), room.epoch);
    try testing.expectEqual(@as(i32, 1), backend.send_messages(1, 5, pair[0], batch, true));
    try testing.expect(backend.cancel(1, 5, pair[0], .receive_message));
    const end = try next(backend);
    try testing.expectEqual(contract.Kind.receive_message, end.kind);
    try testing.expect(!end.more);
    try testing.expect(backend.forget(1, 5, pair[0]));
}

fn check_message(buffer: [*]const u8, bytes: []const u8, from: *const sockets.SocketAddress) !void {
    var header: contract.MessageHeader = undefined;
    @memcpy(std.mem.asBytes(&header), buffer[0..@sizeOf(contract.MessageHeader)]);
    try testing.expectEqual(@as(u32, @intCast(bytes.len)), header.payload_bytes);
    const cut = bytes.len > payload_max;
    try testing.expectEqual(cut, header.flags & linux.MSG.TRUNC != 0);
    const sender = std.mem.asBytes(&from.storage.in4);
    try testing.expectEqual(@as(u32, sender.len), header.address_bytes);
    const address = buffer[contract.message_address_offset..][0..sender.len];
    try testing.expectEqualSlices(u8, sender, address);
    const kept = bytes[0..@min(bytes.len, payload_max)];
    try testing.expectEqualSlices(u8, kept, buffer[contract.message_payload_offset..][0..kept.len]);
}

test "messages come whole, with their senders, and those that do not fit are cut" {
    inline for (.{ IoUring, Epoll, Kqueue, Select }) |Backend| {
        check(Backend) catch |err| {
            std.debug.print("on {t}\n", .{Backend.kind});
            return err;
        };
    }
}

test "a datagram that leaves wakes nobody" {
    const pool = try open_pool();
    defer mapped.free(Pool, @as([*]Pool, @ptrCast(pool))[0..1]);
    defer pool.deinit(true);
    var failure: contract.Failure = .{};
    const backends = try mapped.allocate(Epoll, 1);
    defer mapped.free(Epoll, backends);
    const backend = &backends[0];
    try backend.init(.{ .entries = 16, .ports = 4, .pool = pool }, &failure);
    defer backend.deinit();
    var address: sockets.SocketAddress = undefined;
    const sender = try open_datagram(&address);
    defer kernel.close(sender);
    const receiver = try open_datagram(&address);
    defer kernel.close(receiver);
    try testing.expect(backend.receive_message(2, 9, sender));
    // From its begin on it is writable, which is told of where it is asked for.
    try testing.expectEqual(@as(i32, 0), backend.enter(0));
    try testing.expectEqual(@as(usize, 0), wakes(backend));

    const batches = try mapped.allocate(datagrams.Outgoing, 1);
    defer mapped.free(datagrams.Outgoing, batches);
    batches[0].clear();
    batches[0].add(&address, "away", 0);
    const sent = backend.send_messages(2, 9, sender, &batches[0], true);
    try testing.expectEqual(@as(i32, 1), sent);
    var bytes: [8]u8 = undefined;
    try testing.expectEqual(@as(i32, 4), sockets.receive(receiver, &bytes));
    try testing.expectEqual(@as(usize, 0), wakes(backend));
}

/// How many of one descriptor are ready: the one that tells that the backend has something.
fn wakes(backend: *Epoll) usize {
    var watched = [_]linux.pollfd{
        .{ .fd = backend.wake_descriptor(), .events = linux.POLL.IN, .revents = 0 },
    };
    return linux.poll(&watched, watched.len, 0);
}
