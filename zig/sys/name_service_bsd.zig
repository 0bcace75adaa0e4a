//! What `name_service.zig` is made of on macOS and FreeBSD. Source: getaddrinfo(3).

const std = @import("std");
const c = std.c;
const sockets = @import("sockets.zig");
const Result = @import("name_service.zig").Result;

pub const lookup: ?*const fn ([*:0]const u8, u32, []sockets.SocketAddress) Result = &find;

fn find(name: [*:0]const u8, family: u32, addresses: []sockets.SocketAddress) Result {
    var hints = std.mem.zeroes(c.addrinfo);
    hints.family = @intCast(family);
    hints.socktype = c.SOCK.STREAM;
    var first: ?*c.addrinfo = null;
    const code = @intFromEnum(c.getaddrinfo(name, null, &hints, &first));
    const no_name = @intFromEnum(c.EAI.NONAME);
    const no_data = if (@hasField(c.EAI, "NODATA")) @intFromEnum(c.EAI.NODATA) else no_name;
    if (code == no_name or code == no_data) return .no_such_name;
    if (code != 0) return .failed;
    defer c.freeaddrinfo(first.?);
    var count: u32 = 0;
    var next = first;
    while (next) |entry| : (next = entry.next) {
        if (count == addresses.len) break;
        const from = entry.addr orelse continue;
        const length = @min(entry.addrlen, @sizeOf(sockets.SocketAddress));
        const bytes: [*]const u8 = @ptrCast(from);
        @memcpy(std.mem.asBytes(&addresses[count])[0..length], bytes[0..length]);
        count += 1;
    }
    return .{ .found = count };
}
