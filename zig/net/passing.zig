//! Descriptors that go over Unix sockets, on either side: staged by the script and queued with a
//! message, or received and not yet the script's.
//!
//! Invariants: what is in a node here is this loop's own, and is closed with it unless the kernel
//! took it over or the script was given it; the control data of a message stays where it is until
//! the message is sent. Used by the loop's thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const sockets = @import("../sys/sockets.zig");
const rights = @import("../sys/rights.zig");
const mapped = @import("../memory/mapped.zig");
const given = @import("given.zig");

/// Messages with descriptors that a loop may hold.
const nodes_max = 256;
pub const none: u32 = std.math.maxInt(u32);

const State = enum(u8) { free = 0, staged, queued, arrived, told };

const Node = struct {
    state: State,
    generation: u32,
    count: u32,
    descriptors: [rights.descriptors_max]i32,
    control: [rights.control_bytes]u8 align(8),
    control_length: u32,
    /// Arrived: the first of the bytes that it came with, in the connection's stream.
    position: u64,
    next: u32,
};

/// What a connection has received and not told of, in order.
pub const Arrivals = struct {
    head: u32,
    tail: u32,
    received: u64,
    delivered: u64,

    pub const empty: Arrivals = .{ .head = none, .tail = none, .received = 0, .delivered = 0 };
};

pub const Passing = struct {
    nodes: []Node,
    next_free: u32,

    pub fn init() error{OutOfMemory}!Passing {
        return .{ .nodes = try mapped.allocate(Node, nodes_max), .next_free = 0 };
    }

    pub fn deinit(self: *Passing) void {
        for (self.nodes, 0..) |*node, index| {
            if (node.state != .free) self.drop(@intCast(index));
        }
        mapped.free(Node, self.nodes);
        self.* = undefined;
    }

    fn take(self: *Passing, state: State, descriptors: []const i32) ?u32 {
        for (0..nodes_max) |_| {
            const index = self.next_free;
            self.next_free = (index + 1) % nodes_max;
            const node = &self.nodes[index];
            if (node.state != .free) continue;
            node.state = state;
            node.count = @intCast(descriptors.len);
            @memcpy(node.descriptors[0..descriptors.len], descriptors);
            node.next = none;
            return index;
        }
        return null;
    }

    /// Takes duplicates, which are to be sent with a message: a node, or a negative status.
    pub fn stage(self: *Passing, descriptors: []const i32) i32 {
        if (descriptors.len == 0 or descriptors.len > rights.descriptors_max) {
            return @intFromEnum(layout.Status.bad_argument);
        }
        var copies: [rights.descriptors_max]i32 = undefined;
        for (descriptors, 0..) |descriptor, count| {
            const copy = if (descriptor < 0)
                kernel.negative(.BADF)
            else
                sockets.duplicate(descriptor);
            if (copy < 0) {
                for (copies[0..count]) |made| kernel.close(made);
                return copy;
            }
            copies[count] = copy;
        }
        const index = self.take(.staged, copies[0..descriptors.len]) orelse {
            for (copies[0..descriptors.len]) |made| kernel.close(made);
            return @intFromEnum(layout.Status.exhausted);
        };
        const node = &self.nodes[index];
        const control = rights.encode(node.descriptors[0..node.count], &node.control);
        node.control_length = @intCast(control.len);
        return @intCast(index);
    }

    pub fn generation_of(self: *const Passing, index: u32) u32 {
        return self.nodes[index].generation;
    }

    /// Whether the script has staged it, and it is not queued yet.
    pub fn is_staged(self: *const Passing, index: u32) bool {
        return index < self.nodes.len and self.nodes[index].state == .staged;
    }

    pub fn queue(self: *Passing, index: u32) void {
        std.debug.assert(self.is_staged(index));
        self.nodes[index].state = .queued;
    }

    /// The control data of a message that is queued.
    pub fn control_of(self: *const Passing, index: u32) []align(8) const u8 {
        const node = &self.nodes[index];
        std.debug.assert(node.state == .queued);
        return node.control[0..node.control_length];
    }

    /// Closes what a node has.
    pub fn drop(self: *Passing, index: u32) void {
        const node = &self.nodes[index];
        for (node.descriptors[0..node.count]) |descriptor| kernel.close(descriptor);
        self.free(node);
    }

    fn free(self: *Passing, node: *Node) void {
        _ = self;
        node.state = .free;
        node.generation +%= 1;
        node.count = 0;
    }

    /// Notes what came with the next bytes of a connection; false, and everything closed, where
    /// there is no room.
    pub fn arrive(self: *Passing, arrivals: *Arrivals, found: *rights.Found) bool {
        const index = self.take(.arrived, found.all()) orelse {
            found.close();
            return false;
        };
        self.nodes[index].position = arrivals.received;
        if (arrivals.head == none) {
            arrivals.head = index;
        } else {
            self.nodes[arrivals.tail].next = index;
        }
        arrivals.tail = index;
        return true;
    }

    /// What came with the bytes that are delivered next; null where nothing did.
    pub fn due(self: *const Passing, arrivals: *const Arrivals) ?u32 {
        if (arrivals.head == none) return null;
        const is_due = self.nodes[arrivals.head].position == arrivals.delivered;
        return if (is_due) arrivals.head else null;
    }

    /// The script has been told of what was due, and may read it.
    pub fn told(self: *Passing, arrivals: *Arrivals) void {
        const node = &self.nodes[arrivals.head];
        arrivals.head = node.next;
        node.state = .told;
    }

    pub fn drop_arrivals(self: *Passing, arrivals: *Arrivals) void {
        while (arrivals.head != none) {
            const index = arrivals.head;
            arrivals.head = self.nodes[index].next;
            self.drop(index);
        }
    }

    /// Gives the script what it was told of, as far as it has room, and closes the rest. How many,
    /// or a negative status.
    pub fn read(self: *Passing, index: u32, generation: u32, out: []align(1) i32) i32 {
        const stale = @intFromEnum(layout.Status.stale_handle);
        if (index >= self.nodes.len) return stale;
        const node = &self.nodes[index];
        if (node.state != .told or node.generation != generation) return stale;
        const count = @min(out.len, node.count);
        for (node.descriptors[0..count], out[0..count]) |descriptor, *place| {
            given.give(descriptor);
            place.* = descriptor;
        }
        for (node.descriptors[count..node.count]) |descriptor| kernel.close(descriptor);
        self.free(node);
        return @intCast(count);
    }

    /// Closes what was staged after all, or told of; a negative status where there is nothing.
    pub fn forgo(self: *Passing, index: u32, generation: u32) i32 {
        const stale = @intFromEnum(layout.Status.stale_handle);
        if (index >= self.nodes.len) return stale;
        const node = &self.nodes[index];
        if (node.state != .staged and node.state != .told) return stale;
        if (node.generation != generation) return stale;
        self.drop(index);
        return 0;
    }
};

