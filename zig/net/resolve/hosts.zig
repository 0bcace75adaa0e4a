//! Names that this machine's administrator has given addresses: hosts(5), read anew each time. No
//! state, any thread.

const std = @import("std");
const Lines = @import("../../sys/lines.zig").Lines;
const Family = @import("ip.zig").Family;
const Ip = @import("ip.zig").Ip;
const Ips = @import("ip.zig").Ips;
const names = @import("names.zig");

pub const default_path = "/etc/hosts";

/// Adds the addresses of a name that the file has.
pub fn find(path: [*:0]const u8, name: []const u8, family: ?Family, ips: *Ips) void {
    var lines = Lines.open(path) orelse return;
    defer lines.close();
    while (lines.next()) |line| {
        const ip = address_of(line, names.without_dot(name)) orelse continue;
        if (family == null or family == ip.family) ips.add(ip);
    }
}

/// The line's address if the name is one of its names.
fn address_of(line: []const u8, name: []const u8) ?Ip {
    const end = std.mem.indexOfScalar(u8, line, '#') orelse line.len;
    var words = std.mem.tokenizeAny(u8, line[0..end], " \t");
    const address = words.next() orelse return null;
    while (words.next()) |word| {
        if (std.ascii.eqlIgnoreCase(word, name)) return Ip.parse(address);
    }
    return null;
}

test "a name has the address of its line" {
    const line = "10.1.2.3\thost.example Host # other";
    for ([_][]const u8{ "host", "HOST.EXAMPLE" }) |name| {
        try std.testing.expect(address_of(line, name).?.eql(.v4(.{ 10, 1, 2, 3 })));
    }
    for ([_][]const u8{ "other", "hos", "10.1.2.3", "example" }) |name| {
        try std.testing.expectEqual(@as(?Ip, null), address_of(line, name));
    }
    try std.testing.expectEqual(@as(?Ip, null), address_of("nonsense host", "host"));
    try std.testing.expectEqual(@as(?Ip, null), address_of("# 10.1.2.3 host", "host"));
}
