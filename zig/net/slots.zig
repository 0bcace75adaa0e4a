//! Which slots of a loop's connections are free, and which of those are given out next.
//!
//! Invariant: a slot that was freed in this turn is not given out in it: it would take the place of
//! a connection whose end the script has not seen. Therefore there are more slots than connections
//! may be open.

const std = @import("std");
const mapped = @import("../memory/mapped.zig");

pub const Slots = struct {
    /// Connections at a time.
    limit: u32,
    open_count: u32,
    /// Slots from here on were never used; `free` is a ring of those that were and are again.
    fresh: u32,
    free: []u32,
    free_first: u32,
    free_count: u32,

    /// `spare`: slots beyond the limit: as many as can be freed in one turn.
    pub fn init(limit: u32, spare: u32) error{OutOfMemory}!Slots {
        return .{
            .limit = limit,
            .open_count = 0,
            .fresh = 0,
            .free = try mapped.allocate(u32, limit + spare),
            .free_first = 0,
            .free_count = 0,
        };
    }

    pub fn deinit(self: *Slots) void {
        mapped.free(u32, self.free);
        self.* = undefined;
    }

    pub fn has_free(self: *const Slots) bool {
        return self.open_count < self.limit;
    }

    /// A free slot, where there is one, on behalf of a connection. `connections` tell by
    /// `freed_turn` when they were freed.
    pub fn take(self: *Slots, connections: anytype, turn: u64) u32 {
        std.debug.assert(self.has_free());
        self.open_count += 1;
        if (self.free_count > 0) {
            const slot = self.free[self.free_first];
            if (connections[slot].freed_turn != turn) {
                self.free_first = (self.free_first + 1) % @as(u32, @intCast(self.free.len));
                self.free_count -= 1;
                return slot;
            }
        }
        std.debug.assert(self.fresh < self.free.len);
        self.fresh += 1;
        return self.fresh - 1;
    }

    pub fn give_back(self: *Slots, connections: anytype, slot: u32, turn: u64) void {
        self.open_count -= 1;
        connections[slot].freed_turn = turn;
        const place = (self.free_first + self.free_count) % @as(u32, @intCast(self.free.len));
        self.free[place] = slot;
        self.free_count += 1;
    }
};

test "a freed slot rests until the next turn, and then goes before fresh ones" {
    const Entry = struct { freed_turn: u64 };
    var entries: [3]Entry = @splat(.{ .freed_turn = 0 });
    var slots = try Slots.init(2, 1);
    defer slots.deinit();
    try std.testing.expectEqual(@as(u32, 0), slots.take(&entries, 1));
    try std.testing.expectEqual(@as(u32, 1), slots.take(&entries, 1));
    try std.testing.expect(!slots.has_free());
    slots.give_back(&entries, 0, 1);
    try std.testing.expectEqual(@as(u32, 2), slots.take(&entries, 1));
    slots.give_back(&entries, 1, 1);
    try std.testing.expectEqual(@as(u32, 0), slots.take(&entries, 2));
}
