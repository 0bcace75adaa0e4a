//! What native tests tell those who count them: lines appended to the file that the environment
//! variable TWINPOLL_TEST_RECORD names, in the form that `scripts/lib/records.mjs` reads.
//!
//! Invariants: system calls only and no lock, so that the child of a fork may write too. Any
//! thread.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");

const line_bytes_max = 512;

/// Appends one line, if there is the variable. A line that cannot be written is missing then, and
/// what is missing counts as a failure.
pub fn note(comptime format: []const u8, args: anytype) void {
    const path = std.c.getenv("TWINPOLL_TEST_RECORD") orelse return;
    var buffer: [line_bytes_max]u8 = undefined;
    const line = std.fmt.bufPrint(&buffer, format ++ "\n", args) catch return;
    const flags: linux.O = .{ .ACCMODE = .WRONLY, .APPEND = true, .CREAT = true, .CLOEXEC = true };
    const descriptor = kernel.result(linux.open(path, flags, 0o644));
    if (descriptor < 0) return;
    defer kernel.close(descriptor);
    _ = linux.write(descriptor, line.ptr, line.len);
}

/// Ends a test as skipped, with its reason: `return skip("kernel: …", .{})`. A reason that starts
/// with `kernel: ` names what this kernel lacks; any other is a failure where everything must run.
pub fn skip(comptime reason: []const u8, args: anytype) error{SkipZigTest} {
    note("skipped\t\t" ++ reason, args);
    // The build takes what a test prints for a sign of trouble.
    if (std.c.getenv("TWINPOLL_TEST_RECORD") == null) std.debug.print(reason ++ "\n", args);
    return error.SkipZigTest;
}

/// Whether Valgrind runs this: it lacks system calls that the kernel has, and reasons for a skip
/// that start with `valgrind: ` say which.
pub fn on_valgrind() bool {
    return std.valgrind.runningOnValgrind() > 0;
}

/// VALGRIND_CLO_CHANGE of valgrind.h (3.17); not in Zig's library.
const valgrind_change_option = 0x1203;

/// Valgrind will look for no leaks when this process ends; wrong accesses it finds all the same.
/// For the child of a fork: Valgrind takes what madvise(2) keeps out of it for mapped there, and
/// gets a signal for each word that it reads of that.
pub fn forgo_leak_check() void {
    const option: [*:0]const u8 = "--leak-check=no";
    const request = valgrind_change_option;
    _ = std.valgrind.doClientRequest(0, request, @intFromPtr(option), 0, 0, 0, 0);
}
