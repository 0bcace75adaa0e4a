//! The free blocks of an arena's slabs: a binary buddy system, in which a block is as large as a
//! power of two of units and a block that becomes free joins its free neighbour. So a small block
//! that stays in use keeps nothing from use but itself.
//!
//! Invariants: a block in a list is owned by the arena, and so is no other; both halves of a pair
//! are never in lists at once. Under the arena's lock. Source: K. C. Knowlton, "A fast storage
//! allocator", 1965.

const std = @import("std");
const slabs = @import("slabs.zig");

const orders = std.math.log2(slabs.bytes_max / slabs.unit_bytes) + 1;

pub const Buddies = struct {
    heads: [orders]u32,
    free_bytes: u64,

    pub const empty: Buddies = .{ .heads = @splat(slabs.none), .free_bytes = 0 };

    /// A whole slab becomes free.
    pub fn add_slab(self: *Buddies, number: u32) void {
        const bytes = slabs.slab_at(number).bytes;
        const name = slabs.name_of(number, 0);
        slabs.state(name).bytes = bytes;
        self.push(name, order_of(bytes));
        self.free_bytes += bytes;
    }

    /// The smallest block of at least so many bytes, which belongs to the stock then; null when
    /// there is none.
    pub fn take(self: *Buddies, bytes: u32) ?u32 {
        const order = order_of(bytes);
        var found = order;
        while (found < orders and self.heads[found] == slabs.none) found += 1;
        if (found == orders) return null;
        const name = self.heads[found];
        self.unlink(name, found);
        while (found > order) {
            found -= 1;
            self.put(name + (@as(u32, 1) << @intCast(found)), found);
        }
        slabs.state(name).bytes = bytes_of(order);
        slabs.state(name).set_owner(slabs.Owner.stock);
        self.free_bytes -= bytes_of(order);
        return name;
    }

    /// The first of the blocks of exactly so many bytes, linked by `next`.
    pub fn first_whole(self: *const Buddies, bytes: u32) u32 {
        return self.heads[order_of(bytes)];
    }

    /// Whole units in a row, not as many as a power of two: the rest of the block stays free.
    pub fn take_run(self: *Buddies, bytes: u32) ?u32 {
        const name = self.take(bytes) orelse return null;
        const whole = slabs.state(name).bytes;
        slabs.state(name).bytes = bytes;
        if (whole > bytes) self.give_back_range(name, bytes, whole);
        return name;
    }

    /// A block or a run that nobody uses any more.
    pub fn give_back(self: *Buddies, name: u32) void {
        self.give_back_range(name, 0, slabs.state(name).bytes);
    }

    /// The bytes from `start` to `end` of what begins at `name`, in blocks as large as they can be.
    fn give_back_range(self: *Buddies, name: u32, start: u32, end: u32) void {
        var at = start / slabs.unit_bytes;
        const last = end / slabs.unit_bytes;
        while (at < last) {
            const unit = slabs.unit_of(name) + at;
            const aligned: u32 = if (unit == 0) orders - 1 else @ctz(unit);
            const fitting = std.math.log2_int(u32, last - at);
            const order = @min(aligned, fitting);
            self.join(name + at, order);
            self.free_bytes += bytes_of(order);
            at += @as(u32, 1) << @intCast(order);
        }
    }

    /// Joins a block with its neighbours as far as they are free.
    fn join(self: *Buddies, block: u32, block_order: u32) void {
        var name = block;
        var order = block_order;
        const slab_order = order_of(slabs.slab_at(slabs.slab_of(name)).bytes);
        // Until it is in a list it is no neighbour for anybody to join.
        slabs.state(name).set_owner(slabs.Owner.nobody);
        while (order < slab_order) : (order += 1) {
            const neighbour = slabs.name_of(
                slabs.slab_of(name),
                slabs.unit_of(name) ^ (@as(u32, 1) << @intCast(order)),
            );
            const other = slabs.state(neighbour);
            if (other.owner() != slabs.Owner.arena or other.bytes != bytes_of(order)) break;
            self.unlink(neighbour, order);
            other.set_owner(slabs.Owner.nobody);
            name = @min(name, neighbour);
        }
        self.put(name, order);
    }

    fn put(self: *Buddies, name: u32, order: u32) void {
        slabs.state(name).bytes = bytes_of(order);
        self.push(name, order);
    }

    fn push(self: *Buddies, name: u32, order: u32) void {
        const head = self.heads[order];
        const state = slabs.state(name);
        state.next = head;
        state.length = slabs.none;
        state.set_owner(slabs.Owner.arena);
        if (head != slabs.none) slabs.state(head).length = name;
        self.heads[order] = name;
    }

    fn unlink(self: *Buddies, name: u32, order: u32) void {
        const state = slabs.state(name);
        if (state.length == slabs.none) {
            self.heads[order] = state.next;
        } else {
            slabs.state(state.length).next = state.next;
        }
        if (state.next != slabs.none) slabs.state(state.next).length = state.length;
    }
};

