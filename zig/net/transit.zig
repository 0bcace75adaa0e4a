//! Connections on their way from one loop of this process to another: descriptor, options, and what
//! was received and not delivered, as buffers in transit.
//!
//! Invariants: a handle is slot + generation and good for one taking; what nobody has taken belongs
//! to the loop that left it, which ends it when it closes. Any thread, under one lock.

const std = @import("std");
const layout = @import("../layout.zig");
const Lock = @import("../sys/lock.zig").Lock;
const Settings = @import("settings.zig").Settings;

/// Connections that may be in transit, and buffers of all of them.
pub const connections_max = 4096;
pub const parts_max = 65_536;

const none: u32 = std.math.maxInt(u32);

pub const Handle = struct { slot: u32, generation: u32 };

/// A buffer in transit, of which the first bytes count.
pub const Part = struct { name: u32, generation: u32, length: u32 };

pub const Content = struct {
    descriptor: i32,
    family: layout.AddressFamily,
    options: Settings,
    /// Its direction was ended.
    shut: bool,
    /// The error that it ended with, to be told after its bytes; 0 for none.
    failure: i32,
};

/// What was taken; its parts are had with `next_part`.
pub const Taken = struct { content: Content, first: u32 };

const State = enum(u8) { free = 0, filling, ready };

const Entry = struct {
    state: State,
    /// Number of the pool of the loop that left it.
    owner: u32,
    generation: u32,
    head: u32,
    tail: u32,
    /// Parts that it may still be given.
    promised: u32,
};

const Node = struct { part: Part, next: u32 };

var lock: Lock = .{};
var entries: [connections_max]Entry = @splat(std.mem.zeroes(Entry));
/// Of those that are ready.
var contents: [connections_max]Content = undefined;
/// Where to look for a free entry first.
var next_entry: u32 = 0;
var nodes: [parts_max]Node = undefined;
/// Nodes from here on were never used.
var fresh_nodes: u32 = 0;
var free_head: u32 = none;
var free_count: u32 = 0;
/// Nodes for parts that reserved entries have not been given yet.
var promised: u32 = 0;

/// An entry to be filled with so many parts; null when there is no room for it.
pub fn reserve(owner: u32, parts: u32) ?u32 {
    lock.acquire();
    defer lock.release();
    if (parts > free_count + (parts_max - fresh_nodes) - promised) return null;
    for (0..connections_max) |_| {
        const slot = next_entry;
        next_entry = (slot + 1) % connections_max;
        const entry = &entries[slot];
        if (entry.state != .free) continue;
        entry.state = .filling;
        entry.owner = owner;
        entry.head = none;
        entry.tail = none;
        entry.promised = parts;
        promised += parts;
        return slot;
    }
    return null;
}

/// One of the parts for which an entry was reserved.
pub fn add(slot: u32, part: Part) void {
    lock.acquire();
    defer lock.release();
    const entry = &entries[slot];
    std.debug.assert(entry.state == .filling);
    const node = take_node();
    entry.promised -= 1;
    promised -= 1;
    nodes[node] = .{ .part = part, .next = none };
    if (entry.head == none) entry.head = node else nodes[entry.tail].next = node;
    entry.tail = node;
}

fn take_node() u32 {
    if (free_head != none) {
        const node = free_head;
        free_head = nodes[node].next;
        free_count -= 1;
        return node;
    }
    std.debug.assert(fresh_nodes < parts_max);
    fresh_nodes += 1;
    return fresh_nodes - 1;
}

/// Whoever has the handle may take it from now on.
pub fn publish(slot: u32, content: Content) Handle {
    lock.acquire();
    defer lock.release();
    const entry = &entries[slot];
    std.debug.assert(entry.state == .filling);
    promised -= entry.promised;
    contents[slot] = content;
    entry.state = .ready;
    return .{ .slot = slot, .generation = entry.generation };
}

pub const TakeError = error{ Stale, DescriptorLimit };

/// For a loop whose descriptors are below `descriptors_max`; another may still take it then.
pub fn take(handle: Handle, descriptors_max: i32) TakeError!Taken {
    lock.acquire();
    defer lock.release();
    if (handle.slot >= connections_max) return error.Stale;
    const entry = &entries[handle.slot];
    if (entry.state != .ready or entry.generation != handle.generation) return error.Stale;
    if (contents[handle.slot].descriptor >= descriptors_max) return error.DescriptorLimit;
    return take_entry(handle.slot);
}

/// Something that a loop has left and nobody has taken.
pub fn take_left(owner: u32) ?Taken {
    lock.acquire();
    defer lock.release();
    for (&entries, 0..) |*entry, slot| {
        if (entry.state == .ready and entry.owner == owner) return take_entry(@intCast(slot));
    }
    return null;
}

fn take_entry(slot: u32) Taken {
    const entry = &entries[slot];
    const taken: Taken = .{ .content = contents[slot], .first = entry.head };
    entry.state = .free;
    entry.generation +%= 1;
    return taken;
}

pub fn next_part(taken: *Taken) ?Part {
    const node = taken.first;
    if (node == none) return null;
    lock.acquire();
    defer lock.release();
    const part = nodes[node].part;
    taken.first = nodes[node].next;
    nodes[node].next = free_head;
    free_head = node;
    free_count += 1;
    return part;
}

/// The child of a fork has none of its parent's connections.
pub fn reset() void {
    lock = .{};
    for (&entries) |*entry| {
        entry.state = .free;
        entry.generation +%= 1;
    }
    next_entry = 0;
    fresh_nodes = 0;
    free_head = none;
    free_count = 0;
    promised = 0;
}

fn content_of(descriptor: i32) Content {
    return .{
        .descriptor = descriptor,
        .family = .ipv4,
        .options = std.mem.zeroes(Settings),
        .shut = false,
        .failure = 0,
    };
}

test "what is in transit is taken once, with its parts in order" {
    const slot = reserve(7, 2).?;
    add(slot, .{ .name = 1, .generation = 10, .length = 100 });
    add(slot, .{ .name = 2, .generation = 20, .length = 200 });
    try std.testing.expect(take_left(7) == null);
    const handle = publish(slot, content_of(1500));
    try std.testing.expectError(error.DescriptorLimit, take(handle, 1024));
    var taken = try take(handle, 2000);
    try std.testing.expectError(error.Stale, take(handle, 2000));
    try std.testing.expectEqual(@as(u32, 1), next_part(&taken).?.name);
    try std.testing.expectEqual(@as(u32, 200), next_part(&taken).?.length);
    try std.testing.expect(next_part(&taken) == null);
    try std.testing.expectError(error.Stale, take(.{ .slot = none, .generation = 0 }, 2000));
}

test "what nobody has taken is its loop's to end" {
    const slot = reserve(9, 0).?;
    const handle = publish(slot, content_of(3));
    try std.testing.expect(take_left(8) == null);
    try std.testing.expectEqual(@as(i32, 3), take_left(9).?.content.descriptor);
    try std.testing.expectError(error.Stale, take(handle, 2000));
}

test "without room for all parts nothing is reserved" {
    try std.testing.expect(reserve(1, parts_max + 1) == null);
}
