//! What the kernels of macOS and FreeBSD tell by name. Source: sysctlbyname(3).

const std = @import("std");
const c = std.c;
const kernel = @import("kernel.zig");

/// A whole number, or null where the system does not have it.
pub fn number(name: [*:0]const u8) ?u32 {
    var bytes: [8]u8 = undefined;
    const told = read(name, &bytes) orelse return null;
    return switch (told.len) {
        4 => std.mem.readInt(u32, told[0..4], .native),
        8 => std.math.cast(u32, std.mem.readInt(u64, told[0..8], .native)),
        else => null,
    };
}

/// A text, without the zero at its end.
pub fn text(name: [*:0]const u8, buffer: []u8) ?[]const u8 {
    return std.mem.sliceTo(read(name, buffer) orelse return null, 0);
}

fn read(name: [*:0]const u8, buffer: []u8) ?[]const u8 {
    var length: usize = buffer.len;
    if (kernel.result(c.sysctlbyname(name, buffer.ptr, &length, null, 0)) < 0) return null;
    return buffer[0..length];
}
