//! Connections that a loop has accepted and for which it has no slot yet, oldest first: a kernel
//! may accept more before it can be told to stop. Used by the loop's thread only.

const std = @import("std");
const mapped = @import("../memory/mapped.zig");

/// Most of them.
pub const parked_max = 1024;

const Entry = struct { descriptor: i32, listener: u32 };

/// A ring of `count` connections from `first` on.
pub const Parked = struct {
    entries: []Entry,
    first: u32,
    count: u32,

    pub fn init() error{OutOfMemory}!Parked {
        return .{ .entries = try mapped.allocate(Entry, parked_max), .first = 0, .count = 0 };
    }

    /// The caller has closed them.
    pub fn deinit(self: *Parked) void {
        mapped.free(Entry, self.entries);
        self.* = undefined;
    }

    /// False when there are too many.
    pub fn push(self: *Parked, entry: Entry) bool {
        if (self.count == parked_max) return false;
        self.entries[(self.first + self.count) % parked_max] = entry;
        self.count += 1;
        return true;
    }

    pub fn pop(self: *Parked) ?Entry {
        if (self.count == 0) return null;
        const entry = self.entries[self.first];
        self.first = (self.first + 1) % parked_max;
        self.count -= 1;
        return entry;
    }

    /// Whether there are some of a listener's.
    pub fn has(self: *const Parked, listener: u32) bool {
        for (0..self.count) |index| {
            const place = (self.first + index) % parked_max;
            if (self.entries[place].listener == listener) return true;
        }
        return false;
    }
};

test "they leave in the order in which they came, and there are so many at most" {
    var parked: Parked = try .init();
    defer parked.deinit();
    try std.testing.expect(parked.push(.{ .descriptor = 0, .listener = 7 }));
    try std.testing.expect(parked.has(7));
    try std.testing.expectEqual(@as(i32, 0), parked.pop().?.descriptor);
    for (1..parked_max + 1) |descriptor| {
        try std.testing.expect(parked.push(.{ .descriptor = @intCast(descriptor), .listener = 8 }));
    }
    try std.testing.expect(!parked.push(.{ .descriptor = 0, .listener = 9 }));
    try std.testing.expect(!parked.has(7) and !parked.has(9));
    try std.testing.expectEqual(@as(i32, 1), parked.pop().?.descriptor);
    try std.testing.expectEqual(@as(u32, parked_max - 1), parked.count);
}
