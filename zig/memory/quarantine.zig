//! Released blocks that are not to be given out again yet: until so many others were released after
//! them, or until so much time has passed, or both.
//!
//! Invariant: first in, first out. Nobody might ever release enough for a count that is asked for:
//! a pool that has nothing else then takes the oldest whose time is over, and counts that.

const std = @import("std");
const slabs = @import("slabs.zig");

pub const Quarantine = struct {
    count_wanted: u32,
    time_wanted_ms: u32,
    head: u32,
    tail: u32,
    count: u32,
    bytes: u64,

    pub fn init(count_wanted: u32, time_wanted_ms: u32) Quarantine {
        return .{
            .count_wanted = count_wanted,
            .time_wanted_ms = time_wanted_ms,
            .head = slabs.none,
            .tail = slabs.none,
            .count = 0,
            .bytes = 0,
        };
    }

    pub fn wanted(self: *const Quarantine) bool {
        return self.count_wanted > 0 or self.time_wanted_ms > 0;
    }

    pub fn push(self: *Quarantine, name: u32, now_ms: u32) void {
        const state = slabs.state(name);
        state.next = slabs.none;
        state.length = now_ms;
        if (self.count == 0) self.head = name else slabs.state(self.tail).next = name;
        self.tail = name;
        self.count += 1;
        self.bytes += state.bytes;
    }

    /// The oldest, if it has served its time; else null.
    pub fn pop_served(self: *Quarantine, now_ms: u32) ?u32 {
        if (self.count == 0 or self.count <= self.count_wanted) return null;
        if (!self.has_rested(self.head, now_ms)) return null;
        return self.pop();
    }

    /// The oldest, if nothing but the count keeps it; else null.
    pub fn pop_early(self: *Quarantine, now_ms: u32) ?u32 {
        if (self.count == 0 or !self.has_rested(self.head, now_ms)) return null;
        return self.pop();
    }

    /// Bytes that nothing but the count keeps, counted until they are `enough`.
    pub fn yielding_bytes(self: *const Quarantine, now_ms: u32, enough: u64) u64 {
        if (self.time_wanted_ms == 0) return self.bytes;
        var sum: u64 = 0;
        var name = self.head;
        for (0..self.count) |_| {
            if (sum >= enough or !self.has_rested(name, now_ms)) break;
            sum += slabs.state(name).bytes;
            name = slabs.state(name).next;
        }
        return sum;
    }

    fn has_rested(self: *const Quarantine, name: u32, now_ms: u32) bool {
        return now_ms -% slabs.state(name).length >= self.time_wanted_ms;
    }

    /// How long until the oldest may go, in milliseconds; null when time does not decide.
    pub fn rest_ms(self: *const Quarantine, now_ms: u32) ?u32 {
        if (self.count <= self.count_wanted or self.time_wanted_ms == 0) return null;
        return self.time_wanted_ms -| (now_ms -% slabs.state(self.head).length);
    }

    pub fn pop(self: *Quarantine) ?u32 {
        if (self.count == 0) return null;
        const name = self.head;
        const state = slabs.state(name);
        self.head = state.next;
        self.count -= 1;
        self.bytes -= state.bytes;
        return name;
    }
};

test "blocks leave in order, after so many others and so much time" {
    const mapped = @import("mapped.zig");
    const memory = try mapped.allocate(u8, 1 << 16);
    const slab = slabs.add(memory, slabs.none) orelse return error.OutOfMemory;
    var quarantine: Quarantine = .init(2, 10);
    for (0..4) |unit| {
        const name = slabs.name_of(slab, @intCast(unit));
        slabs.state(name).bytes = 512;
        quarantine.push(name, @intCast(100 + unit));
    }
    try std.testing.expectEqual(@as(?u32, null), quarantine.pop_served(109));
    try std.testing.expectEqual(@as(?u32, 1), quarantine.rest_ms(109));
    try std.testing.expectEqual(slabs.name_of(slab, 0), quarantine.pop_served(110).?);
    try std.testing.expectEqual(slabs.name_of(slab, 1), quarantine.pop_served(200).?);
    try std.testing.expectEqual(@as(?u32, null), quarantine.pop_served(200));
    try std.testing.expectEqual(@as(u64, 1024), quarantine.bytes);
    // Nothing but the count keeps them now, but not before their time.
    try std.testing.expectEqual(@as(?u32, null), quarantine.pop_early(111));
    try std.testing.expectEqual(@as(u64, 0), quarantine.yielding_bytes(111, 1024));
    try std.testing.expectEqual(@as(u64, 512), quarantine.yielding_bytes(112, 1024));
    try std.testing.expectEqual(@as(u64, 1024), quarantine.yielding_bytes(200, 1024));
    try std.testing.expectEqual(slabs.name_of(slab, 2), quarantine.pop_early(112).?);
    while (quarantine.pop()) |_| {}
}
