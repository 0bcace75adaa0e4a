//! IP addresses as resolving passes them on: compact, compared byte by byte, and read from the text
//! that hosts files and resolv.conf have them in. No state, any thread.

const std = @import("std");
const AF = @import("../../sys/sockets.zig").AF;
const SocketAddress = @import("../../sys/sockets.zig").SocketAddress;

pub const Family = enum(u8) { ipv4 = 4, ipv6 = 6 };

pub const Ip = struct {
    family: Family,
    /// Network order; IPv4 uses the first four, the others are 0.
    bytes: [16]u8,
    /// IPv6: interface index, 0 for none.
    scope: u32 = 0,

    pub fn v4(bytes: [4]u8) Ip {
        return .{ .family = .ipv4, .bytes = bytes ++ [_]u8{0} ** 12 };
    }

    pub fn v6(bytes: [16]u8) Ip {
        return .{ .family = .ipv6, .bytes = bytes };
    }

    pub const loopback4: Ip = .v4(.{ 127, 0, 0, 1 });
    pub const loopback6: Ip = .v6([_]u8{0} ** 15 ++ [_]u8{1});

    /// Null for anything but an address, with its scope as a number.
    pub fn parse(text: []const u8) ?Ip {
        if (std.Io.net.Ip4Address.parse(text, 0)) |four| return .v4(four.bytes) else |_| {}
        const six = switch (std.Io.net.Ip6Address.Unresolved.parse(text)) {
            .success => |six| six,
            else => return null,
        };
        var ip: Ip = .v6(six.bytes);
        const scope = six.interface_name orelse return ip;
        ip.scope = std.fmt.parseInt(u32, scope, 10) catch return null;
        return ip;
    }

    pub fn eql(self: Ip, other: Ip) bool {
        return self.family == other.family and self.scope == other.scope and
            std.mem.eql(u8, &self.bytes, &other.bytes);
    }

    pub fn with_port(self: Ip, port: u16) SocketAddress {
        const number = std.mem.nativeToBig(u16, port);
        var address: SocketAddress = undefined;
        switch (self.family) {
            .ipv4 => address.storage.in4 = .{
                .port = number,
                .addr = @bitCast(self.bytes[0..4].*),
            },
            .ipv6 => address.storage.in6 = .{
                .port = number,
                .flowinfo = 0,
                .addr = self.bytes,
                .scope_id = self.scope,
            },
        }
        return address;
    }

    /// As an IPv6 address: of IPv4 the one that stands for it (RFC 4291, section 2.5.5.2).
    pub fn mapped(self: Ip) [16]u8 {
        return switch (self.family) {
            .ipv4 => [_]u8{0} ** 10 ++ [_]u8{0xff} ** 2 ++ self.bytes[0..4].*,
            .ipv6 => self.bytes,
        };
    }

    /// Null for a family that is not IP.
    pub fn of(address: *const SocketAddress) ?Ip {
        switch (address.storage.any.family) {
            AF.INET => return .v4(@bitCast(address.storage.in4.addr)),
            AF.INET6 => {
                var ip: Ip = .v6(address.storage.in6.addr);
                ip.scope = address.storage.in6.scope_id;
                return ip;
            },
            else => return null,
        }
    }

    pub fn kernel_family(self: Ip) u32 {
        return switch (self.family) {
            .ipv4 => AF.INET,
            .ipv6 => AF.INET6,
        };
    }
};

/// Addresses of one name, each once, in the order in which they came.
pub const Ips = struct {
    pub const count_max = 32;

    list: [count_max]Ip = undefined,
    count: u32 = 0,

    /// What is one too many is left out.
    pub fn add(self: *Ips, ip: Ip) void {
        for (self.slice()) |known| if (known.eql(ip)) return;
        if (self.count == count_max) return;
        self.list[self.count] = ip;
        self.count += 1;
    }

    pub fn slice(self: *const Ips) []const Ip {
        return self.list[0..self.count];
    }

    /// In the order in which to try them (RFC 8305, section 4): IPv6 first, then the families by
    /// turns, within a family as they came.
    pub fn interleave(self: *Ips) void {
        const came = self.*;
        var places: [2]u32 = @splat(0);
        var turn: u32 = 0;
        for (self.list[0..self.count]) |*next| {
            const families = [2]Family{ .ipv6, .ipv4 };
            next.* = came.next_of(families[turn], &places[turn]) orelse next: {
                turn = 1 - turn;
                break :next came.next_of(families[turn], &places[turn]).?;
            };
            turn = 1 - turn;
        }
    }

    /// The first of a family from `place` on, which then stands behind it.
    fn next_of(self: *const Ips, family: Family, place: *u32) ?Ip {
        while (place.* < self.count) {
            const ip = self.list[place.*];
            place.* += 1;
            if (ip.family == family) return ip;
        }
        return null;
    }
};

test "addresses are read from text" {
    try std.testing.expect(Ip.parse("127.0.0.1").?.eql(.loopback4));
    try std.testing.expect(Ip.parse("::1").?.eql(.loopback6));
    const scoped = Ip.parse("fe80::1%7").?;
    try std.testing.expectEqual(@as(u32, 7), scoped.scope);
    try std.testing.expectEqual(@as(u8, 0xfe), scoped.bytes[0]);
    for ([_][]const u8{
        "",    "1",   "1.2.3",   "1.2.3.4.5", "256.0.0.1",    "01.2.3.4", ":",
        "::g", ":::", "1::2::3", "fe80::1%",  "fe80::1%eth0", "name",
    }) |text| try std.testing.expectEqual(@as(?Ip, null), Ip.parse(text));
}

test "whatever the text is, reading it ends" {
    var random = std.Random.DefaultPrng.init(1);
    const letters = "0123456789abcdefABCDEF:.%gx ";
    var text: [24]u8 = undefined;
    for (0..20_000) |_| {
        const length = random.random().uintAtMost(usize, text.len);
        for (text[0..length]) |*letter| {
            letter.* = letters[random.random().uintLessThan(usize, letters.len)];
        }
        _ = Ip.parse(text[0..length]);
    }
}

test "addresses survive the way to the kernel's form and back" {
    for ([_][]const u8{ "10.1.2.3", "2001:db8::5", "fe80::1%3" }) |text| {
        const address = Ip.parse(text).?.with_port(53);
        try std.testing.expect(Ip.of(&address).?.eql(Ip.parse(text).?));
    }
}

test "families take turns, IPv6 first, and nothing stands twice" {
    var ips: Ips = .{};
    for ([_][]const u8{ "1.0.0.1", "1.0.0.2", "::1", "1.0.0.1", "1.0.0.3", "::2" }) |text| {
        ips.add(Ip.parse(text).?);
    }
    ips.interleave();
    const expected = [_][]const u8{ "::1", "1.0.0.1", "::2", "1.0.0.2", "1.0.0.3" };
    try std.testing.expectEqual(expected.len, ips.count);
    for (expected, ips.slice()) |text, ip| try std.testing.expect(ip.eql(Ip.parse(text).?));
}
