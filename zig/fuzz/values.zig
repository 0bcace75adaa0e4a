//! What an argument of a call can be: something that is valid just now, something next to it, a
//! number at an edge, or anything. Which of these, and which one, an input says; what is valid just
//! now only the script that runs it knows. No state, any thread.

const std = @import("std");

pub const Value = struct {
    selector: u8,
    payload: u32,

    pub const Class = enum { valid, above, below, edge, arbitrary, foreign };

    pub fn class(self: Value) Class {
        return switch (self.selector & 15) {
            0...7 => .valid,
            8 => .above,
            9 => .below,
            10, 11, 12 => .edge,
            13 => .arbitrary,
            else => .foreign,
        };
    }
};

/// What a parameter or a field means, as far as its name tells.
pub const Kind = enum {
    loop,
    slot,
    buffer,
    generation,
    slab,
    submissions,
    wait_us,
    pool_key,
    references,
    descriptor,
    number,
};

pub fn kind_of(name: []const u8) Kind {
    const named = std.meta.stringToEnum(Kind, name);
    if (named) |kind| return kind;
    return if (std.mem.endsWith(u8, name, "_generation")) .generation else .number;
}

/// Zero, one, the largest of a width, powers of two, and both neighbours of each.
const edges = edges: {
    @setEvalBranchQuota(2000);
    var list: []const u32 = &.{ 0, 1, std.math.maxInt(u32), std.math.maxInt(i32), 10_000 };
    for (1..32) |bit| {
        const power = 1 << bit;
        list = list ++ [_]u32{ power - 1, power, power + 1 };
    }
    break :edges list;
};

pub fn edge(payload: u32) u32 {
    return edges[payload % edges.len];
}

/// Times of a timer, in microseconds, most of which are none.
const times = [_]f64{
    0,
    1,
    0.5,
    1000,
    50,
    -1,
    std.math.nan(f64),
    std.math.inf(f64),
    -std.math.inf(f64),
    1 << 53,
    (1 << 53) + 2,
    1 << 52,
    std.math.floatMin(f64),
    std.math.floatMax(f64),
    1e-3,
    1 << 62,
    1 << 64,
    -0.0,
};

pub fn time(value: Value) f64 {
    return switch (value.class()) {
        .valid => @floatFromInt(value.payload % 2000),
        .arbitrary => @bitCast(@as(u64, value.payload) << 32 | value.payload),
        else => times[value.payload % times.len],
    };
}

test "edges are where arithmetic breaks" {
    for ([_]u32{ 0, 1, 255, 256, 257, 65_535, 1 << 31, (1 << 31) + 1 }) |wanted| {
        try std.testing.expect(std.mem.indexOfScalar(u32, edges, wanted) != null);
    }
    try std.testing.expectEqual(Kind.generation, kind_of("buffer_generation"));
    try std.testing.expectEqual(Kind.number, kind_of("flags"));
}
