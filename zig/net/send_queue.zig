//! What waits to be sent: per connection a list of parts of buffers, all from one fixed set of
//! nodes.
//!
//! Invariant: each node owns one reference on its buffer; `bytes` is the sum of the lengths,
//! `answer_bytes` that of answers, which are what a data handler sent on its own connection.

const std = @import("std");
const layout = @import("../layout.zig");
const mapped = @import("../memory/mapped.zig");
const contract = @import("../backend/contract.zig");
const Pool = @import("../memory/pool.zig").Pool;

const none: u32 = std.math.maxInt(u32);

/// Bytes of one send, unless its first part alone has more. The more of a connection goes at once,
/// the fewer times its peer wakes and acknowledges; but the kernel copies them, so that more would
/// be read, and written, past the processor's caches, and others have their turn.
pub const send_bytes = 256 * 1024;

const Node = struct {
    buffer: u32,
    offset: u32,
    length: u32,
    next: u32,
    answer: bool,
    /// Descriptors that go with its first byte.
    passed: u32,
};

/// Part of a buffer, with one reference on it, and what of `passing.zig` goes with its first byte.
pub const Part = struct {
    buffer: u32,
    offset: u32,
    length: u32,
    answer: bool = false,
    passed: u32 = none,
};

/// Nodes of all connections of a loop.
pub const Nodes = struct {
    nodes: []Node,
    free_head: u32,
    free_count: u32,
    /// Goes up with each that becomes free.
    frees: u64,

    pub fn init(capacity: u32) error{OutOfMemory}!Nodes {
        const nodes = try mapped.allocate(Node, capacity);
        for (nodes, 1..) |*node, next| {
            node.next = if (next == capacity) none else @intCast(next);
        }
        return .{ .nodes = nodes, .free_head = 0, .free_count = capacity, .frees = 0 };
    }

    pub fn deinit(self: *Nodes) void {
        mapped.free(Node, self.nodes);
        self.* = undefined;
    }

    pub fn count(self: *const Nodes) u32 {
        return @intCast(self.nodes.len);
    }

    /// So many places of nodes are for answers: whoever sends much by itself leaves them free.
    pub fn reserve(self: *const Nodes) u32 {
        return self.count() / layout.answer_reserve;
    }

    fn take(self: *Nodes, node: Node) ?u32 {
        const index = self.free_head;
        if (index == none) return null;
        self.free_head = self.nodes[index].next;
        self.free_count -= 1;
        self.nodes[index] = node;
        return index;
    }

    fn give_back(self: *Nodes, index: u32) void {
        self.nodes[index].next = self.free_head;
        self.free_head = index;
        self.free_count += 1;
        self.frees += 1;
    }
};

pub const SendQueue = struct {
    head: u32,
    tail: u32,
    bytes: u32,
    answer_bytes: u32,

    pub const empty: SendQueue = .{
        .head = none,
        .tail = none,
        .bytes = 0,
        .answer_bytes = 0,
    };

    /// Takes over the part's reference; false, and nothing taken, when there is no node or the
    /// queue could not count the bytes.
    pub fn push(self: *SendQueue, nodes: *Nodes, part: Part) bool {
        const bytes = std.math.add(u32, self.bytes, part.length) catch return false;
        const index = nodes.take(.{
            .buffer = part.buffer,
            .offset = part.offset,
            .length = part.length,
            .next = none,
            .answer = part.answer,
            .passed = part.passed,
        }) orelse return false;
        if (self.head == none) {
            self.head = index;
        } else {
            nodes.nodes[self.tail].next = index;
        }
        self.tail = index;
        self.bytes = bytes;
        if (part.answer) self.answer_bytes += part.length;
        return true;
    }

    /// The descriptors that go with the first byte; null where there are none.
    pub fn passed(self: *const SendQueue, nodes: *const Nodes) ?u32 {
        if (self.head == none or nodes.nodes[self.head].passed == none) return null;
        return nodes.nodes[self.head].passed;
    }

    /// They went.
    pub fn clear_passed(self: *const SendQueue, nodes: *Nodes) void {
        nodes.nodes[self.head].passed = none;
    }

    /// The first part; null when the queue is empty.
    pub fn first(self: *const SendQueue, nodes: *const Nodes) ?Part {
        if (self.head == none) return null;
        const node = nodes.nodes[self.head];
        return .{ .buffer = node.buffer, .offset = node.offset, .length = node.length };
    }

    /// How many parts from the first on have at most `each_max` bytes, and as many bytes as fit
    /// into `bytes_max`.
    pub fn run(
        self: *const SendQueue,
        nodes: *const Nodes,
        each_max: u32,
        bytes_max: u32,
    ) struct { count: u32, bytes: u32 } {
        var count: u32 = 0;
        var bytes: u32 = 0;
        var index = self.head;
        while (index != none) : (count += 1) {
            const node = &nodes.nodes[index];
            if (node.length > each_max or node.length > bytes_max - bytes) break;
            bytes += node.length;
            index = node.next;
        }
        return .{ .count = count, .bytes = bytes };
    }

    /// The first parts, as far as `out` holds them and a send goes, and with descriptors before the
    /// first one only.
    pub fn segments(
        self: *const SendQueue,
        nodes: *const Nodes,
        pool: *const Pool,
        out: []contract.Segment,
    ) []contract.Segment {
        var count: u32 = 0;
        var bytes: u64 = 0;
        var index = self.head;
        while (index != none and count < out.len) : (count += 1) {
            const node = nodes.nodes[index];
            bytes += node.length;
            if (count > 0 and (node.passed != none or bytes > send_bytes)) break;
            out[count] = .{
                .pointer = pool.pointer(node.buffer) + node.offset,
                .length = node.length,
                .buffer = node.buffer,
            };
            index = node.next;
        }
        return out[0..count];
    }

    /// Drops the first `length` bytes, which were sent. Gives the buffer of the first node back
    /// once all of it went, so call until it answers null.
    pub fn take_sent(self: *SendQueue, nodes: *Nodes, length: *u32) ?u32 {
        const index = self.head;
        if (index == none) return null;
        const node = &nodes.nodes[index];
        if (length.* < node.length) {
            node.offset += length.*;
            node.length -= length.*;
            self.uncount(node.answer, length.*);
            length.* = 0;
            return null;
        }
        length.* -= node.length;
        return self.pop(nodes);
    }

    /// Drops the first part, sent or not; its buffer, or null when the queue is empty.
    pub fn pop(self: *SendQueue, nodes: *Nodes) ?u32 {
        const index = self.head;
        if (index == none) return null;
        const node = nodes.nodes[index];
        self.head = node.next;
        self.uncount(node.answer, node.length);
        nodes.give_back(index);
        return node.buffer;
    }

    fn uncount(self: *SendQueue, answer: bool, length: u32) void {
        self.bytes -= length;
        if (answer) self.answer_bytes -= length;
    }
};

