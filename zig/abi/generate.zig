//! Writes `src/native/abi.ts` and `include/twinpoll.h` from `zig/layout.zig`.
//!
//!     generate [--check] <abi.ts path> <header path>
//!
//! With `--check` nothing is written; the exit code is 1 when a file is not what would be written.
//! Names stay as the layout spells them, so that one search finds a field in Zig, C and TypeScript.
//! The TypeScript is laid out as `deno fmt` with 100 columns leaves it.

const std = @import("std");
const layout = @import("layout");
const layout_hash = @import("layout_hash.zig");

const Writer = std.Io.Writer;
const columns = 100;
/// Names are spelled at compile time, letter by letter.
const branch_quota = 100_000;

pub fn main(init: std.process.Init) !u8 {
    const arena = init.arena.allocator();
    const arguments = try init.minimal.args.toSlice(arena);
    var paths = arguments[1..];
    const check = paths.len > 0 and std.mem.eql(u8, paths[0], "--check");
    if (check) paths = paths[1..];
    if (paths.len != 2) {
        std.debug.print("usage: generate [--check] <abi.ts path> <header path>\n", .{});
        return 2;
    }
    const texts = [_][]const u8{ try render(arena, write_script), try render(arena, write_header) };
    var stale = false;
    for (paths, texts) |path, text| {
        if (!check) {
            try std.Io.Dir.cwd().writeFile(init.io, .{ .sub_path = path, .data = text });
        } else if (!try holds(init.io, arena, path, text)) {
            std.debug.print("{s} is stale: run `zig build generate`\n", .{path});
            stale = true;
        }
    }
    return @intFromBool(stale);
}

fn render(arena: std.mem.Allocator, comptime write: fn (*Writer) Writer.Error!void) ![]const u8 {
    var text: Writer.Allocating = .init(arena);
    try write(&text.writer);
    return text.written();
}

fn holds(io: std.Io, arena: std.mem.Allocator, path: []const u8, text: []const u8) !bool {
    const found = std.Io.Dir.cwd().readFileAlloc(io, path, arena, .unlimited) catch |err| {
        if (err == error.FileNotFound) return false;
        return err;
    };
    return std.mem.eql(u8, found, text);
}

// TypeScript.

fn write_script(out: *Writer) Writer.Error!void {
    try out.writeAll(
        \\// Written by zig/abi/generate.zig from zig/layout.zig; change the layout, not this file.
        \\//
        \\// Names are the layout's. A struct is a table of offsets, each counted in units of its
        \\// field's own alignment: index a Uint32Array with that of a u32, a Float64Array with that
        \\// of an f64. The offset of a nested struct is counted in that struct's alignment.
        \\// `byte_length` is the size in bytes.
        \\
        \\
    );
    try out.print("export const layout_hash = 0x{x:0>8};\n", .{layout_hash.of(layout)});
    const decls = @typeInfo(layout).@"struct".decls;
    inline for (decls) |decl| {
        const declared = @field(layout, decl.name);
        if (comptime layout_hash.is_constant(@TypeOf(declared))) {
            try out.print("export const {s} = {d};\n", .{ decl.name, declared });
        }
    }
    inline for (decls) |decl| {
        const declared = @field(layout, decl.name);
        if (@TypeOf(declared) != type) continue;
        if (comptime layout_hash.is_enum(declared)) {
            try write_script_enum(out, decl.name, declared);
        } else if (comptime layout_hash.is_struct(declared)) {
            try write_script_struct(out, decl.name, declared);
        }
    }
    try write_script_functions(out);
}

fn write_script_enum(out: *Writer, name: []const u8, comptime Enum: type) Writer.Error!void {
    try out.print("\nexport const {s} = {{\n", .{name});
    inline for (@typeInfo(Enum).@"enum".fields) |field| {
        try out.print("  {s}: {d},\n", .{ field.name, field.value });
    }
    try out.writeAll("} as const;\n\n");
    try out.print("export type {s} = (typeof {s})[keyof typeof {s}];\n", .{ name, name, name });
}

fn write_script_struct(out: *Writer, name: []const u8, comptime Struct: type) Writer.Error!void {
    try out.print("\nexport const {s} = {{\n", .{name});
    try out.print("  byte_length: {d},\n", .{@sizeOf(Struct)});
    inline for (@typeInfo(Struct).@"struct".fields) |field| {
        comptime std.debug.assert(!std.mem.eql(u8, field.name, "byte_length"));
        const unit = @alignOf(field.type);
        try out.print("  {s}: {d},\n", .{ field.name, @offsetOf(Struct, field.name) / unit });
    }
    try out.writeAll("} as const;\n");
}

