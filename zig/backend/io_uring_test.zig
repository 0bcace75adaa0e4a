//! The io_uring backend over a kernel of the test's own, where order and timing are the test's; and
//! on the real one what must not be lost: completions that find no room, submissions after a bad
//! one, bytes that arrive while a receive is cancelled.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("../sys/kernel.zig");
const uring = @import("../sys/uring.zig");
const Pool = @import("../memory/pool.zig").Pool;
const contract = @import("contract.zig");
const fake = @import("fake_kernel.zig");
const io_uring = @import("io_uring.zig");
const ring_module = @import("ring.zig");
const Wishes = @import("ring_wishes.zig").Wishes;
const zero_copy = @import("zero_copy.zig");

const testing = std.testing;
const buffer_bytes = 512;
const receive_count = 16;

fn Bench(comptime System: type) type {
    return struct {
        const Self = @This();

        pool: Pool,
        backend: io_uring.IoUringOver(System),

        fn open(self: *Self, wishes: Wishes) !void {
            fake.reset(.{});
            const bytes = 256 * 1024;
            try self.pool.init(.{
                .kind = .{ .slab_bytes = bytes },
                .max_bytes = bytes,
                .buffer_size = buffer_bytes,
                .receive_count = receive_count,
            });
            errdefer self.pool.deinit(true);
            var failure: contract.Failure = .{};
            self.backend.init(.{
                .entries = 8,
                .ports = 16,
                .pool = &self.pool,
                .wishes = wishes,
            }, &failure) catch return error.SkipZigTest;
        }

        fn close(self: *Self) void {
            self.backend.deinit();
            self.pool.deinit(true);
        }

        fn refill(self: *Self) void {
            for (0..self.backend.buffers_wanted()) |_| {
                self.backend.provide(self.pool.take_for_backend() orelse return);
            }
        }

        fn next(self: *Self) ?contract.Completion {
            var out: [1]contract.Completion = undefined;
            return if (self.backend.reap(&out) == 1) out[0] else null;
        }

        /// Takes a buffer over from a completion and gives it back.
        fn use_up(self: *Self, completion: contract.Completion) void {
            switch (completion.share) {
                .whole => self.pool.received(completion.buffer, completion.port, completion.epoch),
                .part => self.pool.received_part(completion.buffer, false),
                .last_part => self.pool.received_part(completion.buffer, true),
            }
            _ = self.pool.release(completion.buffer);
        }
    };
}

const Fake = Bench(fake);

fn last_submission() uring.Sqe {
    return fake.submissions[(fake.state.taken - 1) % fake.submissions.len];
}

fn with_buffer(entry: uring.BufferRingEntry) u32 {
    return @as(u32, entry.buffer) << uring.cqe_buffer_shift | uring.cqe_buffer;
}

test "the ring of buffers goes on across 2^16" {
    var bench: Fake = undefined;
    try bench.open(.{});
    defer bench.close();
    try testing.expect(bench.backend.receive(1, 5, 77, true));
    try testing.expectEqual(@as(i32, 0), bench.backend.enter(0));
    const receive = last_submission().user_data;
    for (0..70_000) |_| {
        bench.refill();
        const entry = fake.take_buffer().?;
        fake.complete(receive, 100, with_buffer(entry) | uring.cqe_more);
        const completion = bench.next().?;
        try testing.expectEqual(entry.address, @intFromPtr(bench.pool.pointer(completion.buffer)));
        try testing.expectEqual(@as(i32, 100), completion.result);
        bench.use_up(completion);
    }
    // All but the last one are with the kernel again, each once.
    bench.refill();
    for (0..receive_count) |_| _ = fake.take_buffer().?;
    try testing.expect(fake.take_buffer() == null);
}

test "a bundle is handed out part by part, in the order of the ring" {
    var bench: Fake = undefined;
    try bench.open(.{ .bundles = true });
    defer bench.close();
    if (!bench.backend.ring.has(.bundles)) return error.SkipZigTest;
    try testing.expect(bench.backend.receive(1, 5, 77, true));
    _ = bench.backend.enter(0);
    try testing.expect(last_submission().ioprio & uring.recvsend_bundle != 0);
    const receive = last_submission().user_data;
    var prng = std.Random.DefaultPrng.init(3);
    var kept: [receive_count]contract.Completion = undefined;
    for (0..2000) |round| {
        bench.refill();
        var entries: [6]uring.BufferRingEntry = undefined;
        const count = prng.random().intRangeAtMost(usize, 1, entries.len);
        for (entries[0..count]) |*entry| entry.* = fake.take_buffer().?;
        const last: u32 = prng.random().intRangeAtMost(u32, 1, buffer_bytes);
        const total = (count - 1) * buffer_bytes + last;
        const more = if (round % 3 == 0) 0 else uring.cqe_more;
        fake.complete(receive, @intCast(total), with_buffer(entries[0]) | more);
        for (entries[0..count], 0..) |entry, index| {
            try testing.expect(bench.backend.ready());
            // Buffers that come back in between change nothing.
            if (index == 1) bench.refill();
            const part = bench.next().?;
            const is_last = index == count - 1;
            try testing.expectEqual(entry.address, @intFromPtr(bench.pool.pointer(part.buffer)));
            const length = if (is_last) last else buffer_bytes;
            try testing.expectEqual(length, @as(u32, @intCast(part.result)));
            try testing.expectEqual(!is_last or more != 0, part.more);
            try testing.expectEqual([2]u32{ 1, 5 }, .{ part.port, part.epoch });
            kept[index] = part;
            bench.pool.received(part.buffer, 1, 5);
        }
        try testing.expect(bench.next() == null);
        prng.random().shuffle(contract.Completion, kept[0..count]);
        for (kept[0..count]) |part| _ = bench.pool.release(part.buffer);
    }
}

