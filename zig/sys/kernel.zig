//! System calls as the rest of the library wants them: raw, without libc, and with one shape of
//! result: a non-negative value, or a negated errno. No allocation, no state, any thread.

const std = @import("std");
const linux = std.os.linux;

pub const E = linux.E;

/// The value of a system call, or its negated errno.
pub fn result(rc: usize) i32 {
    const value: isize = @bitCast(rc);
    return std.math.cast(i32, value) orelse std.math.maxInt(i32);
}

/// The negated errno of `code`, for comparison with a result.
pub fn negative(code: E) i32 {
    return -@as(i32, @intFromEnum(code));
}

/// The negated errno that this library uses for an error number of the system.
pub fn from_system(number: i32) i32 {
    return -number;
}

/// The positive errno of a negative result, 0 for any other.
pub fn errno_of(value: i32) u32 {
    return if (value < 0 and value > -4096) @intCast(-value) else 0;
}

pub fn close(descriptor: i32) void {
    // Linux frees the descriptor even when close answers EINTR, so there is nothing to retry.
    _ = linux.close(descriptor);
}

pub fn is_open(descriptor: i32) bool {
    return result(linux.fcntl(descriptor, linux.F.GETFD, 0)) >= 0;
}

/// Whether waiting for a descriptor makes sense: a regular file or a folder is always ready. 0, or
/// a negated errno: EBADF, or EPERM as epoll has it.
pub fn check_pollable(descriptor: i32) i32 {
    var stat: linux.Statx = undefined;
    const flags = linux.AT.EMPTY_PATH;
    const rc = result(linux.statx(descriptor, "", flags, .{ .TYPE = true }, &stat));
    if (rc < 0) return rc;
    return switch (stat.mode & linux.S.IFMT) {
        linux.S.IFREG, linux.S.IFDIR => negative(.PERM),
        else => 0,
    };
}

/// Private, zeroed, lazily committed memory; null when the kernel has none.
pub fn map(length: usize) ?[]align(std.heap.page_size_min) u8 {
    const rc = linux.mmap(null, length, .{ .READ = true, .WRITE = true }, .{
        .TYPE = .PRIVATE,
        .ANONYMOUS = true,
        .NORESERVE = true,
    }, -1, 0);
    if (result_is_error(rc)) return null;
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(rc);
    return pointer[0..length];
}

pub fn unmap(memory: []align(std.heap.page_size_min) u8) void {
    _ = linux.munmap(memory.ptr, memory.len);
}

/// Gives the pages back; they read as zeros afterwards, and the range stays mapped.
pub fn discard(memory: []align(std.heap.page_size_min) u8) void {
    _ = linux.madvise(memory.ptr, memory.len, linux.MADV.DONTNEED);
}

pub fn result_is_error(rc: usize) bool {
    return rc > std.math.maxInt(usize) - 4096;
}

pub fn round_to_page(length: usize) usize {
    return std.mem.alignForward(usize, length, std.heap.page_size_min);
}

/// Reads a small file such as one under /proc into `buffer`; what was read, or null.
pub fn read_file(path: [*:0]const u8, buffer: []u8) ?[]const u8 {
    const descriptor = result(linux.open(path, .{ .CLOEXEC = true }, 0));
    if (descriptor < 0) return null;
    defer close(descriptor);
    const count = result(linux.read(descriptor, buffer.ptr, buffer.len));
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
    try std.testing.expectEqual(@as(i32, 7), result(7));
    try std.testing.expectEqual(negative(.BADF), result(linux.close(-1)));
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
