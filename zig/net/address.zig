//! Socket addresses between the script's form and the kernel's.

const std = @import("std");
const layout = @import("../layout.zig");
const AF = @import("../sys/sockets.zig").AF;
const SocketAddress = @import("../sys/sockets.zig").SocketAddress;

/// Null when the script's address is not one, or is one that no kernel has.
pub fn to_kernel(address: *const layout.Address) ?SocketAddress {
    var result: SocketAddress = undefined;
    return if (write(address, &result)) result else null;
}

fn write(address: *const layout.Address, result: *SocketAddress) bool {
    const known = std.enums.fromInt(layout.AddressFamily, address.family) orelse return false;
    switch (known) {
        .ipv4 => result.storage.in4 = .{
            .port = port_of(address) orelse return false,
            .addr = @bitCast(address.bytes[0..4].*),
        },
        .ipv6 => result.storage.in6 = .{
            .port = port_of(address) orelse return false,
            .flowinfo = 0,
            .addr = address.bytes[0..16].*,
            .scope_id = address.scope,
        },
        .unix => if (!write_path(result, address)) return false,
        .inproc, .descriptor => return false,
    }
    return true;
}

fn port_of(address: *const layout.Address) ?u16 {
    if (address.port > std.math.maxInt(u16)) return null;
    return std.mem.nativeToBig(u16, @intCast(address.port));
}

/// A path ends with a zero, which a name that begins with one does not.
fn write_path(result: *SocketAddress, address: *const layout.Address) bool {
    if (address.length == 0 or address.length > layout.address_bytes_max) return false;
    const path = address.bytes[0..address.length];
    const is_name = path[0] == 0;
    if (is_name and !has_unix_names) return false;
    if (!is_name and std.mem.indexOfScalar(u8, path, 0) != null) return false;
    const end_bytes: u32 = @intFromBool(!is_name);
    if (path.len + end_bytes > SocketAddress.path_bytes) return false;
    result.storage.un = std.mem.zeroInit(@TypeOf(result.storage.un), .{ .family = AF.UNIX });
    @memcpy(result.storage.un.path[0..path.len], path);
    result.unix_length = SocketAddress.path_offset + address.length + end_bytes;
    return true;
}

/// Whether Unix sockets may have names that are no paths.
const has_unix_names = @import("builtin").os.tag == .linux;

/// The family that a system's number stands for, of one of ours that has sockets.
pub fn family_of(number: u32) layout.AddressFamily {
    return switch (number) {
        AF.INET => .ipv4,
        AF.INET6 => .ipv6,
        else => .unix,
    };
}

/// The address for a socket of a family: one of IPv4 is mapped for a socket of IPv6. False when
/// there is none.
pub fn to_family(address: *const layout.Address, wanted: u32, result: *SocketAddress) bool {
    if (!write(address, result)) return false;
    const found = family(result);
    if (found == wanted) return true;
    if (found != AF.INET or wanted != AF.INET6) return false;
    const four = result.storage.in4;
    const mapped = [_]u8{0} ** 10 ++ [_]u8{0xff} ** 2 ++ @as([4]u8, @bitCast(four.addr));
    result.storage.in6 = .{ .port = four.port, .flowinfo = 0, .addr = mapped, .scope_id = 0 };
    return true;
}

/// Whether it is a group's, or everybody's.
pub fn is_for_many(address: *const SocketAddress) bool {
    return switch (address.storage.any.family) {
        AF.INET => @as([4]u8, @bitCast(address.storage.in4.addr))[0] >= 224,
        AF.INET6 => address.storage.in6.addr[0] == 0xff,
        else => false,
    };
}

/// Writes what the kernel told of a sender, of which no more is set than its family has. Nothing is
/// an address of a Unix socket without a name.
pub fn write_source(result: *layout.Address, bytes: []const u8) void {
    var address: SocketAddress = undefined;
    const storage = std.mem.asBytes(&address.storage);
    @memcpy(storage[0..bytes.len], bytes);
    const known = if (bytes.len < @sizeOf(u16)) AF.UNIX else address.storage.any.family;
    const in4 = &address.storage.in4;
    const in6 = &address.storage.in6;
    switch (known) {
        AF.INET => {
            result.family = @intFromEnum(layout.AddressFamily.ipv4);
            result.port = std.mem.bigToNative(u16, in4.port);
            result.scope = 0;
            result.length = 0;
            result.bytes[0..4].* = @bitCast(in4.addr);
        },
        AF.INET6 => {
            result.family = @intFromEnum(layout.AddressFamily.ipv6);
            result.port = std.mem.bigToNative(u16, in6.port);
            result.scope = in6.scope_id;
            result.length = 0;
            result.bytes[0..16].* = in6.addr;
        },
        else => {
            address.unix_length = @intCast(bytes.len);
            const path = address.path();
            result.family = @intFromEnum(layout.AddressFamily.unix);
            result.port = 0;
            result.scope = 0;
            result.length = @intCast(path.len);
            @memcpy(result.bytes[0..path.len], path);
        },
    }
}

