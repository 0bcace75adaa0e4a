//! The io_uring backend over a kernel of the test's own, where order and timing are the test's.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const record = @import("../sys/record_test.zig");
const uring = @import("../sys/uring.zig");
const contract = @import("contract.zig");
const fake = @import("fake_kernel.zig");
const io_uring_bench = @import("io_uring_bench.zig");
const Bench = io_uring_bench.Bench;
const buffer_bytes = io_uring_bench.buffer_bytes;
const receive_count = io_uring_bench.receive_count;
const zero_copy = @import("zero_copy.zig");

const testing = std.testing;

const Fake = Bench(fake);

fn last_submission() uring.Sqe {
    return fake.submissions[(fake.state.taken - 1) % fake.submissions.len];
}

fn with_buffer(entry: uring.BufferRingEntry) u32 {
    return @as(u32, entry.buffer) << uring.cqe_buffer_shift | uring.cqe_buffer;
}

test "signals while a ring is opened are no refusal, a refusal is" {
    var bench: Fake = undefined;
    for ([_]fake.State{ .{ .interruptions = 1 }, .{ .interruptions = 50 } }) |state| {
        var failure: contract.Failure = .{};
        try bench.open_over(state, .{}, &failure);
        bench.close();
    }
    var failure: contract.Failure = .{};
    const endless: fake.State = .{ .interruptions = std.math.maxInt(u32) };
    try testing.expectError(error.Unavailable, bench.open_over(endless, .{}, &failure));
    try testing.expectEqual(layout.Reason.other, failure.reason);
    const refusing: fake.State = .{ .takes_max = 0, .answer = kernel.negative(.ACCES) };
    try testing.expectError(error.Unavailable, bench.open_over(refusing, .{}, &failure));
    try testing.expectEqual(layout.Reason.not_permitted, failure.reason);
    try testing.expectEqual(kernel.errno_of(kernel.negative(.ACCES)), failure.errno);
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
    if (!bench.backend.ring.has(.bundles)) {
        return record.skip("kernel: io_uring: it does not grant bundles", .{});
    }
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
