//! The few files of the fuzzer: folders of inputs, the input that failed, and standard output,
//! where everything goes but failures and traces. No state.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("../sys/kernel.zig");

pub const Path = [512]u8;

/// `folder` and `name` as one path, ended by a zero; null when that is too long.
pub fn join(buffer: *Path, folder: []const u8, name: []const u8) ?[:0]const u8 {
    return std.fmt.bufPrintZ(buffer, "{s}/{s}", .{ folder, name }) catch null;
}

pub fn read(path: []const u8, buffer: []u8) ?[]const u8 {
    var ended: Path = undefined;
    const name = std.fmt.bufPrintZ(&ended, "{s}", .{path}) catch return null;
    return kernel.read_file(name, buffer);
}

pub fn write(path: [:0]const u8, bytes: []const u8) bool {
    const flags: linux.O = .{ .ACCMODE = .WRONLY, .CREAT = true, .TRUNC = true, .CLOEXEC = true };
    const descriptor = kernel.result(linux.open(path, flags, 0o644));
    if (descriptor < 0) return false;
    defer kernel.close(descriptor);
    const written = kernel.result(linux.write(descriptor, bytes.ptr, bytes.len));
    return written == bytes.len;
}

/// A line on standard output.
pub fn tell(comptime format: []const u8, values: anytype) void {
    var buffer: [512]u8 = undefined;
    const line = std.fmt.bufPrint(&buffer, format ++ "\n", values) catch return;
    _ = linux.write(1, line.ptr, line.len);
}

/// Makes a folder and those that it is in.
pub fn make_folder(path: []const u8) void {
    var buffer: Path = undefined;
    for (path, 0..) |character, index| {
        if (character != '/' and index + 1 != path.len) continue;
        const end = if (character == '/') index else index + 1;
        const name = std.fmt.bufPrintZ(&buffer, "{s}", .{path[0..end]}) catch return;
        if (name.len > 0) _ = linux.mkdir(name, 0o755);
    }
}

/// Calls `visit` with the name of each file of a folder, in whatever order they are.
pub fn each(
    folder: []const u8,
    context: anytype,
    comptime visit: fn (@TypeOf(context), []const u8) void,
) bool {
    var path: Path = undefined;
    const name = std.fmt.bufPrintZ(&path, "{s}", .{folder}) catch return false;
    const flags: linux.O = .{ .DIRECTORY = true, .CLOEXEC = true };
    const descriptor = kernel.result(linux.open(name, flags, 0));
    if (descriptor < 0) return false;
    defer kernel.close(descriptor);
    var buffer: [4096]u8 align(8) = undefined;
    while (true) {
        const length = kernel.result(linux.getdents64(descriptor, &buffer, buffer.len));
        if (length <= 0) return length == 0;
        var at: usize = 0;
        while (at < length) {
            const entry: *align(1) const linux.dirent64 = @ptrCast(&buffer[at]);
            const start: [*:0]const u8 = @ptrCast(&buffer[at + @offsetOf(linux.dirent64, "name")]);
            const file = std.mem.span(start);
            if (file[0] != '.') visit(context, file);
            at += entry.reclen;
        }
    }
}
