//! Received bytes that the script has not been shown, in order, per connection.
//!
//! Whole buffers are threaded through their states in the pool, so that they always find room. Of a
//! buffer that several receives share there may be many parts, also of several connections, and
//! what a segmenter looks at begins anywhere: these stand in nodes, of which a loop has a fixed
//! number. All parts of a connection are of one sort.

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
    /// Those from here on were never used.
    fresh: u32,

    pub fn of(has_shared_buffers: bool) error{OutOfMemory}!Nodes {
        if (has_shared_buffers) return init(parts_max);
        return .{ .nodes = &.{}, .free_head = none, .fresh = 0 };
    }

    /// As many as there are parts that may be held back, whatever a loop's buffers are.
    pub fn of_segmented() error{OutOfMemory}!Nodes {
        return init(parts_max);
    }

    pub fn init(capacity: u32) error{OutOfMemory}!Nodes {
        const nodes = try mapped.allocate(Node, capacity);
        return .{ .nodes = nodes, .free_head = none, .fresh = 0 };
    }

    pub fn deinit(self: *Nodes) void {
        mapped.free(Node, self.nodes);
        self.* = undefined;
    }

    fn are_used(self: *const Nodes) bool {
        return self.nodes.len > 0;
    }

    fn take(self: *Nodes, part: Part) ?u32 {
        var index = self.free_head;
        if (index != none) {
            self.free_head = self.nodes[index].next;
        } else {
            if (self.fresh == self.nodes.len) return null;
            index = self.fresh;
            self.fresh += 1;
        }
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

    pub const empty: Held = .{ .head = 0, .tail = 0, .count = 0, .bytes = 0 };

    /// False, and nothing held, when there is no node left.
    pub fn push(self: *Held, pool: *Pool, nodes: *Nodes, part: Part) bool {
        const place = if (nodes.are_used())
            nodes.take(part) orelse return false
        else
            thread(pool, part);
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

    fn thread(pool: *Pool, part: Part) u32 {
        std.debug.assert(part.offset == 0);
        pool.state(part.buffer).length = part.length;
        return part.buffer;
    }

    fn next_of(pool: *Pool, nodes: *Nodes, place: u32) *u32 {
        return if (nodes.are_used()) &nodes.nodes[place].next else &pool.state(place).next;
    }

    /// Puts back what `pop` gave, before anything else is held.
    pub fn push_first(self: *Held, pool: *Pool, nodes: *Nodes, part: Part) void {
        const place = if (nodes.are_used()) nodes.take(part).? else thread(pool, part);
        self.place_first(pool, nodes, place, part.length);
    }

    fn place_first(self: *Held, pool: *Pool, nodes: *Nodes, place: u32, length: u32) void {
        if (self.count == 0) self.tail = place;
        next_of(pool, nodes, place).* = self.head;
        self.head = place;
        self.count += 1;
        self.bytes += length;
    }

    /// Puts a part before all others, in nodes. A part that the first one follows in its buffer is
    /// joined with it, and its reference is not needed: `joined`.
    pub fn prepend(
        self: *Held,
        pool: *Pool,
        nodes: *Nodes,
        part: Part,
    ) enum { placed, joined, no_node } {
        if (self.count > 0) {
            const first_part = &nodes.nodes[self.head].part;
            const follows = first_part.buffer == part.buffer and
                first_part.offset == part.offset + part.length;
            if (follows) {
                first_part.offset = part.offset;
                first_part.length += part.length;
                self.bytes += part.length;
                return .joined;
            }
        }
        const place = nodes.take(part) orelse return .no_node;
        self.place_first(pool, nodes, place, part.length);
        return .placed;
    }

    /// Lengthens the last part, in nodes, by one that follows it in its buffer, whose reference is
    /// not needed then; false when it does not.
    pub fn extend(self: *Held, nodes: *Nodes, part: Part) bool {
        if (self.count == 0) return false;
        const last = &nodes.nodes[self.tail].part;
        if (last.buffer != part.buffer or last.offset + last.length != part.offset) return false;
        last.length += part.length;
        self.bytes += part.length;
        return true;
    }

    /// The part before which there are so many, in nodes; there must be one.
    pub fn at(self: *const Held, nodes: *const Nodes, place: u32) Part {
        std.debug.assert(place < self.count);
        var node = self.head;
        for (0..place) |_| node = nodes.nodes[node].next;
        return nodes.nodes[node].part;
    }

    /// Drops bytes of the first part, in nodes, but not all of them.
    pub fn skip(self: *Held, nodes: *Nodes, length: u32) void {
        const part = &nodes.nodes[self.head].part;
        std.debug.assert(length < part.length);
        part.offset += length;
        part.length -= length;
        self.bytes -= length;
    }

    pub fn pop(self: *Held, pool: *Pool, nodes: *Nodes) ?Part {
        if (self.count == 0) return null;
        const place = self.head;
        const part: Part = if (nodes.are_used())
            nodes.nodes[place].part
        else
            .{ .buffer = place, .length = pool.state(place).length };
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

test "the first part shrinks from its start and grows back, the last one grows" {
    var nodes = try Nodes.init(2);
    defer nodes.deinit();
    var pool: Pool = undefined;
    var held: Held = .empty;
    const part: Part = .{ .buffer = 5, .offset = 10, .length = 10 };
    try std.testing.expect(held.push(&pool, &nodes, part));
    try std.testing.expect(held.extend(&nodes, .{ .buffer = 5, .offset = 20, .length = 5 }));
    try std.testing.expect(!held.extend(&nodes, .{ .buffer = 5, .offset = 26, .length = 5 }));
    try std.testing.expect(!held.extend(&nodes, .{ .buffer = 6, .offset = 25, .length = 5 }));
    held.skip(&nodes, 4);
    const rest: Part = .{ .buffer = 5, .offset = 14, .length = 11 };
    try std.testing.expectEqual(rest, held.at(&nodes, 0));
    const joined: Part = .{ .buffer = 5, .offset = 12, .length = 2 };
    try std.testing.expectEqual(.joined, held.prepend(&pool, &nodes, joined));
    const other: Part = .{ .buffer = 5, .offset = 1, .length = 2 };
    try std.testing.expectEqual(.placed, held.prepend(&pool, &nodes, other));
    const last: Part = .{ .buffer = 9, .length = 1 };
    try std.testing.expectEqual(.no_node, held.prepend(&pool, &nodes, last));
    try std.testing.expectEqual(@as(u32, 15), held.bytes);
    try std.testing.expectEqual(@as(u32, 13), held.at(&nodes, 1).length);
}