test "shared buffers are told of part by part, to whoever received them" {
    var bench: Fake = undefined;
    try bench.open(.{ .incremental = true });
    defer bench.close();
    try testing.expectEqual(uring.pbuf_ring_inc, fake.state.buffer_flags);
    var receives: [2]u64 = undefined;
    for (&receives, 1..) |*receive, port| {
        try testing.expect(bench.backend.receive(@intCast(port), 5, 77, true));
        _ = bench.backend.enter(0);
        receive.* = last_submission().user_data;
    }
    const pool = &bench.pool;
    for (0..20) |_| {
        bench.refill();
        const with_backend = pool.with_backend;
        const entry = fake.take_buffer().?;
        const flags = with_buffer(entry) | uring.cqe_more;
        fake.complete(receives[0], 100, flags | uring.cqe_buf_more);
        fake.complete(receives[1], 50, flags | uring.cqe_buf_more);
        fake.complete(receives[0], 0, flags);
        fake.complete(receives[0], buffer_bytes - 150, flags);
        const name = try expect_part(&bench, entry, 1, 0, 100, .part);
        // It goes back to the backend alone, and handles to what it held are stale.
        const generation = pool.state(name).generation();
        _ = pool.release(name);
        try testing.expect(!pool.valid(name, generation));
        try testing.expectEqual(with_backend, pool.with_backend);
        try testing.expectEqual(@as(u32, 0), pool.buffers_in_use);
        _ = try expect_part(&bench, entry, 2, 100, 50, .part);
        try testing.expectError(error.Busy, pool.transfer(name, generation + 1, 0));
        try testing.expectEqual(@as(i32, 0), bench.next().?.result);
        _ = try expect_part(&bench, entry, 1, 150, buffer_bytes - 150, .last_part);
        try testing.expectEqual(@as(u32, 2), pool.state(name).references);
        try testing.expectEqual(with_backend - 1, pool.with_backend);
        try testing.expect(pool.release(name) == null);
        try testing.expect(pool.release(name) != null);
        try testing.expectEqual(@as(u32, 0), pool.buffers_in_use);
    }
}

fn expect_part(
    bench: *Fake,
    entry: uring.BufferRingEntry,
    port: u32,
    offset: u32,
    length: u32,
    share: contract.Share,
) !u32 {
    const completion = bench.next().?;
    try testing.expectEqual(entry.address, @intFromPtr(bench.pool.pointer(completion.buffer)));
    const told = [_]u32{ completion.port, completion.offset, @intCast(completion.result) };
    try testing.expectEqual([_]u32{ port, offset, length }, told);
    try testing.expectEqual(share, completion.share);
    bench.pool.received_part(completion.buffer, share == .last_part);
    return completion.buffer;
}

test "messages do not go with shared buffers" {
    var bench: Fake = undefined;
    try bench.open(.{ .incremental = true });
    defer bench.close();
    try testing.expect(bench.backend.receive_message(1, 5, 77));
    _ = bench.backend.enter(0);
    try testing.expectEqual(uring.Opcode.nop, last_submission().opcode);
    try testing.expectEqual(@as(i32, -95), @as(i32, @bitCast(last_submission().length)));
}

fn segments_of(bench: *Fake, out: []contract.Segment) void {
    for (out) |*segment| {
        const buffer = bench.pool.take(buffer_bytes).?;
        segment.* = .{
            .pointer = bench.pool.pointer(buffer),
            .length = buffer_bytes,
            .buffer = buffer,
        };
    }
}

fn references(bench: *Fake, segments: []const contract.Segment) u32 {
    var sum: u32 = 0;
    for (segments) |segment| sum += bench.pool.state(segment.buffer).references;
    return sum;
}

