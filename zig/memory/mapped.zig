//! Arrays in mapped memory: zeroed, committed page by page as they are touched, allocated when a
//! loop opens and never afterwards.

const std = @import("std");
const builtin = @import("builtin");
const kernel = @import("../sys/kernel.zig");

pub const Error = error{OutOfMemory};

/// An array of `count` zeroed elements. All-zero bytes must be a valid `Element`.
pub fn allocate(comptime Element: type, count: usize) Error![]Element {
    std.debug.assert(count > 0);
    if (builtin.is_test) try account.take();
    const bytes = kernel.round_to_page(count * @sizeOf(Element));
    const memory = kernel.map(bytes) orelse return error.OutOfMemory;
    const elements: [*]Element = @ptrCast(memory.ptr);
    return elements[0..count];
}

/// Takes an array back; an empty one stands for none.
pub fn free(comptime Element: type, elements: []Element) void {
    if (elements.len == 0) return;
    if (builtin.is_test) account.there -= 1;
    const bytes = kernel.round_to_page(elements.len * @sizeOf(Element));
    const start: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(elements.ptr));
    kernel.unmap(start[0..bytes]);
}

/// For tests of what opens and fails half-way: the arrays of this thread.
pub const account = struct {
    /// So many more may be had.
    pub threadlocal var left: u32 = std.math.maxInt(u32);
    /// Had, and not taken back.
    pub threadlocal var there: i64 = 0;

    fn take() Error!void {
        if (left == 0) return error.OutOfMemory;
        left -= 1;
        there += 1;
    }
};

test "arrays are zeroed and their own" {
    const first = try allocate(u64, 1000);
    defer free(u64, first);
    const second = try allocate(u64, 1000);
    defer free(u64, second);
    first[999] = 5;
    try std.testing.expectEqual(@as(u64, 0), second[999]);
}