fn write_script_functions(out: *Writer) Writer.Error!void {
    try out.writeAll(
        \\
        \\/** A value of a signature: `buffer` lends bytes for the call, `pointer` is an address. */
        \\export type NativeType = "u32" | "i32" | "buffer" | "pointer";
        \\
        \\/** The signature of each exported function. */
        \\export const signatures = {
        \\
    );
    inline for (layout.functions) |function| {
        var line: [256]u8 = undefined;
        var text: Writer = .fixed(&line);
        try text.print("  {s}: {{ parameters: [", .{function.name});
        inline for (function.parameters, 0..) |parameter, index| {
            if (index > 0) try text.writeAll(", ");
            try text.print("\"{s}\"", .{@tagName(parameter[1])});
        }
        try text.print("], result: \"{s}\" }},\n", .{@tagName(function.result)});
        // Longer ones would have to be broken as the formatter breaks them.
        std.debug.assert(text.buffered().len <= columns + 1);
        try out.writeAll(text.buffered());
    }
    try out.writeAll(
        \\} as const;
        \\
        \\/** The exported functions as a script calls them. */
        \\export interface Functions {
        \\
    );
    inline for (layout.functions) |function| {
        try out.writeAll("  /**\n");
        try write_wrapped(out, "   * ", function.about);
        try out.writeAll("   */\n");
        try write_script_signature(out, function);
    }
    try out.writeAll("}\n");
}

fn write_script_signature(out: *Writer, comptime function: layout.Function) Writer.Error!void {
    const result = comptime script_type(function.result);
    var line: [256]u8 = undefined;
    var text: Writer = .fixed(&line);
    try text.print("  {s}(", .{function.name});
    inline for (function.parameters, 0..) |parameter, index| {
        if (index > 0) try text.writeAll(", ");
        try text.print("{s}: {s}", .{ parameter[0], comptime script_type(parameter[1]) });
    }
    try text.print("): {s};\n", .{result});
    if (text.buffered().len <= columns + 1) return out.writeAll(text.buffered());
    try out.print("  {s}(\n", .{function.name});
    inline for (function.parameters) |parameter| {
        try out.print("    {s}: {s},\n", .{ parameter[0], comptime script_type(parameter[1]) });
    }
    try out.print("  ): {s};\n", .{result});
}

fn script_type(native: layout.Type) []const u8 {
    return switch (native) {
        .u32, .i32 => "number",
        .buffer => "Uint8Array",
        .pointer => "unknown",
    };
}

// C.

fn write_header(out: *Writer) Writer.Error!void {
    @setEvalBranchQuota(branch_quota);
    try out.writeAll(
        \\/* Written by zig/abi/generate.zig from zig/layout.zig; change the layout, not this. */
        \\#ifndef TWINPOLL_H
        \\#define TWINPOLL_H
        \\
        \\#include <stdint.h>
        \\
        \\#ifdef __cplusplus
        \\extern "C" {
        \\#endif
        \\
        \\#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
        \\#define TP_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
        \\#elif defined(__cplusplus) && __cplusplus >= 201103L
        \\#define TP_ASSERT_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
        \\#else
        \\#define TP_ASSERT_SIZE(type, bytes) struct tp_size_is_checked_from_c11_on
        \\#endif
        \\
        \\
    );
    try out.print("#define TP_LAYOUT_HASH UINT32_C(0x{x:0>8})\n", .{layout_hash.of(layout)});
    inline for (@typeInfo(layout).@"struct".decls) |decl| {
        const declared = @field(layout, decl.name);
        if (comptime layout_hash.is_constant(@TypeOf(declared))) {
            const name = comptime constant_case(decl.name);
            try out.print("#define TP_{s} UINT32_C({d})\n", .{ name, declared });
        }
    }
    inline for (@typeInfo(layout).@"struct".decls) |decl| {
        const declared = @field(layout, decl.name);
        if (@TypeOf(declared) == type and comptime layout_hash.is_enum(declared)) {
            try write_header_enum(out, decl.name, declared);
        }
    }
    inline for (comptime structs_in_order()) |Struct| try write_header_struct(out, Struct);
    try write_header_functions(out);
    try out.writeAll(
        \\
        \\#ifdef __cplusplus
        \\}
        \\#endif
        \\
        \\#endif
        \\
    );
}

fn write_header_enum(
    out: *Writer,
    comptime name: []const u8,
    comptime Enum: type,
) Writer.Error!void {
    @setEvalBranchQuota(branch_quota);
    try out.print("\nenum tp_{s} {{\n", .{comptime snake_case(name)});
    inline for (@typeInfo(Enum).@"enum".fields) |field| {
        const prefix = comptime constant_case(snake_case(name));
        const member = comptime constant_case(field.name);
        try out.print("    TP_{s}_{s} = {d},\n", .{ prefix, member, field.value });
    }
    try out.writeAll("};\n");
}

fn write_header_struct(out: *Writer, comptime Struct: type) Writer.Error!void {
    @setEvalBranchQuota(branch_quota);
    const name = comptime struct_name(Struct);
    try out.print("\nstruct {s} {{\n", .{name});
    inline for (@typeInfo(Struct).@"struct".fields) |field| {
        switch (@typeInfo(field.type)) {
            .array => |array| {
                const kind = comptime c_type(array.child);
                try out.print("    {s} {s}[{d}];\n", .{ kind, field.name, array.len });
            },
            else => {
                // `errno` is a macro in C.
                const is_macro = comptime std.mem.eql(u8, field.name, "errno");
                const field_name = if (is_macro) "errno_" else field.name;
                try out.print("    {s} {s};\n", .{ comptime c_type(field.type), field_name });
            },
        }
    }
    try out.print("}};\nTP_ASSERT_SIZE(struct {s}, {d});\n", .{ name, @sizeOf(Struct) });
}

fn write_header_functions(out: *Writer) Writer.Error!void {
    inline for (layout.functions) |function| {
        try out.writeAll("\n/*\n");
        try write_wrapped(out, " * ", function.about);
        try out.print(" */\n{s}{s}(", .{ comptime c_value(function.result), function.name });
        if (function.parameters.len == 0) try out.writeAll("void");
        inline for (function.parameters, 0..) |parameter, index| {
            if (index > 0) try out.writeAll(", ");
            try out.print("{s}{s}", .{ comptime c_value(parameter[1]), parameter[0] });
        }
        try out.writeAll(");\n");
    }
}

fn c_type(comptime Field: type) []const u8 {
    return switch (Field) {
        u8 => "uint8_t",
        u16 => "uint16_t",
        u32 => "uint32_t",
        i32 => "int32_t",
        f64 => "double",
        else => if (layout_hash.is_enum(Field))
            c_type(@typeInfo(Field).@"enum".tag_type)
        else
            "struct " ++ struct_name(Field),
    };
}

fn c_value(native: layout.Type) []const u8 {
    return switch (native) {
        .u32 => "uint32_t ",
        .i32 => "int32_t ",
        .buffer, .pointer => "uint8_t *",
    };
}

fn struct_name(comptime Struct: type) []const u8 {
    const full = @typeName(Struct);
    const start = if (std.mem.lastIndexOfScalar(u8, full, '.')) |dot| dot + 1 else 0;
    return "tp_" ++ snake_case(full[start..]);
}

/// C wants a nested struct declared before the one that holds it; the layout need not.
fn structs_in_order() []const type {
    @setEvalBranchQuota(branch_quota);
    var ordered: []const type = &.{};
    for (@typeInfo(layout).@"struct".decls) |decl| {
        const declared = @field(layout, decl.name);
        if (@TypeOf(declared) != type or !layout_hash.is_struct(declared)) continue;
        ordered = with_nested(ordered, declared);
    }
    return ordered;
}

fn with_nested(comptime before: []const type, comptime Struct: type) []const type {
    var ordered = before;
    for (ordered) |Known| if (Known == Struct) return ordered;
    for (@typeInfo(Struct).@"struct".fields) |field| {
        if (layout_hash.is_struct(field.type)) ordered = with_nested(ordered, field.type);
    }
    return ordered ++ .{Struct};
}

fn snake_case(comptime name: []const u8) []const u8 {
    comptime var text: []const u8 = "";
    inline for (name, 0..) |letter, index| {
        if (index > 0 and std.ascii.isUpper(letter)) text = text ++ "_";
        text = text ++ .{std.ascii.toLower(letter)};
    }
    return text;
}

fn constant_case(comptime name: []const u8) []const u8 {
    comptime var text: []const u8 = "";
    inline for (name) |letter| text = text ++ .{std.ascii.toUpper(letter)};
    return text;
}

/// Breaks `text` at spaces so that no line is longer than the page.
fn write_wrapped(out: *Writer, prefix: []const u8, text: []const u8) Writer.Error!void {
    var rest = text;
    while (rest.len > 0) {
        var end = rest.len;
        const room = columns - prefix.len;
        if (end > room) end = std.mem.lastIndexOfScalar(u8, rest[0..room], ' ') orelse room;
        try out.print("{s}{s}\n", .{ prefix, rest[0..end] });
        rest = std.mem.trimStart(u8, rest[end..], " ");
    }
}
