//! How the other end of a pipe tells a loop that there is something for it, from any thread.
//!
//! Each loop with in-process endpoints has an inbox, a stack of nodes. A node belongs to one end of
//! a pipe, or to a listener's name. Whoever has put something into the pipe posts the node of the
//! other end; the loop takes all nodes at once and looks what is new. No kernel is entered unless
//! the loop sleeps, and then once for all that is posted until it is awake.
//!
//! Invariants: a node is in one inbox at most (`queued`); a loop takes a node out before it looks
//! at what the node stands for, and what was put there before the node was posted is seen then. A
//! loop says that it will sleep before it looks for nodes a last time, and a post looks whether the
//! loop sleeps after its node is in: all four are sequentially consistent, so that one of the two
//! sees the other. Memory of nodes and inboxes is never unmapped: a post that comes late finds a
//! closed inbox, or that of another loop, which drops what is not its own.

const std = @import("std");
const doorbells = @import("../../loop/doorbells.zig");
const Lock = @import("../../sys/lock.zig").Lock;

/// Loops of a process.
const inboxes_max = 256;

pub const Node = struct {
    /// 1 while it is in an inbox. Set by whoever posts it, cleared by who takes it out; both
    /// acquire and release: a post that finds it set leaves what it has put to the taker, which
    /// clears it afterwards.
    queued: std.atomic.Value(u32),
    /// Where it is posted; null as long as no loop has this end. Written by the loop that has the
    /// end, once; sequentially consistent, as what is put into a pipe: either the post sees the
    /// inbox, or the loop, which looks after it has written this, sees what was put.
    inbox: std.atomic.Value(?*Inbox),
    next: ?*Node,
    /// Written before `inbox`: whose it is, which opening of the inbox, and the loop's own name
    /// for the end.
    tenant: u32,
    port: u32,
    owner: Owner,

    /// What it is part of.
    pub const Owner = enum(u32) { near, far, name };

    /// Before anybody else sees it; who took it out of an inbox last may still look at `queued`.
    pub fn init(self: *Node, owner: Owner) void {
        self.queued.store(0, .monotonic);
        self.inbox.store(null, .monotonic);
        self.next = null;
        self.tenant = 0;
        self.port = 0;
        self.owner = owner;
    }

    pub fn is_queued(self: *const Node) bool {
        return self.queued.load(.seq_cst) != 0;
    }

    /// From now on posts reach a loop.
    pub fn attach(self: *Node, inbox: *Inbox, port: u32) void {
        self.tenant = inbox.tenant.load(.monotonic);
        self.port = port;
        self.inbox.store(inbox, .seq_cst);
    }

    /// Has the loop of the node look; whether a sleeping one had to be woken.
    pub fn post(self: *Node) bool {
        const inbox = self.inbox.load(.seq_cst) orelse return false;
        if (self.queued.swap(1, .acq_rel) == 1) return false;
        return inbox.put(self);
    }
};

/// An inbox that nobody has.
const closed: usize = 1;

