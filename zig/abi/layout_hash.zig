//! One number over the shape of everything that script and native share.
//!
//! Covers constants, enum values, struct fields with their offsets and sizes, and function
//! signatures, but no documentation. Evaluated at compile time, by the library that exports it and
//! by the generator that writes it down: bindings and library of different layouts then differ.

const std = @import("std");

/// FNV-1a, 32 bits, over a canonical text of `layout`, in the order in which it is declared.
pub fn of(comptime layout: type) u32 {
    return comptime hash: {
        @setEvalBranchQuota(1_000_000);
        var value: u32 = 0x811c9dc5;
        for (@typeInfo(layout).@"struct".decls) |decl| {
            value = add(value, describe(decl.name, @field(layout, decl.name)));
        }
        for (layout.functions) |function| {
            value = add(value, function.name ++ ":" ++ @tagName(function.result));
            for (function.parameters) |parameter| {
                value = add(value, "," ++ parameter[0] ++ ":" ++ @tagName(parameter[1]));
            }
        }
        break :hash value;
    };
}

/// An integer constant of the layout.
pub fn is_constant(comptime Declared: type) bool {
    return @typeInfo(Declared) == .int;
}

/// An enum whose values cross the boundary; one without a fixed tag describes only this file.
pub fn is_enum(comptime Declared: type) bool {
    const info = @typeInfo(Declared);
    return info == .@"enum" and switch (info.@"enum".tag_type) {
        u8, u32, i32 => true,
        else => false,
    };
}

/// A struct whose bytes cross the boundary.
pub fn is_struct(comptime Declared: type) bool {
    const info = @typeInfo(Declared);
    return info == .@"struct" and info.@"struct".layout == .@"extern";
}

fn describe(comptime name: []const u8, comptime declared: anytype) []const u8 {
    const Declared = @TypeOf(declared);
    if (is_constant(Declared)) return std.fmt.comptimePrint(";{s}={d}", .{ name, declared });
    if (Declared != type) return "";
    if (is_enum(declared)) {
        const info = @typeInfo(declared).@"enum";
        var text: []const u8 = ";enum " ++ name ++ ":" ++ @typeName(info.tag_type);
        for (info.fields) |field| {
            text = text ++ std.fmt.comptimePrint(",{s}={d}", .{ field.name, field.value });
        }
        return text;
    }
    if (is_struct(declared)) {
        const size = @sizeOf(declared);
        var text: []const u8 = std.fmt.comptimePrint(";struct {s}:{d}", .{ name, size });
        for (@typeInfo(declared).@"struct".fields) |field| {
            text = text ++ std.fmt.comptimePrint(",{s}@{d}+{d}", .{
                field.name,
                @offsetOf(declared, field.name),
                @sizeOf(field.type),
            });
        }
        return text;
    }
    return "";
}

fn add(start: u32, text: []const u8) u32 {
    var value = start;
    for (text) |byte| value = (value ^ byte) *% 0x01000193;
    return value;
}

test "a renamed field, a moved value and a changed signature each change the hash" {
    const Type = enum { u32, i32 };
    const Function = struct {
        name: []const u8,
        parameters: []const struct { []const u8, Type },
        result: Type,
    };
    const one = struct {
        pub const size: u32 = 1;
        pub const Kind = enum(u32) { a = 0 };
        pub const Entry = extern struct { first: u32 };
        pub const functions = [_]Function{.{ .name = "f", .parameters = &.{}, .result = .u32 }};
    };
    const field = struct {
        pub const size: u32 = 1;
        pub const Kind = enum(u32) { a = 0 };
        pub const Entry = extern struct { other: u32 };
        pub const functions = one.functions;
    };
    const value = struct {
        pub const size: u32 = 1;
        pub const Kind = enum(u32) { a = 1 };
        pub const Entry = extern struct { first: u32 };
        pub const functions = one.functions;
    };
    const signature = struct {
        pub const size: u32 = 1;
        pub const Kind = enum(u32) { a = 0 };
        pub const Entry = extern struct { first: u32 };
        pub const functions = [_]Function{.{ .name = "f", .parameters = &.{}, .result = .i32 }};
    };
    const hash = of(one);
    try std.testing.expect(hash != of(field));
    try std.testing.expect(hash != of(value));
    try std.testing.expect(hash != of(signature));
    try std.testing.expectEqual(hash, of(one));
}