test "parts leave in order, and a short send keeps the rest" {
    var nodes = try Nodes.init(4);
    defer nodes.deinit();
    var queue: SendQueue = .empty;
    try std.testing.expect(queue.push(&nodes, .{ .buffer = 1, .offset = 0, .length = 10 }));
    try std.testing.expect(queue.push(&nodes, .{ .buffer = 2, .offset = 100, .length = 20 }));
    try std.testing.expectEqual(@as(u32, 30), queue.bytes);
    var sent: u32 = 15;
    try std.testing.expectEqual(@as(?u32, 1), queue.take_sent(&nodes, &sent));
    try std.testing.expectEqual(@as(?u32, null), queue.take_sent(&nodes, &sent));
    try std.testing.expectEqual(@as(u32, 15), queue.bytes);
    try std.testing.expectEqual(@as(u32, 105), nodes.nodes[queue.head].offset);
    sent = 15;
    try std.testing.expectEqual(@as(?u32, 2), queue.take_sent(&nodes, &sent));
    try std.testing.expectEqual(@as(?u32, null), queue.take_sent(&nodes, &sent));
    try std.testing.expectEqual(@as(u32, 4), nodes.free_count);
}

test "without a free node nothing is taken" {
    var nodes = try Nodes.init(1);
    defer nodes.deinit();
    var queue: SendQueue = .empty;
    try std.testing.expect(queue.push(&nodes, .{ .buffer = 1, .offset = 0, .length = 1 }));
    try std.testing.expect(!queue.push(&nodes, .{ .buffer = 2, .offset = 0, .length = 1 }));
    try std.testing.expectEqual(@as(u32, 1), queue.bytes);
    try std.testing.expectEqual(@as(?u32, 1), queue.pop(&nodes));
    try std.testing.expectEqual(@as(?u32, null), queue.pop(&nodes));
    const largest: Part = .{ .buffer = 2, .offset = 0, .length = std.math.maxInt(u32) };
    try std.testing.expect(queue.push(&nodes, largest));
}

test "a send has no more than its bytes, unless one part has" {
    var pool: Pool = undefined;
    const bytes = 1024 * 1024;
    try pool.init(.{
        .kind = .{ .slab_bytes = bytes },
        .max_bytes = bytes,
        .buffer_size = 4096,
        .receive_count = 8,
    });
    defer pool.deinit(true);
    const small = pool.take(send_bytes / 2).?;
    const large = pool.take(2 * send_bytes).?;
    defer for ([_]u32{ small, large }) |buffer| {
        _ = pool.take_from_script(buffer);
        _ = pool.release(buffer);
    };
    var nodes = try Nodes.init(4);
    defer nodes.deinit();
    var queue: SendQueue = .empty;
    const half: Part = .{ .buffer = small, .offset = 0, .length = send_bytes / 2 };
    const double: Part = .{ .buffer = large, .offset = 0, .length = 2 * send_bytes };
    for ([_]Part{ half, half, half, double }) |part| {
        try std.testing.expect(queue.push(&nodes, part));
    }
    var out: [4]contract.Segment = undefined;
    for ([_]usize{ 2, 1, 1 }) |count| {
        const segments = queue.segments(&nodes, &pool, &out);
        try std.testing.expectEqual(count, segments.len);
        for (0..count) |_| _ = queue.pop(&nodes);
    }
}
