//! The exported functions, called as a foreign program does: by their names. Their types come from
//! `layout.functions`, and so does what they may answer. No state, any thread.

const std = @import("std");
const layout = @import("../layout.zig");

pub fn Signature(comptime function: layout.Function) type {
    const Result = function.result.Zig();
    const parameters = function.parameters;
    return switch (parameters.len) {
        0 => fn () callconv(.c) Result,
        1 => fn (Of(parameters, 0)) callconv(.c) Result,
        2 => fn (Of(parameters, 0), Of(parameters, 1)) callconv(.c) Result,
        3 => fn (
            Of(parameters, 0),
            Of(parameters, 1),
            Of(parameters, 2),
        ) callconv(.c) Result,
        4 => fn (
            Of(parameters, 0),
            Of(parameters, 1),
            Of(parameters, 2),
            Of(parameters, 3),
        ) callconv(.c) Result,
        else => @compileError(function.name ++ " has more than four parameters"),
    };
}

fn Of(comptime parameters: []const layout.Parameter, comptime index: usize) type {
    return parameters[index][1].Zig();
}

pub fn pointer_to(comptime function: layout.Function) *const Signature(function) {
    return @extern(*const Signature(function), .{ .name = function.name });
}

fn declared(comptime name: []const u8) layout.Function {
    for (layout.functions) |function| {
        if (std.mem.eql(u8, function.name, name)) return function;
    }
    @compileError("there is no function " ++ name);
}

pub fn named(comptime name: []const u8) *const Signature(declared(name)) {
    return pointer_to(declared(name));
}

/// The struct with a `size` that a function reads or fills: the one that its description names.
pub fn Options(comptime function: layout.Function) ?type {
    // Its description has no room for the name.
    if (std.mem.eql(u8, function.name, "tp_loop_open")) return layout.LoopOptions;
    @setEvalBranchQuota(100_000);
    for (@typeInfo(layout).@"struct".decls) |declaration| {
        const value = @field(layout, declaration.name);
        if (@TypeOf(value) != type) continue;
        if (@typeInfo(value) != .@"struct" or !@hasField(value, "size")) continue;
        if (std.mem.indexOf(u8, function.about, "`" ++ declaration.name ++ "`") == null) continue;
        return value;
    }
    return null;
}

/// Whether a result is one that the layout declares: a value, a status, or an errno of the kernel.
pub fn is_declared(result: i32) bool {
    if (result > -4096) return true;
    return std.enums.fromInt(layout.Status, result) != null;
}

/// What sets one result apart from another, for features.
pub fn class_of(result: i32) u8 {
    if (result > 0) return 1;
    if (result > -4096) return @intCast(if (result == 0) 0 else 2 + (-result & 127));
    return @intCast(160 + (-result - 10_000 & 63));
}

pub fn is(result: i32, status: layout.Status) bool {
    return result == @intFromEnum(status);
}