test "a zero-copy send holds its buffers until it is notified" {
    var bench: Fake = undefined;
    try bench.open(.{ .zero_copy_bytes = 2 * buffer_bytes });
    defer bench.close();
    var segments: [3]contract.Segment = undefined;
    segments_of(&bench, &segments);
    try testing.expect(bench.backend.send(2, 9, 77, segments[0..1]));
    _ = bench.backend.enter(0);
    try testing.expectEqual(uring.Opcode.send, last_submission().opcode);

    try testing.expect(bench.backend.send(2, 9, 77, &segments));
    _ = bench.backend.enter(0);
    try testing.expectEqual(uring.Opcode.sendmsg_zc, last_submission().opcode);
    const first = last_submission().user_data;
    try testing.expectEqual(@as(u32, 6), references(&bench, &segments));
    fake.complete(first, 1000, uring.cqe_more);
    const sent = bench.next().?;
    try testing.expectEqual(contract.Kind.send, sent.kind);
    const told = .{ sent.port, sent.epoch, sent.result };
    try testing.expectEqual(.{ @as(u32, 2), @as(u32, 9), @as(i32, 1000) }, told);
    try testing.expect(bench.next() == null);
    try testing.expectEqual(@as(u32, 3), bench.backend.holding());

    // The next send does not wait; without MORE it has no notification.
    try testing.expect(bench.backend.send(2, 9, 77, segments[1..]));
    _ = bench.backend.enter(0);
    fake.complete(last_submission().user_data, kernel.negative(.CONNRESET), 0);
    try testing.expectEqual(kernel.negative(.CONNRESET), bench.next().?.result);
    for (0..2) |_| try testing.expectEqual(contract.Kind.released, bench.next().?.kind);
    try testing.expectEqual(@as(u32, 3), bench.backend.holding());

    const copied: i32 = @bitCast(uring.notif_usage_zc_copied);
    fake.complete(first, copied, uring.cqe_notif);
    var released: u32 = 0;
    while (bench.next()) |completion| : (released += 1) {
        try testing.expectEqual(contract.Kind.released, completion.kind);
        try testing.expect(bench.pool.release(completion.buffer) == null);
    }
    try testing.expectEqual(@as(u32, 3), released);
    try testing.expectEqual(@as(u32, 0), bench.backend.holding());
    const counts: contract.ZeroCopies = .{ .sends = 1, .copied = 1 };
    try testing.expectEqual(counts, bench.backend.zero_copies());
}

/// What a send on a port became.
fn sent_as(bench: *Fake, port: u32, epoch: u32, segments: []const contract.Segment) !uring.Opcode {
    try testing.expect(bench.backend.send(port, epoch, 77, segments));
    _ = bench.backend.enter(0);
    return last_submission().opcode;
}

test "without a notice, or on a socket that cannot, a send is a plain one" {
    var bench: Fake = undefined;
    try bench.open(.{ .zero_copy_bytes = 1 });
    defer bench.close();
    var segments: [1]contract.Segment = undefined;
    segments_of(&bench, &segments);
    const port_count = zero_copy.notices_max / zero_copy.held_per_port;
    for (0..port_count) |port| {
        for (0..zero_copy.held_per_port) |_| {
            const opcode = try sent_as(&bench, @intCast(port), 9, &segments);
            try testing.expectEqual(uring.Opcode.send_zc, opcode);
        }
        // A port has its share, and all of them together have what there is.
        const opcode = try sent_as(&bench, @intCast(port), 9, &segments);
        try testing.expectEqual(uring.Opcode.send, opcode);
    }
    try testing.expectEqual(uring.Opcode.send, try sent_as(&bench, port_count, 9, &segments));
}

test "a socket that cannot is not asked again, another on its port is" {
    var bench: Fake = undefined;
    try bench.open(.{ .zero_copy_bytes = 1 });
    defer bench.close();
    var segments: [1]contract.Segment = undefined;
    segments_of(&bench, &segments);
    try testing.expectEqual(uring.Opcode.send_zc, try sent_as(&bench, 1, 9, &segments));
    fake.complete(last_submission().user_data, kernel.negative(.OPNOTSUPP), 0);
    try testing.expectEqual(@as(i32, 0), bench.next().?.result);
    try testing.expectEqual(contract.Kind.released, bench.next().?.kind);
    try testing.expectEqual(uring.Opcode.send, try sent_as(&bench, 1, 9, &segments));
    try testing.expectEqual(uring.Opcode.send_zc, try sent_as(&bench, 1, 10, &segments));
}

const Real = Bench(uring);

test "completions that find no room are not lost on the real kernel" {
    var failure: contract.Failure = .{};
    var ring = ring_module.Ring(uring).init(.{
        .entries = 8,
        .completions = 16,
    }, &failure) catch return error.SkipZigTest;
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
    var ring = ring_module.Ring(uring).init(.{ .entries = 8 }, &failure) catch
        return error.SkipZigTest;
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
