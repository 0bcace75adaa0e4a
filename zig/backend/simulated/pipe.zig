//! One direction of a simulated connection: bytes that were sent and not yet received, of which the
//! first `visible` have arrived. Invariant: bytes never overtake each other; the end comes last.

const std = @import("std");

pub const never: u64 = std.math.maxInt(u64);

pub const Pipe = struct {
    /// A ring, from `start` on.
    bytes: []u8 = &.{},
    start: u32 = 0,
    length: u32 = 0,
    visible: u32 = 0,
    end_sent: bool = false,
    end_visible: bool = false,
    /// When more arrives; `never` while nothing is under way.
    next_ns: u64 = never,

    pub fn room(self: *const Pipe) u32 {
        return @as(u32, @intCast(self.bytes.len)) - self.length;
    }

    pub fn under_way(self: *const Pipe) bool {
        return self.length > self.visible or (self.end_sent and !self.end_visible);
    }

    /// As much of `from` as there is room for.
    pub fn write(self: *Pipe, from: []const u8) u32 {
        const count: u32 = @min(self.room(), @as(u32, @intCast(from.len)));
        for (from[0..count]) |byte| {
            self.bytes[(self.start + self.length) % self.bytes.len] = byte;
            self.length += 1;
        }
        return count;
    }

    /// What has arrived, as far as `out` holds it.
    pub fn read(self: *Pipe, out: []u8) u32 {
        const count: u32 = @min(self.visible, @as(u32, @intCast(out.len)));
        for (out[0..count]) |*byte| {
            byte.* = self.bytes[self.start];
            self.start = (self.start + 1) % @as(u32, @intCast(self.bytes.len));
        }
        self.length -= count;
        self.visible -= count;
        return count;
    }

    /// Some of what is under way arrives; the end only with nothing before it.
    pub fn arrive(self: *Pipe, most: u32) void {
        self.visible += @min(most, self.length - self.visible);
        if (self.visible == self.length) self.end_visible = self.end_sent;
    }

    /// What has not arrived never will.
    pub fn cut(self: *Pipe) void {
        self.length = self.visible;
        self.end_sent = self.end_visible;
        self.next_ns = never;
    }

    pub fn drop(self: *Pipe) void {
        self.visible = 0;
        self.cut();
    }
};

test "bytes arrive in order, and the end after them" {
    var storage: [8]u8 = undefined;
    var pipe: Pipe = .{ .bytes = &storage };
    var out: [8]u8 = undefined;
    try std.testing.expectEqual(@as(u32, 5), pipe.write("hello"));
    pipe.arrive(3);
    try std.testing.expectEqual(@as(u32, 3), pipe.read(&out));
    try std.testing.expectEqual(@as(u32, 6), pipe.write(" world"));
    pipe.end_sent = true;
    pipe.arrive(7);
    try std.testing.expect(!pipe.end_visible and pipe.under_way());
    pipe.arrive(7);
    try std.testing.expect(pipe.end_visible and !pipe.under_way());
    try std.testing.expectEqual(@as(u32, 8), pipe.read(&out));
    try std.testing.expectEqualStrings("lo world", &out);
}
