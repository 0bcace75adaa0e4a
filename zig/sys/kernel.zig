//! The operating system as the rest of the library wants it: without allocation, and with one shape
//! of result: a non-negative value, or a negated errno as Linux numbers it. No state, any thread.

const std = @import("std");

const system = switch (@import("system.zig").family) {
    .linux => @import("kernel_linux.zig"),
    .bsd => @import("kernel_bsd.zig"),
};

/// The names of error numbers, with the numbers of Linux on every system.
pub const E = std.os.linux.E;

/// The value of a call of this system, or its negated errno.
pub const result = system.result;

/// The negated errno that this library uses for an error number of the system, which stands
/// elsewhere than in a call's result.
pub const from_system = system.from_system;

/// The negated errno of `code`, for comparison with a result.
pub fn negative(code: E) i32 {
    return -@as(i32, @intFromEnum(code));
}

/// The positive errno of a negative result, 0 for any other.
pub fn errno_of(value: i32) u32 {
    return if (value < 0 and value > -4096) @intCast(-value) else 0;
}

pub const close = system.close;

/// Whether the number is that of an open descriptor.
pub const is_open = system.is_open;

/// What a descriptor is of, so that another one of the same number is told from it. Anonymous ones
/// of Linux (eventfd, timerfd) are all of one thing.
pub const Identity = struct { device: u64 = 0, inode: u64 = 0 };

/// Whether waiting for a descriptor makes sense: a regular file or a folder is always ready. 0, or
/// a negated errno: EBADF, or EPERM as epoll has it.
pub const check_pollable = system.check_pollable;

/// The negated errno of the last call into a libc that failed. Only on systems that are called
/// through theirs.
pub const last_error = system.last_error;

/// Private, zeroed, lazily committed memory; null when the kernel has none.
pub const map = system.map;

pub const unmap = system.unmap;

/// Gives the pages back; they read as zeros afterwards, and the range stays mapped. Advice may be
/// gone with them: `pages.exclude_from_fork` is to be called again.
pub const discard = system.discard;

pub fn round_to_page(length: usize) usize {
    return std.mem.alignForward(usize, length, std.heap.page_size_min);
}

/// A descriptor of a file to be read, or a negated errno. A pipe or a terminal is not waited for.
pub const open_for_reading = system.open;

/// The number of bytes read, 0 at the end.
pub const read = system.read;

/// Reads a small file such as one under /proc into `buffer`; what was read, or null.
pub fn read_file(path: [*:0]const u8, buffer: []u8) ?[]const u8 {
    const descriptor = system.open(path);
    if (descriptor < 0) return null;
    defer close(descriptor);
    const count = system.read(descriptor, buffer);
    if (count < 0) return null;
    return buffer[0..@intCast(count)];
}

/// The first whole number in `text`, or null.
pub fn first_number(text: []const u8) ?u32 {
    var start: usize = 0;
    while (start < text.len and !std.ascii.isDigit(text[start])) start += 1;
    var end = start;
    while (end < text.len and std.ascii.isDigit(text[end])) end += 1;
    return std.fmt.parseInt(u32, text[start..end], 10) catch null;
}

test "results keep values and errno values apart" {
    var nothing: [1]u8 = undefined;
    try std.testing.expectEqual(@as(i32, 7), result(7));
    try std.testing.expectEqual(negative(.BADF), system.read(-1, &nothing));
    try std.testing.expectEqual(@as(u32, 9), errno_of(-9));
    try std.testing.expectEqual(@as(u32, 0), errno_of(-10001));
}

test "mapped memory is zero, and zero again after discard" {
    const memory = map(8192) orelse return error.OutOfMemory;
    defer unmap(memory);
    memory[5000] = 1;
    discard(memory);
    try std.testing.expectEqual(@as(u8, 0), memory[5000]);
}

test "numbers in text" {
    try std.testing.expectEqual(@as(?u32, 2), first_number("2\n"));
    try std.testing.expectEqual(@as(?u32, null), first_number("none"));
}