pub const Inbox = struct {
    /// The node that was posted last, 0 for none, or `closed`.
    head: std.atomic.Value(usize) align(std.atomic.cache_line),
    /// The loop sleeps, or is about to, and has not been woken.
    sleeping: std.atomic.Value(u32),
    /// How it is woken.
    mailbox: std.atomic.Value(u32),
    /// Tells the loops that have had this inbox apart; never 0.
    tenant: std.atomic.Value(u32),

    const unused: Inbox = .{
        .head = .init(closed),
        .sleeping = .init(0),
        .mailbox = .init(0),
        .tenant = .init(0),
    };

    fn put(self: *Inbox, node: *Node) bool {
        var head = self.head.load(.monotonic);
        while (true) {
            if (head == closed) {
                node.queued.store(0, .seq_cst);
                return false;
            }
            node.next = @ptrFromInt(head);
            // Released, so that the taker sees `next`.
            head = self.head.cmpxchgWeak(head, @intFromPtr(node), .seq_cst, .monotonic) orelse
                break;
        }
        if (self.sleeping.load(.seq_cst) == 0) return false;
        // Of those that post meanwhile one wakes it.
        if (self.sleeping.swap(0, .acq_rel) == 0) return false;
        _ = doorbells.notify(self.mailbox.load(.monotonic));
        return true;
    }

    pub fn is_empty(self: *const Inbox) bool {
        return self.head.load(.monotonic) == 0;
    }

    /// All nodes, in the order in which they were posted. Each is taken out with `take`.
    pub fn take_all(self: *Inbox) ?*Node {
        if (self.is_empty()) return null;
        return in_order(self.head.swap(0, .acq_rel));
    }

    fn in_order(head: usize) ?*Node {
        var rest: ?*Node = @ptrFromInt(head);
        var first: ?*Node = null;
        while (rest) |node| {
            rest = node.next;
            node.next = first;
            first = node;
        }
        return first;
    }

    /// From now on a post wakes the loop; false when one came before, so that it must not sleep.
    pub fn arm(self: *Inbox) bool {
        self.sleeping.store(1, .seq_cst);
        if (self.head.load(.seq_cst) == 0) return true;
        self.disarm();
        return false;
    }

    /// The loop is awake.
    pub fn disarm(self: *Inbox) void {
        self.sleeping.store(0, .monotonic);
    }

    /// Nothing can be posted any more. What was, to be taken out.
    pub fn close(self: *Inbox) ?*Node {
        lock.acquire();
        defer lock.release();
        self.disarm();
        return in_order(self.head.swap(closed, .acq_rel));
    }
};

/// Takes a node out of a list of `take_all` or `close`; the next one. What it says of itself is to
/// be read before: it may be posted again, or be another's, right after.
pub fn take(node: *Node) ?*Node {
    const next = node.next;
    _ = node.queued.swap(0, .seq_cst);
    return next;
}

var lock: Lock = .{};
var inboxes: [inboxes_max]Inbox = @splat(.unused);
var tenants: u32 = 0;

/// An inbox for a loop that is woken through a mailbox of its own; null when there are too many.
pub fn open(mailbox: u32) ?*Inbox {
    lock.acquire();
    defer lock.release();
    for (&inboxes) |*inbox| {
        if (inbox.head.load(.monotonic) != closed) continue;
        tenants = if (tenants == std.math.maxInt(u32)) 1 else tenants + 1;
        inbox.tenant.store(tenants, .monotonic);
        inbox.mailbox.store(mailbox, .monotonic);
        inbox.head.store(0, .release);
        return inbox;
    }
    return null;
}

/// The child of a fork has none of its parent's loops.
pub fn reset() void {
    lock = .{};
    inboxes = @splat(.unused);
}

test "what is posted is taken once and in order, and late posts find nobody" {
    const inbox = open(0).?;
    var nodes = std.mem.zeroes([3]Node);
    for (&nodes, 0..) |*node, port| node.attach(inbox, @intCast(port));
    for ([_]usize{ 2, 0, 2, 1 }) |index| try std.testing.expect(!nodes[index].post());
    var next = inbox.take_all();
    for ([_]u32{ 2, 0, 1 }) |port| {
        try std.testing.expectEqual(port, next.?.port);
        next = take(next.?);
    }
    try std.testing.expectEqual(null, next);
    try std.testing.expect(inbox.is_empty());
    _ = nodes[1].post();
    try std.testing.expect(!inbox.arm());
    next = inbox.close();
    try std.testing.expectEqual(null, take(next.?));
    try std.testing.expect(!nodes[0].post());
    try std.testing.expect(!nodes[0].is_queued());
    const again = open(0).?;
    defer _ = again.close();
    try std.testing.expect(again.tenant.load(.monotonic) != nodes[0].tenant);
}