fn order_of(bytes: u32) u32 {
    if (bytes <= slabs.unit_bytes) return 0;
    return 32 - @as(u32, @clz((bytes - 1) / slabs.unit_bytes));
}

fn bytes_of(order: u32) u32 {
    return slabs.unit_bytes << @intCast(order);
}

fn add_test_slab(buddies: *Buddies, bytes: u32) !u32 {
    const mapped = @import("mapped.zig");
    const number = slabs.add(try mapped.allocate(u8, bytes), 0) orelse return error.OutOfMemory;
    buddies.add_slab(number);
    return number;
}

test "orders" {
    try std.testing.expectEqual(@as(u32, 0), order_of(1));
    try std.testing.expectEqual(@as(u32, 0), order_of(512));
    try std.testing.expectEqual(@as(u32, 1), order_of(513));
    try std.testing.expectEqual(@as(u32, 5), order_of(16_384));
    try std.testing.expectEqual(@as(u32, 21), order_of(1 << 30));
}

test "one small block keeps nothing from use but itself" {
    var buddies: Buddies = .empty;
    _ = try add_test_slab(&buddies, 1 << 16);
    const lone = buddies.take(512).?;
    var taken: [127]u32 = undefined;
    for (&taken) |*name| name.* = buddies.take(512).?;
    try std.testing.expectEqual(@as(?u32, null), buddies.take(512));
    for (taken) |name| buddies.give_back(name);
    try std.testing.expect(buddies.take(1 << 15) != null);
    try std.testing.expect(buddies.take(1 << 14) != null);
    try std.testing.expectEqual(@as(?u32, null), buddies.take(1 << 14));
    buddies.give_back(lone);
    try std.testing.expectEqual(@as(u64, 1 << 14), buddies.free_bytes);
    try std.testing.expect(buddies.take(1 << 14) != null);
}

test "a run leaves the rest of its block free, and joins it again" {
    var buddies: Buddies = .empty;
    const slab = try add_test_slab(&buddies, 1 << 20);
    const run = buddies.take_run(5 * 4096).?;
    try std.testing.expectEqual(@as(u64, (1 << 20) - 5 * 4096), buddies.free_bytes);
    const rest = buddies.take(8192).?;
    try std.testing.expectEqual(slabs.name_of(slab, 6 * 8), rest);
    buddies.give_back(run);
    buddies.give_back(rest);
    try std.testing.expectEqual(slabs.name_of(slab, 0), buddies.take(1 << 20).?);
}

test "random blocks and runs never overlap, and all of a slab is whole again afterwards" {
    var buddies: Buddies = .empty;
    const slab = try add_test_slab(&buddies, 1 << 20);
    var random_state: std.Random.DefaultPrng = .init(1);
    const random = random_state.random();
    var used: [2048]bool = @splat(false);
    var held: std.ArrayList(u32) = .empty;
    defer held.deinit(std.testing.allocator);
    for (0..20_000) |_| {
        if (held.items.len > 0 and random.boolean()) {
            const at = random.uintLessThan(usize, held.items.len);
            const name = held.swapRemove(at);
            const from = slabs.unit_of(name);
            @memset(used[from..][0 .. slabs.state(name).bytes / 512], false);
            buddies.give_back(name);
            continue;
        }
        const bytes = random.intRangeAtMost(u32, 1, 20) * random.intRangeAtMost(u32, 1, 40) * 512;
        const name = buddies.take_run(bytes) orelse continue;
        for (used[slabs.unit_of(name)..][0 .. bytes / 512]) |*unit| {
            try std.testing.expect(!unit.*);
            unit.* = true;
        }
        try held.append(std.testing.allocator, name);
    }
    for (held.items) |name| buddies.give_back(name);
    try std.testing.expectEqual(@as(u64, 1 << 20), buddies.free_bytes);
    try std.testing.expectEqual(slabs.name_of(slab, 0), buddies.take(1 << 20).?);
}
