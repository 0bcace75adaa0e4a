//! Starts a program as systemd does for a socket unit: with listening sockets as descriptors from 3
//! on, and the three variables that tell of them. Writes the ports to standard output first.
//!
//!     activate NAMES COMMAND [ARGUMENT …]
//!
//! NAMES are those of the sockets, with colons between them.

const std = @import("std");
const linux = std.os.linux;

const first = 3;
const sockets_max = 16;

fn check(rc: usize, comptime what: []const u8) i32 {
    const value: isize = @bitCast(rc);
    if (value < 0) {
        std.debug.print("activate: " ++ what ++ ": {d}\n", .{-value});
        linux.exit(111);
    }
    return @intCast(value);
}

/// Listens on a free port with descriptor `wanted`, and writes the port.
fn listen(wanted: i32) void {
    const made = check(linux.socket(linux.AF.INET, linux.SOCK.STREAM, 0), "socket");
    if (made != wanted) {
        _ = check(linux.dup2(made, wanted), "dup2");
        _ = linux.close(made);
    }
    var address: linux.sockaddr.in = .{ .port = 0, .addr = std.mem.nativeToBig(u32, 0x7f00_0001) };
    _ = check(linux.bind(wanted, @ptrCast(&address), @sizeOf(linux.sockaddr.in)), "bind");
    _ = check(linux.listen(wanted, 128), "listen");
    var length: linux.socklen_t = @sizeOf(linux.sockaddr.in);
    _ = check(linux.getsockname(wanted, @ptrCast(&address), &length), "getsockname");
    var line: [16]u8 = undefined;
    const port = std.mem.bigToNative(u16, address.port);
    const text = std.fmt.bufPrint(&line, "{d}\n", .{port}) catch unreachable;
    _ = linux.write(1, text.ptr, text.len);
}

pub fn main(init: std.process.Init.Minimal) void {
    const arguments = init.args.vector;
    if (arguments.len < 3) linux.exit(2);
    const names = std.mem.span(arguments[1]);
    const count = 1 + std.mem.countScalar(u8, names, ':');
    for (0..count) |index| listen(@intCast(first + index));
    var texts: [3][256]u8 = undefined;
    var environment: [512:null]?[*:0]const u8 = @splat(null);
    const pid = linux.getpid();
    environment[0] = std.fmt.bufPrintZ(&texts[0], "LISTEN_FDS={d}", .{count}) catch unreachable;
    environment[1] = std.fmt.bufPrintZ(&texts[1], "LISTEN_PID={d}", .{pid}) catch unreachable;
    environment[2] = std.fmt.bufPrintZ(&texts[2], "LISTEN_FDNAMES={s}", .{names}) catch unreachable;
    var place: usize = 3;
    for (init.environ.block.slice) |variable| {
        if (place == environment.len) break;
        environment[place] = variable;
        place += 1;
    }
    var command: [64:null]?[*:0]const u8 = @splat(null);
    const wanted = arguments[2..];
    if (wanted.len > command.len) linux.exit(2);
    for (wanted, command[0..wanted.len]) |argument, *entry| entry.* = argument;
    _ = check(linux.execve(wanted[0], &command, &environment), "execve");
}
