//! Received bytes that the script has not been shown, in order, per connection.
//!
//! Whole buffers are threaded through their states in the pool, so that they always find room. Of a
//! buffer that several receives share there may be many parts, also of several connections: these
//! stand in nodes, of which a loop has a fixed number. A loop has buffers of one sort only.

const std = @import("std");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;

const none: u32 = std.math.maxInt(u32);

/// Parts that all connections of a loop may hold back.
const parts_max = 65_536;

/// Part of a buffer, with one reference on it.
pub const Part = struct { buffer: u32, offset: u32 = 0, length: u32 };

const Node = struct { part: Part, next: u32 };

/// The nodes of all connections of a loop; there are none where buffers are whole.
pub const Nodes = struct {
    nodes: []Node,
    free_head: u32,

    pub fn of(has_shared_buffers: bool) error{OutOfMemory}!Nodes {
        return if (has_shared_buffers) init(parts_max) else .{ .nodes = &.{}, .free_head = none };
    }

    pub fn init(capacity: u32) error{OutOfMemory}!Nodes {
        const nodes = try mapped.allocate(Node, capacity);
        for (nodes, 1..) |*node, next| {
            node.next = if (next == capacity) none else @intCast(next);
        }
        return .{ .nodes = nodes, .free_head = 0 };
    }

    pub fn deinit(self: *Nodes) void {
        mapped.free(Node, self.nodes);
        self.* = undefined;
    }

    fn are_used(self: *const Nodes) bool {
        return self.nodes.len > 0;
    }

    fn take(self: *Nodes, part: Part) ?u32 {
        const index = self.free_head;
        if (index == none) return null;
        self.free_head = self.nodes[index].next;
        self.nodes[index] = .{ .part = part, .next = none };
        return index;
    }

    fn give_back(self: *Nodes, index: u32) void {
        self.nodes[index].next = self.free_head;
        self.free_head = index;
    }
};

pub const Held = struct {
    /// Of nodes, or else of buffers.
    head: u32,
    tail: u32,
    count: u32,
    bytes: u32,
    /// Of whole buffers, where the first one's part begins; that of the others is their start.
    offset: u32,

    pub const empty: Held = .{ .head = 0, .tail = 0, .count = 0, .bytes = 0, .offset = 0 };

    /// False, and nothing held, when there is no node left.
    pub fn push(self: *Held, pool: *Pool, nodes: *Nodes, part: Part) bool {
        const place = if (nodes.are_used())
            nodes.take(part) orelse return false
        else
            self.thread(pool, part);
        if (self.count == 0) {
            self.head = place;
        } else {
            next_of(pool, nodes, self.tail).* = place;
        }
        self.tail = place;
        self.count += 1;
        self.bytes += part.length;
        return true;
    }

    fn thread(self: *Held, pool: *Pool, part: Part) u32 {
        std.debug.assert(part.offset == 0 or self.count == 0);
        if (self.count == 0) self.offset = part.offset;
        pool.state(part.buffer).length = part.length;
        return part.buffer;
    }

    fn next_of(pool: *Pool, nodes: *Nodes, place: u32) *u32 {
        return if (nodes.are_used()) &nodes.nodes[place].next else &pool.state(place).next;
    }

    /// Puts back what `pop` gave, before anything else is held.
    pub fn push_first(self: *Held, pool: *Pool, nodes: *Nodes, part: Part) void {
        const place = if (nodes.are_used()) nodes.take(part).? else thread: {
            pool.state(part.buffer).length = part.length;
            self.offset = part.offset;
            break :thread part.buffer;
        };
        if (self.count == 0) self.tail = place;
        next_of(pool, nodes, place).* = self.head;
        self.head = place;
        self.count += 1;
        self.bytes += part.length;
    }

    pub fn pop(self: *Held, pool: *Pool, nodes: *Nodes) ?Part {
        if (self.count == 0) return null;
        const place = self.head;
        const part: Part = if (nodes.are_used())
            nodes.nodes[place].part
        else
            .{ .buffer = place, .offset = self.offset, .length = pool.state(place).length };
        self.offset = 0;
        self.head = next_of(pool, nodes, place).*;
        if (nodes.are_used()) nodes.give_back(place);
        self.count -= 1;
        self.bytes -= part.length;
        return part;
    }
};

test "parts come out in order, several of one buffer and of several connections" {
    var nodes = try Nodes.init(4);
    defer nodes.deinit();
    var pool: Pool = undefined;
    var held = [2]Held{ .empty, .empty };
    for ([_]struct { usize, u32 }{ .{ 0, 10 }, .{ 1, 20 }, .{ 0, 30 }, .{ 1, 40 } }) |step| {
        const part: Part = .{ .buffer = 5, .offset = step[1], .length = 10 };
        try std.testing.expect(held[step[0]].push(&pool, &nodes, part));
    }
    const more: Part = .{ .buffer = 5, .offset = 50, .length = 10 };
    try std.testing.expect(!held[0].push(&pool, &nodes, more));
    try std.testing.expectEqual(@as(u32, 20), held[0].bytes);
    try std.testing.expectEqual(@as(u32, 10), held[0].pop(&pool, &nodes).?.offset);
    try std.testing.expect(held[1].push(&pool, &nodes, more));
    held[0].push_first(&pool, &nodes, held[0].pop(&pool, &nodes).?);
    try std.testing.expectEqual(@as(u32, 30), held[0].pop(&pool, &nodes).?.offset);
    for ([_]u32{ 20, 40, 50 }) |offset| {
        try std.testing.expectEqual(offset, held[1].pop(&pool, &nodes).?.offset);
    }
    try std.testing.expect(held[0].pop(&pool, &nodes) == null);
    try std.testing.expectEqual(@as(u32, 0), held[1].bytes);
}
