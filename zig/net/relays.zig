//! The relays of a loop: which connections are joined, and what was asked for.
//!
//! Invariants: a side that has ended is not looked for any more, so its slot may be another
//! connection's by then; a relay is given back when both sides have ended or one has taken the
//! other with it. Each has a side that has not ended, so there are never more of them than slots of
//! connections. Used by the loop's thread only.

const std = @import("std");
const mapped = @import("../memory/mapped.zig");

/// No relay: the value of `Connection.relay` of a connection that is in none.
pub const none: u32 = std.math.maxInt(u32);

pub const Options = struct {
    /// Bytes that may wait at one side before the other is not read any more.
    high_water_mark: u32,
    /// How long no byte may move; 0 for ever.
    idle_timeout_ms: u32,
    /// The same once one direction has ended; 0: as before.
    half_open_timeout_ms: u32,
};

pub const Relay = struct {
    /// Slots of the two connections, `none` for one that has ended.
    sides: [2]u32,
    options: Options,
    /// When the last byte moved, as far as it was looked at.
    since_ns: u64,
    /// One direction has ended.
    half_open: bool,
    /// The next free one, while it is free.
    next: u32,

    /// The other side's slot, or null when that has ended.
    pub fn other(self: *const Relay, slot: u32) ?u32 {
        std.debug.assert(self.sides[0] == slot or self.sides[1] == slot);
        const found = self.sides[@intFromBool(self.sides[0] == slot)];
        return if (found == none) null else found;
    }

    /// How long no byte may move now; 0 for ever.
    pub fn limit_ms(self: *const Relay) u32 {
        const options = &self.options;
        const half_open = self.half_open and options.half_open_timeout_ms > 0;
        return if (half_open) options.half_open_timeout_ms else options.idle_timeout_ms;
    }
};

pub const Relays = struct {
    relays: []Relay,
    /// From here on they were never used.
    fresh: u32,
    free_head: u32,
    open_count: u32,

    pub fn init(capacity: u32) error{OutOfMemory}!Relays {
        return .{
            .relays = try mapped.allocate(Relay, capacity),
            .fresh = 0,
            .free_head = none,
            .open_count = 0,
        };
    }

    pub fn deinit(self: *Relays) void {
        mapped.free(Relay, self.relays);
        self.* = undefined;
    }

    pub fn at(self: *const Relays, index: u32) *Relay {
        return &self.relays[index];
    }

    /// A relay between two slots; its index.
    pub fn add(self: *Relays, sides: [2]u32, options: Options, now_ns: u64) u32 {
        var index = self.free_head;
        if (index == none) {
            index = self.fresh;
            self.fresh += 1;
        } else {
            self.free_head = self.relays[index].next;
        }
        self.open_count += 1;
        self.relays[index] = .{
            .sides = sides,
            .options = options,
            .since_ns = now_ns,
            .half_open = false,
            .next = none,
        };
        return index;
    }

    /// One side has ended; true when the other had before, and the relay is given back.
    pub fn end_side(self: *Relays, index: u32, slot: u32) bool {
        const relay = &self.relays[index];
        const is_last = relay.other(slot) == null;
        relay.sides[@intFromBool(relay.sides[1] == slot)] = none;
        if (!is_last) return false;
        relay.next = self.free_head;
        self.free_head = index;
        self.open_count -= 1;
        return true;
    }
};

test "a relay goes with its second side, and is used again" {
    var relays = try Relays.init(2);
    defer relays.deinit();
    const options: Options = .{
        .high_water_mark = 1,
        .idle_timeout_ms = 7,
        .half_open_timeout_ms = 3,
    };
    const first = relays.add(.{ 4, 5 }, options, 0);
    const second = relays.add(.{ 6, 7 }, options, 0);
    try std.testing.expect(first != second);
    try std.testing.expectEqual(@as(?u32, 5), relays.at(first).other(4));
    try std.testing.expectEqual(@as(?u32, 4), relays.at(first).other(5));
    try std.testing.expect(!relays.end_side(first, 4));
    try std.testing.expectEqual(@as(?u32, null), relays.at(first).other(5));
    try std.testing.expect(relays.end_side(first, 5));
    try std.testing.expectEqual(@as(u32, 1), relays.open_count);
    try std.testing.expectEqual(first, relays.add(.{ 4, 8 }, options, 0));
}

test "once one direction has ended its own time limit holds, if there is one" {
    var relay = std.mem.zeroes(Relay);
    relay.options.idle_timeout_ms = 7;
    relay.half_open = true;
    try std.testing.expectEqual(@as(u32, 7), relay.limit_ms());
    relay.options.half_open_timeout_ms = 3;
    try std.testing.expectEqual(@as(u32, 3), relay.limit_ms());
    relay.half_open = false;
    try std.testing.expectEqual(@as(u32, 7), relay.limit_ms());
}
