//! Which texts are host names, and which of them need nobody to be asked. No state, any thread.
//!
//! A name has labels of letters, digits, hyphens (RFC 1123, section 2.1) and underscores, which
//! names in use have; a label that is the last one is not a number, so that what looks like an IPv4
//! address is one. A dot at the end says that the name is complete.

const std = @import("std");
const Family = @import("ip.zig").Family;
const Ip = @import("ip.zig").Ip;
const Ips = @import("ip.zig").Ips;

/// Without the dot at the end.
pub const length_max = 253;
const label_max = 63;

pub const Name = struct {
    /// As it was given, with the dot at the end if there was one.
    bytes: [length_max + 1]u8,
    length: u32,

    /// Null for what is not a name, and for an address.
    pub fn of(text: []const u8) ?Name {
        if (!valid(text)) return null;
        var name: Name = .{ .bytes = undefined, .length = @intCast(text.len) };
        @memcpy(name.bytes[0..text.len], text);
        return name;
    }

    pub fn slice(self: *const Name) []const u8 {
        return self.bytes[0..self.length];
    }
};

pub fn valid(text: []const u8) bool {
    const name = without_dot(text);
    if (name.len == 0 or name.len > length_max) return false;
    var last: []const u8 = "";
    var labels = std.mem.splitScalar(u8, name, '.');
    while (labels.next()) |label| {
        if (!valid_label(label)) return false;
        last = label;
    }
    for (last) |letter| if (!std.ascii.isDigit(letter)) return true;
    return false;
}

fn valid_label(label: []const u8) bool {
    if (label.len == 0 or label.len > label_max) return false;
    if (label[0] == '-' or label[label.len - 1] == '-') return false;
    for (label) |letter| {
        if (!std.ascii.isAlphanumeric(letter) and letter != '-' and letter != '_') return false;
    }
    return true;
}

pub fn without_dot(name: []const u8) []const u8 {
    return if (std.mem.endsWith(u8, name, ".")) name[0 .. name.len - 1] else name;
}

/// Whether the name is this machine's by definition (RFC 6761, section 6.3).
pub fn is_localhost(text: []const u8) bool {
    const name = without_dot(text);
    const local = "localhost";
    if (!std.ascii.endsWithIgnoreCase(name, local)) return false;
    return name.len == local.len or name[name.len - local.len - 1] == '.';
}

/// The addresses of what needs no lookup: an address as text, or localhost. None are left where
/// `family` asks for another. Null for everything else.
pub fn known(text: []const u8, family: ?Family) ?Ips {
    var ips: Ips = .{};
    if (Ip.parse(text)) |ip| {
        if (family == null or family == ip.family) ips.add(ip);
        return ips;
    }
    if (!is_localhost(text)) return null;
    if (family != .ipv4) ips.add(.loopback6);
    if (family != .ipv6) ips.add(.loopback4);
    return ips;
}

test "names" {
    const longest = "a." ** 126 ++ "a";
    const named = "a example.com example.com. my_service 1and1.de 3com.com xn--b-xga.de A-B.c " ++
        "a" ** 63 ++ ".de " ++ longest ++ " " ++ longest ++ ".";
    var texts = std.mem.splitScalar(u8, named, ' ');
    while (texts.next()) |text| {
        errdefer std.debug.print("{s}\n", .{text});
        try std.testing.expect(valid(text));
        try std.testing.expectEqualStrings(text, Name.of(text).?.slice());
    }
    const others = ",.,..,a..b,.a,-a,a-,a.-b,a b,a/b,1,1.2.3.4,1.2.3.256,host.5," ++
        "b\xc3\xbccher.de,a\x00b,*.example.com," ++ "a" ** 64 ++ "," ++ longest ++ "b";
    texts = std.mem.splitScalar(u8, others, ',');
    while (texts.next()) |text| {
        errdefer std.debug.print("{s}\n", .{text});
        try std.testing.expect(!valid(text));
    }
}

test "localhost is both loopback addresses, whatever else asks" {
    for ([_][]const u8{ "localhost", "LocalHost.", "db.localhost" }) |text| {
        const both = known(text, null).?;
        try std.testing.expectEqual(@as(u32, 2), both.count);
        try std.testing.expect(both.list[0].eql(.loopback6) and both.list[1].eql(.loopback4));
        try std.testing.expect(known(text, .ipv4).?.list[0].eql(.loopback4));
        try std.testing.expectEqual(@as(u32, 1), known(text, .ipv6).?.count);
    }
    for ([_][]const u8{ "notlocalhost", "localhost.example", "local" }) |text| {
        try std.testing.expectEqual(@as(?Ips, null), known(text, null));
    }
    try std.testing.expectEqual(@as(u32, 1), known("::1", null).?.count);
    try std.testing.expectEqual(@as(u32, 0), known("::1", .ipv4).?.count);
}
