//! Pipes between two loops of the process, or two ends on one loop: where they come from and when
//! they become free.
//!
//! Invariants: each of the two sides is one loop's, which alone changes what is its own in it; a
//! side that no loop has yet is the listener's. A pipe is free when both sides were let go and no
//! node of it is in an inbox any more: whoever brings that about frees it, once. Nodes are posted
//! by who has the other side. Memory of pipes is never unmapped, and used again.

const std = @import("std");
const layout = @import("../../layout.zig");
const mapped = @import("../../memory/mapped.zig");
const Lock = @import("../../sys/lock.zig").Lock;
const Pool = @import("../../memory/pool.zig").Pool;
const Node = @import("inbox.zig").Node;
const Ring = @import("ring.zig").Ring;

/// Bytes of a name, in UTF-8.
pub const name_bytes_max = layout.address_bytes_max;

pub const Side = struct {
    /// How its loop is told of something.
    node: Node,
    /// What this side has sent.
    out: Ring,

    pub fn pipe(self: *Side) *Pipe {
        return switch (self.node.owner) {
            .near => @alignCast(@fieldParentPtr("near", self)),
            .far => @alignCast(@fieldParentPtr("far", self)),
            .name => unreachable,
        };
    }

    pub fn peer(self: *Side) *Side {
        const both = self.pipe();
        return if (self == &both.near) &both.far else &both.near;
    }

    /// What this side receives.
    pub fn in(self: *Side) *Ring {
        return &self.peer().out;
    }
};

/// How far a connect has come; the connecting loop reads, the listener's writes.
pub const Stage = enum(u32) {
    /// For a place among those that the listener will accept.
    waiting,
    /// Accepted, or to be.
    established,
    /// The listener has gone.
    refused,
};

pub const Pipe = struct {
    /// Of who connected.
    near: Side,
    /// Of who accepts.
    far: Side,
    /// Which use of the memory it is << 32 | sides that were not let go, or `freed`.
    references: std.atomic.Value(u64),
    stage: std.atomic.Value(Stage),
    /// In the listener's queue, under the lock of names; or in the list of free ones.
    previous: ?*Pipe,
    next: ?*Pipe,
    /// What was connected to.
    name_length: u32,
    name: [name_bytes_max]u8,

    const freed: u64 = std.math.maxInt(u32);

    pub fn name_of(self: *const Pipe) []const u8 {
        return self.name[0..self.name_length];
    }

    /// One side less uses it. Buffers that nobody will take go to `pool`.
    pub fn let_go(self: *Pipe, pool: *Pool) void {
        const before: u32 = @truncate(self.references.fetchSub(1, .seq_cst));
        std.debug.assert(before == 1 or before == 2);
        if (before == 1) self.free_if_unused(pool);
    }

    /// After a node was taken out of an inbox: it may have been what kept the pipe, which may even
    /// be another one by now.
    pub fn free_if_unused(self: *Pipe, pool: *Pool) void {
        const unused = self.references.load(.seq_cst);
        if (@as(u32, @truncate(unused)) != 0) return;
        if (self.near.node.is_queued() or self.far.node.is_queued()) return;
        // Two may come here, and one of them late.
        if (self.references.cmpxchgStrong(unused, unused | freed, .acq_rel, .monotonic) != null) {
            return;
        }
        drain(&self.near.out, pool);
        drain(&self.far.out, pool);
        give_back(self);
    }
};

/// The pipe of a node; null for that of a name.
pub fn of_node(node: *Node) ?*Pipe {
    if (node.owner == .name) return null;
    const side: *Side = @alignCast(@fieldParentPtr("node", node));
    return side.pipe();
}

/// Takes what is in a ring and drops it, as its consumer or when it has none.
pub fn drain(ring: *Ring, pool: *Pool) void {
    while (ring.peek()) |entry| {
        pool.discard(entry.buffer, entry.generation);
        ring.drop();
    }
}

/// Pipes that are mapped at a time.
const chunk_count = 16;

var lock: Lock = .{};
var free_head: ?*Pipe = null;

/// A pipe with both sides to be let go; null when there is no memory.
pub fn take(name: []const u8) ?*Pipe {
    std.debug.assert(name.len > 0 and name.len <= name_bytes_max);
    const pipe = take_free() orelse return null;
    for ([_]*Side{ &pipe.near, &pipe.far }, [_]Node.Owner{ .near, .far }) |side, owner| {
        side.node.init(owner);
        side.out.init();
    }
    pipe.stage = .init(.waiting);
    pipe.previous = null;
    pipe.next = null;
    pipe.name_length = @intCast(name.len);
    @memcpy(pipe.name[0..name.len], name);
    const life = (pipe.references.load(.monotonic) >> 32) +% 1;
    pipe.references.store(life << 32 | 2, .release);
    return pipe;
}

fn take_free() ?*Pipe {
    lock.acquire();
    defer lock.release();
    if (free_head == null) {
        const chunk = mapped.allocate(Pipe, chunk_count) catch return null;
        for (chunk) |*pipe| {
            pipe.next = free_head;
            free_head = pipe;
        }
    }
    const pipe = free_head.?;
    free_head = pipe.next;
    return pipe;
}

fn give_back(pipe: *Pipe) void {
    lock.acquire();
    defer lock.release();
    pipe.next = free_head;
    free_head = pipe;
}

/// Pipes that are free, for tests.
pub fn free_count() u32 {
    lock.acquire();
    defer lock.release();
    var count: u32 = 0;
    var next = free_head;
    while (next) |pipe| : (next = pipe.next) count += 1;
    return count;
}

/// The child of a fork has none of its parent's memory.
pub fn reset() void {
    lock = .{};
    free_head = null;
}
