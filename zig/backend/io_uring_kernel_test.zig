//! The io_uring backend on the real kernel: what must not be lost are completions that find no
//! room, submissions after a bad one, bytes that arrive while a receive is cancelled.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("../sys/kernel.zig");
const record = @import("../sys/record_test.zig");
const uring = @import("../sys/uring.zig");
const contract = @import("contract.zig");
const io_uring_bench = @import("io_uring_bench.zig");
const Bench = io_uring_bench.Bench;
const ring_module = @import("ring.zig");
const Wishes = @import("ring_wishes.zig").Wishes;

const testing = std.testing;

const Real = Bench(uring);

test "completions that find no room are not lost on the real kernel" {
    var failure: contract.Failure = .{};
    var ring = ring_module.Ring(uring).init(.{
        .entries = 8,
        .completions = 16,
    }, &failure) catch {
        const args = .{ @tagName(failure.reason), failure.errno };
        return record.skip("kernel: io_uring: {s} (errno {d})", args);
    };
    defer ring.deinit();
    const total = 40 * 8;
    for (0..total) |index| {
        if (ring.next_sqe()) |sqe| {
            sqe.* = .{ .opcode = .nop, .descriptor = -1, .user_data = index };
        } else return error.TestUnexpectedResult;
        if (index % 8 == 7) _ = ring.enter(false, null);
    }
    try testing.expectEqual(@as(u32, 0), ring.unsubmitted());
    try testing.expect(ring.kernel_has_work());
    var taken: u64 = 0;
    for (0..total) |_| {
        while (ring.take()) |cqe| : (taken += 1) try testing.expectEqual(taken, cqe.user_data);
        if (taken == total) break;
        _ = ring.enter(false, null);
    }
    try testing.expectEqual(@as(u64, total), taken);
}

test "a submission that the kernel rejects keeps none of the others back" {
    var failure: contract.Failure = .{};
    var ring = ring_module.Ring(uring).init(.{ .entries = 8 }, &failure) catch {
        const args = .{ @tagName(failure.reason), failure.errno };
        return record.skip("kernel: io_uring: {s} (errno {d})", args);
    };
    defer ring.deinit();
    for (0..8) |index| ring.next_sqe().?.* = .{
        .opcode = if (index % 3 == 1) @enumFromInt(250) else .nop,
        .descriptor = -1,
        .user_data = index,
    };
    try testing.expectEqual(@as(i32, 0), ring.enter(false, null));
    try testing.expectEqual(@as(u32, 0), ring.unsubmitted());
    // Older kernels tell of the rejected ones first.
    var seen: u32 = 0;
    for (0..8) |_| {
        const cqe = ring.take().?;
        const expected: i32 = if (cqe.user_data % 3 == 1) kernel.negative(.INVAL) else 0;
        try testing.expectEqual(expected, cqe.result);
        seen |= @as(u32, 1) << @intCast(cqe.user_data);
    }
    try testing.expectEqual(@as(u32, 0xff), seen);
}

/// Bytes 0, 1, 2 … in either direction of a pair of sockets.
const Counting = struct {
    sent: u64 = 0,
    received: u64 = 0,

    fn write(self: *Counting, descriptor: i32, count: usize) !void {
        var bytes: [2048]u8 = undefined;
        for (bytes[0..count], 0..) |*byte, index| byte.* = @truncate(self.sent + index);
        const rc = kernel.result(linux.write(descriptor, &bytes, count));
        try testing.expectEqual(@as(i32, @intCast(count)), rc);
        self.sent += count;
    }

    fn read(self: *Counting, bytes: []const u8) !void {
        for (bytes) |byte| {
            try testing.expectEqual(@as(u8, @truncate(self.received)), byte);
            self.received += 1;
        }
    }
};

/// Reaps until the receive has ended; how many of its completions were its last.
fn until_ended(bench: *Real, counting: *Counting) !void {
    for (0..1000) |_| {
        bench.refill();
        try testing.expect(bench.backend.enter(std.time.ns_per_ms) >= 0);
        while (bench.next()) |completion| {
            try testing.expectEqual(contract.Kind.receive, completion.kind);
            if (completion.buffer != contract.no_buffer) {
                const length: usize = @intCast(completion.result);
                const bytes = bench.pool.pointer(completion.buffer) + completion.offset;
                try counting.read(bytes[0..length]);
                bench.use_up(completion);
            }
            if (!completion.more) {
                try testing.expect(bench.next() == null);
                return;
            }
        }
    }
    return error.TestUnexpectedResult;
}

