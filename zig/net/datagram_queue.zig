//! Datagrams that wait to be sent: per socket a list, all from one fixed set of nodes.
//!
//! Invariants: each node owns one reference on its buffer; `bytes` is the sum of the lengths; nodes
//! that were never used are not touched, so that they cost no memory.

const std = @import("std");
const layout = @import("../layout.zig");
const mapped = @import("../memory/mapped.zig");
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;

pub const none: u32 = std.math.maxInt(u32);

pub const Node = struct {
    buffer: u32,
    offset: u32,
    length: u32,
    next: u32,
    /// 0, or bytes of the parts that it is sent in.
    segment_bytes: u16,
    /// Else it goes to the peer.
    is_addressed: bool,
    address: SocketAddress,

    fn goes_where(self: *const Node, other: *const Node) bool {
        if (!self.is_addressed or !other.is_addressed) {
            return self.is_addressed == other.is_addressed;
        }
        return self.address.equals(&other.address);
    }

    /// Whether the datagram can follow `first` in one run: the kernel cuts a run into parts of one
    /// size, of which the last may be shorter.
    pub fn continues(self: *const Node, first: *const Node) bool {
        return self.length > 0 and self.length <= first.length and self.segment_bytes == 0 and
            self.goes_where(first);
    }
};

/// Nodes of all datagram sockets of a loop.
pub const Nodes = struct {
    nodes: []Node,
    /// From here on none was ever used.
    fresh: u32,
    free_head: u32,
    free_count: u32,
    /// Goes up with each that becomes free.
    frees: u64,

    pub fn init(capacity: u32) error{OutOfMemory}!Nodes {
        return .{
            .nodes = try mapped.allocate(Node, capacity),
            .fresh = 0,
            .free_head = none,
            .free_count = capacity,
            .frees = 0,
        };
    }

    pub fn deinit(self: *Nodes) void {
        mapped.free(Node, self.nodes);
        self.* = undefined;
    }

    pub fn count(self: *const Nodes) u32 {
        return @intCast(self.nodes.len);
    }

    fn take(self: *Nodes) ?u32 {
        if (self.free_count == 0) return null;
        self.free_count -= 1;
        if (self.free_head == none) {
            self.fresh += 1;
            return self.fresh - 1;
        }
        const index = self.free_head;
        self.free_head = self.nodes[index].next;
        return index;
    }

    fn give_back(self: *Nodes, index: u32) void {
        self.nodes[index].next = self.free_head;
        self.free_head = index;
        self.free_count += 1;
        self.frees += 1;
    }
};

pub const Queue = struct {
    head: u32,
    tail: u32,
    count: u32,
    bytes: u32,

    pub const empty: Queue = .{ .head = none, .tail = none, .count = 0, .bytes = 0 };

    /// A node at the end, whose datagram the caller fills in, with its reference; null when there
    /// is no node, or the bytes could not be counted.
    pub fn push(self: *Queue, nodes: *Nodes, length: u32) ?*Node {
        const bytes = std.math.add(u32, self.bytes, length) catch return null;
        const index = nodes.take() orelse return null;
        if (self.head == none) {
            self.head = index;
        } else {
            nodes.nodes[self.tail].next = index;
        }
        self.tail = index;
        self.count += 1;
        self.bytes = bytes;
        const node = &nodes.nodes[index];
        node.next = none;
        node.length = length;
        return node;
    }

    /// Drops the first `length` bytes of the first datagram, which have become one of their own.
    pub fn cut(self: *Queue, nodes: *Nodes, length: u32) void {
        const node = &nodes.nodes[self.head];
        std.debug.assert(length < node.length);
        node.offset += length;
        node.length -= length;
        self.bytes -= length;
    }

    /// Drops the first datagram; its buffer, or null when the queue is empty.
    pub fn pop(self: *Queue, nodes: *Nodes) ?u32 {
        const index = self.head;
        if (index == none) return null;
        const node = &nodes.nodes[index];
        self.head = node.next;
        self.count -= 1;
        self.bytes -= node.length;
        const buffer = node.buffer;
        nodes.give_back(index);
        return buffer;
    }
};

fn push(queue: *Queue, nodes: *Nodes, buffer: u32, length: u32) bool {
    const node = queue.push(nodes, length) orelse return false;
    node.buffer = buffer;
    node.offset = 0;
    node.segment_bytes = 0;
    node.is_addressed = false;
    return true;
}

test "datagrams leave in order, and nodes are used again" {
    var nodes = try Nodes.init(3);
    defer nodes.deinit();
    var queue: Queue = .empty;
    for (0..3) |round| {
        try std.testing.expect(push(&queue, &nodes, 1, 10));
        try std.testing.expect(push(&queue, &nodes, 2, 0));
        try std.testing.expect(push(&queue, &nodes, 3, 7));
        try std.testing.expect(!push(&queue, &nodes, 4, 1));
        try std.testing.expectEqual(@as(u32, 17), queue.bytes);
        queue.cut(&nodes, 4);
        try std.testing.expectEqual(@as(u32, 13), queue.bytes);
        for ([_]?u32{ 1, 2, 3, null }) |expected| {
            try std.testing.expectEqual(expected, queue.pop(&nodes));
        }
        try std.testing.expectEqual(@as(u32, 0), queue.bytes);
        try std.testing.expectEqual(@as(u32, 0), queue.count);
        try std.testing.expectEqual(@as(u32, 3), nodes.free_count);
        try std.testing.expectEqual(@as(u64, 3 * (round + 1)), nodes.frees);
    }
    try std.testing.expect(push(&queue, &nodes, 1, std.math.maxInt(u32)));
    try std.testing.expect(!push(&queue, &nodes, 2, 1));
}

test "what can follow in a run" {
    var first: Node = undefined;
    first.length = 100;
    first.segment_bytes = 0;
    first.is_addressed = true;
    first.address.storage.in4 = .{ .port = 7, .addr = 0x0100_007f };
    var second = first;
    try std.testing.expect(second.continues(&first));
    second.length = 101;
    try std.testing.expect(!second.continues(&first));
    second.length = 0;
    try std.testing.expect(!second.continues(&first));
    second.length = 1;
    try std.testing.expect(second.continues(&first));
    second.address.storage.in4.port = 8;
    try std.testing.expect(!second.continues(&first));
    second.is_addressed = false;
    try std.testing.expect(!second.continues(&first));
    first.is_addressed = false;
    try std.testing.expect(second.continues(&first));
}