test "what is staged and not sent is closed, and so is what nobody reads" {
    var passing: Passing = try .init();
    defer passing.deinit();
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    const bad = @intFromEnum(layout.Status.bad_argument);
    try std.testing.expectEqual(bad, passing.stage(&.{}));
    try std.testing.expectEqual(kernel.negative(.BADF), passing.stage(&.{ pair[0], -1 }));
    const staged: u32 = @intCast(passing.stage(&pair));
    try std.testing.expect(passing.is_staged(staged));
    try std.testing.expectEqual(@as(i32, 0), passing.forgo(staged, 0));
    const stale = @intFromEnum(layout.Status.stale_handle);
    try std.testing.expectEqual(stale, passing.forgo(staged, 0));

    var arrivals: Arrivals = .empty;
    arrivals.received = 10;
    var found: rights.Found = .{ .count = 2, .descriptors = undefined };
    @memcpy(found.descriptors[0..2], &pair);
    try std.testing.expect(passing.arrive(&arrivals, &found));
    try std.testing.expect(passing.due(&arrivals) == null);
    arrivals.delivered = 10;
    const due = passing.due(&arrivals).?;
    var out: [2]i32 = undefined;
    try std.testing.expectEqual(stale, passing.read(due, 0, &out));
    passing.told(&arrivals);
    try std.testing.expectEqual(@as(i32, 1), passing.read(due, 0, out[0..1]));
    try std.testing.expectEqual(pair[0], out[0]);
    try std.testing.expect(!kernel.is_open(pair[1]));
    try std.testing.expectEqual(@as(i32, 0), given.close(pair[0]));
}
