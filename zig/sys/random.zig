//! Bytes that nobody can guess, from the system. Any thread.

const std = @import("std");

const system = switch (@import("system.zig").family) {
    .linux => @import("random_linux.zig"),
    .bsd => @import("random_bsd.zig"),
};

/// A number that cannot be foretold.
pub fn number(comptime Number: type) Number {
    var value: Number = 0;
    system.fill(std.mem.asBytes(&value));
    return value;
}

test "numbers differ" {
    const first = number(u64);
    for (0..8) |_| {
        if (number(u64) != first) return;
    }
    return error.AlwaysTheSame;
}
