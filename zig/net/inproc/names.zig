//! The names that loops of this process listen on, and what has connected to them and was not
//! accepted yet.
//!
//! Invariants: everything here is read and written under one lock. A name has one listener. Of the
//! pipes that wait for it the first `backlog` are established: whoever connected may send, and is
//! accepted in this order; the others are told when they come so far. The far side of each is let
//! go here unless it is accepted.

const std = @import("std");
const Lock = @import("../../sys/lock.zig").Lock;
const Pool = @import("../../memory/pool.zig").Pool;
const inbox_module = @import("inbox.zig");
const Inbox = inbox_module.Inbox;
const Node = inbox_module.Node;
const pipe_module = @import("pipe.zig");
const Pipe = pipe_module.Pipe;

/// Names that are listened on at a time.
pub const names_max = 1024;

const Name = struct {
    /// 0: nobody's.
    length: u32,
    bytes: [pipe_module.name_bytes_max]u8,
    /// How the listener is told of a connection.
    node: Node,
    backlog: u32,
    count: u32,
    first: ?*Pipe,
    last: ?*Pipe,
    /// The first beyond the backlog.
    waiting: ?*Pipe,
};

var lock: Lock = .{};
var names: [names_max]Name = @splat(std.mem.zeroes(Name));
/// Those from here on were never used.
var fresh: u32 = 0;

pub const ListenError = error{ InUse, Exhausted };

/// Listens; what comes is posted to `inbox`. The number of the name.
pub fn listen(
    bytes: []const u8,
    backlog: u32,
    inbox: *Inbox,
    port: u32,
) ListenError!u32 {
    std.debug.assert(bytes.len > 0 and bytes.len <= pipe_module.name_bytes_max);
    lock.acquire();
    defer lock.release();
    if (find(bytes) != null) return error.InUse;
    const number = free_number() orelse return error.Exhausted;
    const name = &names[number];
    name.node.init(.name);
    name.node.attach(inbox, port);
    name.length = @intCast(bytes.len);
    @memcpy(name.bytes[0..bytes.len], bytes);
    name.backlog = backlog;
    name.count = 0;
    name.first = null;
    name.last = null;
    name.waiting = null;
    return number;
}

/// What a number stands for, while the caller listens on it.
pub fn bytes_of(number: u32) []const u8 {
    return names[number].bytes[0..names[number].length];
}

fn find(bytes: []const u8) ?*Name {
    for (names[0..fresh]) |*name| {
        if (name.length == bytes.len and std.mem.eql(u8, name.bytes[0..name.length], bytes)) {
            return name;
        }
    }
    return null;
}

fn free_number() ?u32 {
    for (names[0..fresh], 0..) |*name, number| {
        // A node that is still in an inbox has to be taken out first.
        if (name.length == 0 and !name.node.is_queued()) return @intCast(number);
    }
    if (fresh == names_max) return null;
    fresh += 1;
    return fresh - 1;
}

/// The name is free when this returns. What was established is reset, what waited is refused; the
/// number of sleeping loops that were woken to hear of it.
pub fn close(number: u32, pool: *Pool) u32 {
    lock.acquire();
    defer lock.release();
    const name = &names[number];
    name.length = 0;
    var woken: u32 = 0;
    var is_established = true;
    while (name.first) |pipe| {
        if (name.waiting == pipe) is_established = false;
        unlink(name, pipe);
        woken += turn_away(pipe, is_established, pool);
    }
    return woken;
}

fn turn_away(pipe: *Pipe, is_established: bool, pool: *Pool) u32 {
    if (is_established) {
        pipe.near.out.refuse();
        pipe.far.out.finish(.reset);
    } else {
        pipe.stage.store(.refused, .release);
    }
    const woke = pipe.near.node.post();
    pipe.let_go(pool);
    return @intFromBool(woke);
}

pub const Outcome = enum { refused, waiting, established };

/// Puts a pipe, whose near side has a loop, into the queue of a name; the far side is let go when
/// nobody listens. `woken` counts the sleeping loops that were woken.
pub fn connect(pipe: *Pipe, pool: *Pool, woken: *u64) Outcome {
    lock.acquire();
    defer lock.release();
    const name = find(pipe.name_of()) orelse {
        pipe.stage.store(.refused, .monotonic);
        pipe.let_go(pool);
        return .refused;
    };
    pipe.previous = name.last;
    pipe.next = null;
    if (name.last) |last| last.next = pipe else name.first = pipe;
    name.last = pipe;
    name.count += 1;
    if (name.count > name.backlog) {
        if (name.waiting == null) name.waiting = pipe;
        return .waiting;
    }
    pipe.stage.store(.established, .release);
    woken.* += @intFromBool(name.node.post());
    return .established;
}

/// Takes a pipe that waits out of its queue; false when it does not wait any more.
pub fn cancel(pipe: *Pipe, pool: *Pool) bool {
    lock.acquire();
    defer lock.release();
    if (pipe.stage.load(.monotonic) != .waiting) return false;
    const name = find(pipe.name_of()).?;
    unlink(name, pipe);
    pipe.let_go(pool);
    return true;
}

/// The next connection, whose far side is the caller's now.
pub fn accept(number: u32, woken: *u64) ?*Pipe {
    lock.acquire();
    defer lock.release();
    const name = &names[number];
    const pipe = name.first orelse return null;
    unlink(name, pipe);
    if (name.waiting) |next| {
        name.waiting = next.next;
        next.stage.store(.established, .release);
        woken.* += @intFromBool(next.near.node.post());
        woken.* += @intFromBool(name.node.post());
    }
    return pipe;
}

fn unlink(name: *Name, pipe: *Pipe) void {
    if (name.waiting == pipe) name.waiting = pipe.next;
    if (pipe.previous) |previous| previous.next = pipe.next else name.first = pipe.next;
    if (pipe.next) |next| next.previous = pipe.previous else name.last = pipe.previous;
    pipe.previous = null;
    pipe.next = null;
    name.count -= 1;
}

/// The child of a fork has none of its parent's loops.
pub fn reset() void {
    lock = .{};
    names = @splat(std.mem.zeroes(Name));
    fresh = 0;
}

test "a name has one listener, and the backlog is kept" {
    const pool: *Pool = undefined;
    const inbox = inbox_module.open(0).?;
    defer _ = inbox.close();
    var woken: u64 = 0;
    const number = try listen("names", 2, inbox, 0);
    try std.testing.expectError(error.InUse, listen("names", 2, inbox, 1));
    var pipes: [4]*Pipe = undefined;
    const outcomes = [_]Outcome{ .established, .established, .waiting, .waiting };
    for (&pipes, outcomes) |*pipe, outcome| {
        pipe.* = pipe_module.take("names").?;
        try std.testing.expectEqual(outcome, connect(pipe.*, pool, &woken));
    }
    try std.testing.expect(cancel(pipes[2], pool));
    try std.testing.expectEqual(pipes[0], accept(number, &woken).?);
    try std.testing.expectEqual(pipe_module.Stage.established, pipes[3].stage.load(.monotonic));
    try std.testing.expect(!cancel(pipes[3], pool));
    try std.testing.expectEqual(@as(u32, 0), close(number, pool));
    try std.testing.expect(pipes[1].far.out.ended() == .reset);
    const late = pipe_module.take("names").?;
    try std.testing.expectEqual(Outcome.refused, connect(late, pool, &woken));
    late.let_go(pool);
    pipes[0].let_go(pool);
    for (pipes) |pipe| pipe.let_go(pool);
    var next = inbox.take_all();
    while (next) |node| next = inbox_module.take(node);
}
