//! Socket addresses between the script's form and the kernel's.

const std = @import("std");
const layout = @import("../layout.zig");
const AF = @import("../sys/sockets.zig").AF;
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;

/// Null when the script's address is not one.
pub fn to_kernel(address: *const layout.Address) ?SocketAddress {
    if (address.port > std.math.maxInt(u16)) return null;
    const port = std.mem.nativeToBig(u16, @intCast(address.port));
    var result: SocketAddress = undefined;
    switch (address.family) {
        4 => result.storage.in4 = .{
            .port = port,
            .addr = @bitCast(address.bytes[0..4].*),
        },
        6 => result.storage.in6 = .{
            .port = port,
            .flowinfo = 0,
            .addr = address.bytes,
            .scope_id = address.scope,
        },
        else => return null,
    }
    return result;
}

/// Null for a family that is not ours.
pub fn to_script(address: *const SocketAddress) ?layout.Address {
    switch (address.storage.any.family) {
        AF.INET => {
            var bytes: [16]u8 = @splat(0);
            bytes[0..4].* = @bitCast(address.storage.in4.addr);
            return .{
                .family = 4,
                .port = std.mem.bigToNative(u16, address.storage.in4.port),
                .scope = 0,
                .bytes = bytes,
            };
        },
        AF.INET6 => return .{
            .family = 6,
            .port = std.mem.bigToNative(u16, address.storage.in6.port),
            .scope = address.storage.in6.scope_id,
            .bytes = address.storage.in6.addr,
        },
        else => return null,
    }
}

pub fn family(address: *const SocketAddress) u32 {
    return address.storage.any.family;
}

test "addresses survive the way there and back" {
    const four: layout.Address = .{
        .family = 4,
        .port = 7000,
        .scope = 0,
        .bytes = [_]u8{ 127, 0, 0, 1 } ++ [_]u8{0} ** 12,
    };
    const six: layout.Address = .{
        .family = 6,
        .port = 1,
        .scope = 3,
        .bytes = [_]u8{ 0xfe, 0x80 } ++ [_]u8{0} ** 13 ++ [_]u8{1},
    };
    for ([_]layout.Address{ four, six }) |address| {
        const kernel_form = to_kernel(&address).?;
        try std.testing.expectEqual(address, to_script(&kernel_form).?);
    }
}

test "what is not an address is refused" {
    var address = std.mem.zeroes(layout.Address);
    try std.testing.expect(to_kernel(&address) == null);
    address.family = 4;
    address.port = 65_536;
    try std.testing.expect(to_kernel(&address) == null);
}