fn check_cancel(wishes: Wishes) !void {
    var bench: Real = undefined;
    try bench.open(wishes);
    defer bench.close();
    var pair: [2]i32 = undefined;
    const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC;
    const rc = kernel.result(linux.socketpair(linux.AF.UNIX, kind, 0, &pair));
    try testing.expectEqual(@as(i32, 0), rc);
    defer for (pair) |descriptor| kernel.close(descriptor);
    var counting: Counting = .{};
    var prng = std.Random.DefaultPrng.init(5);
    const random = prng.random();
    for (0..400) |round| {
        bench.refill();
        const epoch: u32 = @intCast(round);
        if (random.boolean()) try counting.write(pair[0], random.intRangeAtMost(usize, 1, 2048));
        try testing.expect(bench.backend.receive(1, epoch, pair[1], random.boolean()));
        if (random.boolean()) _ = bench.backend.enter(0);
        if (random.boolean()) try counting.write(pair[0], random.intRangeAtMost(usize, 1, 2048));
        const what: contract.Cancel = if (random.boolean()) .receive else .all;
        try testing.expect(bench.backend.cancel(1, epoch, pair[1], what));
        if (random.boolean()) _ = bench.backend.enter(0);
        if (random.boolean()) try counting.write(pair[0], random.intRangeAtMost(usize, 1, 2048));
        try until_ended(&bench, &counting);
    }
    // What is left comes with a last receive.
    try testing.expectEqual(@as(i32, 0), kernel.result(linux.shutdown(pair[0], linux.SHUT.WR)));
    for (0..1000) |_| {
        if (counting.received == counting.sent) break;
        try testing.expect(bench.backend.receive(1, 1000, pair[1], true));
        try until_ended(&bench, &counting);
    }
    try testing.expectEqual(counting.sent, counting.received);
    try testing.expectEqual(bench.backend.buffers(), bench.pool.with_backend);
    try testing.expectEqual(@as(u32, 0), bench.pool.buffers_in_use);
}

test "bytes that arrive while a receive is cancelled are not lost" {
    try check_cancel(.{});
    try check_cancel(.{ .bundles = true, .best_effort = true });
    try check_cancel(.{ .incremental = true, .best_effort = true });
    try check_cancel(.{ .incremental = true, .bundles = true, .best_effort = true });
    try check_cancel(.{ .sqpoll = true, .sqpoll_idle_ms = 2, .best_effort = true });
}

/// An abstract Unix address of this process's own.
fn own_address(address: *linux.sockaddr.un) u32 {
    address.* = .{ .family = linux.AF.UNIX, .path = @splat(0) };
    const pid: u32 = @intCast(linux.getpid());
    const name = std.fmt.bufPrint(address.path[1..], "twinpoll-overflow-{d}", .{pid}) catch
        unreachable;
    return @intCast(@offsetOf(linux.sockaddr.un, "path") + 1 + name.len);
}

test "more connections than the completion queue has room for are all accepted" {
    var bench: Real = undefined;
    try bench.open(.{});
    defer bench.close();
    const count = 200;
    try testing.expect(bench.backend.ring.cqes.len < count);
    const kind = linux.SOCK.STREAM | linux.SOCK.CLOEXEC;
    const listener = kernel.result(linux.socket(linux.AF.UNIX, kind, 0));
    try testing.expect(listener >= 0);
    defer kernel.close(listener);
    var address: linux.sockaddr.un = undefined;
    const length = own_address(&address);
    const bound = kernel.result(linux.bind(listener, @ptrCast(&address), length));
    try testing.expectEqual(@as(i32, 0), bound);
    try testing.expectEqual(@as(i32, 0), kernel.result(linux.listen(listener, 2 * count)));
    try testing.expect(bench.backend.accept(1, 5, listener, true));
    var connected: u32 = 0;
    var descriptors: [count]i32 = undefined;
    defer for (descriptors[0..connected]) |descriptor| kernel.close(descriptor);
    for (&descriptors) |*descriptor| {
        descriptor.* = kernel.result(linux.socket(linux.AF.UNIX, kind, 0));
        try testing.expect(descriptor.* >= 0);
        connected += 1;
        const rc = kernel.result(linux.connect(descriptor.*, @ptrCast(&address), length));
        try testing.expectEqual(@as(i32, 0), rc);
        // The kernel accepts, and nobody reaps.
        try testing.expect(bench.backend.enter(0) >= 0);
    }
    try testing.expect(bench.backend.ring.kernel_has_work());
    var accepted: u32 = 0;
    for (0..1000) |_| {
        while (bench.next()) |completion| {
            try testing.expect(completion.result >= 0);
            kernel.close(completion.result);
            accepted += 1;
            if (completion.more) continue;
            try testing.expect(bench.backend.accept(1, 5, listener, true));
        }
        if (accepted == count) break;
        try testing.expect(bench.backend.enter(std.time.ns_per_ms) >= 0);
    }
    try testing.expectEqual(@as(u32, count), accepted);
}