/// Null for a family that is not ours.
pub fn to_script(address: *const SocketAddress) ?layout.Address {
    var result = std.mem.zeroes(layout.Address);
    switch (address.storage.any.family) {
        AF.INET => {
            result.family = @intFromEnum(layout.AddressFamily.ipv4);
            result.bytes[0..4].* = @bitCast(address.storage.in4.addr);
            result.port = std.mem.bigToNative(u16, address.storage.in4.port);
        },
        AF.INET6 => {
            result.family = @intFromEnum(layout.AddressFamily.ipv6);
            result.port = std.mem.bigToNative(u16, address.storage.in6.port);
            result.scope = address.storage.in6.scope_id;
            result.bytes[0..16].* = address.storage.in6.addr;
        },
        AF.UNIX => {
            const path = address.path();
            result.family = @intFromEnum(layout.AddressFamily.unix);
            result.length = @intCast(path.len);
            @memcpy(result.bytes[0..path.len], path);
        },
        else => return null,
    }
    return result;
}

/// The name of an in-process address; null when it is none.
pub fn name_of(address: *const layout.Address) ?[]const u8 {
    if (address.length == 0 or address.length > layout.address_bytes_max) return null;
    const name = address.bytes[0..address.length];
    return if (std.mem.indexOfScalar(u8, name, 0) == null) name else null;
}

/// The address that is an in-process name.
pub fn of_name(name: []const u8) layout.Address {
    var result = std.mem.zeroes(layout.Address);
    result.family = @intFromEnum(layout.AddressFamily.inproc);
    result.length = @intCast(name.len);
    @memcpy(result.bytes[0..name.len], name);
    return result;
}

pub fn is_inproc(address: *const layout.Address) bool {
    return address.family == @intFromEnum(layout.AddressFamily.inproc);
}

/// The address of either end of a socket, as the script has it; a negated errno with the system
/// call, or 0.
pub fn tell(
    comptime sockets: type,
    descriptor: i32,
    remote: bool,
    result: *layout.Address,
    failed: *layout.Syscall,
) i32 {
    failed.* = if (remote) .getpeername else .getsockname;
    var address: SocketAddress = undefined;
    const rc = if (remote)
        sockets.remote_address(descriptor, &address)
    else
        sockets.local_address(descriptor, &address);
    if (rc < 0) return rc;
    result.* = to_script(&address) orelse return @intFromEnum(layout.Status.bad_argument);
    return 0;
}

/// The family of the kernel's sockets that such addresses are of; AF_UNSPEC where there are none.
pub fn kernel_family(known: layout.AddressFamily) u32 {
    return switch (known) {
        .ipv4 => AF.INET,
        .ipv6 => AF.INET6,
        .unix, .descriptor => AF.UNIX,
        .inproc => AF.UNSPEC,
    };
}

pub fn family(address: *const SocketAddress) u32 {
    return address.storage.any.family;
}

fn address_of(known: layout.AddressFamily, port: u32, bytes: []const u8) layout.Address {
    var address = std.mem.zeroes(layout.Address);
    address.family = @intFromEnum(known);
    address.port = port;
    @memcpy(address.bytes[0..bytes.len], bytes);
    if (known == .unix) address.length = @intCast(bytes.len);
    return address;
}

test "addresses survive the way there and back" {
    var scoped = address_of(.ipv6, 1, &([_]u8{ 0xfe, 0x80 } ++ [_]u8{0} ** 13 ++ [_]u8{1}));
    scoped.scope = 3;
    const addresses = [_]layout.Address{
        address_of(.ipv4, 7000, &.{ 127, 0, 0, 1 }),
        scoped,
        address_of(.unix, 0, "/run/x.sock"),
        address_of(.unix, 0, "p" ** (SocketAddress.path_bytes - 1)),
    };
    for (addresses) |address| {
        const kernel_form = to_kernel(&address).?;
        try std.testing.expectEqual(address, to_script(&kernel_form).?);
    }
    if (!has_unix_names) return;
    for ([_][]const u8{ "\x00name", "\x00with\x00zeros\x00" }) |name| {
        const address = address_of(.unix, 0, name);
        const kernel_form = to_kernel(&address).?;
        try std.testing.expectEqual(address, to_script(&kernel_form).?);
    }
}

test "what is not an address is refused" {
    for ([_]layout.Address{
        std.mem.zeroes(layout.Address),
        address_of(.ipv4, 65_536, &.{}),
        address_of(.unix, 0, ""),
        address_of(.unix, 0, "a\x00b"),
        address_of(.unix, 0, "p" ** SocketAddress.path_bytes),
        address_of(.inproc, 0, "x"),
    }) |address| {
        try std.testing.expect(to_kernel(&address) == null);
    }
    var long = address_of(.unix, 0, "x");
    long.length = layout.address_bytes_max + 1;
    try std.testing.expect(to_kernel(&long) == null);
}
