//! Error numbers of other systems as Linux numbers them, so that everything above `sys` and every
//! script knows one set. They are matched by name.

const std = @import("std");
const linux = std.os.linux;

/// A number whose name Linux does not have is this much above the system's own.
pub const unnamed_base = 2048;
/// What is told of any number above it.
const native_max = unnamed_base - 1;

/// Names that mean the same.
const synonyms = [_]struct { []const u8, linux.E }{
    .{ "NOATTR", .NODATA },
    // What fork(2) on Linux answers at that limit.
    .{ "PROCLIM", .AGAIN },
};

/// A number that the system uses and Zig's list of its names leaves out.
pub const Addition = struct { native: u16, linux: linux.E };

/// `Native` is the enum of the system's numbers.
pub fn Translation(comptime Native: type, comptime additions: []const Addition) type {
    return struct {
        const table = build();

        /// The positive number that Linux gives it, below 4,096; 0 stays 0.
        pub fn to_linux(native: u32) u32 {
            if (native < table.len) return table[native];
            return @as(u32, unnamed_base) + @min(native, native_max);
        }

        fn build() [length()]u16 {
            @setEvalBranchQuota(100_000);
            var numbers: [length()]u16 = undefined;
            for (&numbers, 0..) |*number, native| number.* = @intCast(unnamed_base + native);
            numbers[0] = 0;
            for (@typeInfo(Native).@"enum".fields) |field| {
                if (same_on_linux(field.name)) |code| numbers[field.value] = @intFromEnum(code);
            }
            for (additions) |addition| numbers[addition.native] = @intFromEnum(addition.linux);
            return numbers;
        }

        fn length() usize {
            var highest: usize = 0;
            for (@typeInfo(Native).@"enum".fields) |field| highest = @max(highest, field.value);
            for (additions) |addition| highest = @max(highest, addition.native);
            return highest + 1;
        }
    };
}

fn same_on_linux(comptime name: []const u8) ?linux.E {
    if (@hasField(linux.E, name)) return @field(linux.E, name);
    for (synonyms) |synonym| {
        if (std.mem.eql(u8, synonym[0], name)) return synonym[1];
    }
    return null;
}

test "numbers are translated by name, and what has none stays apart from all names" {
    const Native = enum(u16) {
        SUCCESS = 0,
        PERM = 1,
        AGAIN = 35,
        CONNREFUSED = 61,
        NOATTR = 93,
        FTYPE = 79,
        _,
    };
    const Case = struct { u32, u32 };
    const numbers = Translation(Native, &.{.{ .native = 102, .linux = .OPNOTSUPP }});
    for ([_]Case{
        .{ 0, 0 },
        .{ 1, 1 },
        .{ 35, @intFromEnum(linux.E.AGAIN) },
        .{ 61, @intFromEnum(linux.E.CONNREFUSED) },
        .{ 93, @intFromEnum(linux.E.NODATA) },
        .{ 102, @intFromEnum(linux.E.OPNOTSUPP) },
        .{ 79, 2048 + 79 },
        .{ 2, 2048 + 2 },
        .{ 103, 2048 + 103 },
        .{ std.math.maxInt(u32), 4095 },
    }) |case| try std.testing.expectEqual(case[1], numbers.to_linux(case[0]));
}

test "Linux's own numbers stay as they are" {
    const numbers = Translation(linux.E, &.{});
    for (std.enums.values(linux.E)) |code| {
        try std.testing.expectEqual(@intFromEnum(code), numbers.to_linux(@intFromEnum(code)));
    }
}
