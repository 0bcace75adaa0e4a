//! A first-in-first-out list threaded through the elements of an array, so that joining costs no
//! memory. An element is in a list at most once; joining again is harmless.

const std = @import("std");

pub const Link = struct {
    next: u32,
    linked: bool,
};

/// A list through the field `name` (a `Link`) of elements of type `Element`.
pub fn List(comptime Element: type, comptime name: []const u8) type {
    return struct {
        const Self = @This();

        /// Meaningless while `length` is 0.
        head: u32 = 0,
        tail: u32 = 0,
        length: u32 = 0,

        pub fn push(self: *Self, elements: []Element, index: u32) void {
            const link = &@field(elements[index], name);
            if (link.linked) return;
            link.linked = true;
            if (self.length == 0) {
                self.head = index;
            } else {
                @field(elements[self.tail], name).next = index;
            }
            self.tail = index;
            self.length += 1;
        }

        pub fn pop(self: *Self, elements: []Element) ?u32 {
            if (self.length == 0) return null;
            const index = self.head;
            const link = &@field(elements[index], name);
            link.linked = false;
            self.head = link.next;
            self.length -= 1;
            return index;
        }
    };
}

test "elements leave in the order in which they came, once each" {
    const Element = struct { link: Link };
    var elements: [4]Element = @splat(.{ .link = .{ .next = 0, .linked = false } });
    var list: List(Element, "link") = .{};
    for ([_]u32{ 2, 0, 2, 3 }) |index| list.push(&elements, index);
    for ([_]?u32{ 2, 0, 3, null }) |index| try std.testing.expectEqual(index, list.pop(&elements));
    list.push(&elements, 2);
    try std.testing.expectEqual(@as(?u32, 2), list.pop(&elements));
}
