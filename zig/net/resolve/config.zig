//! Which name servers to ask and how: what resolv.conf(5) says. No state, any thread.
//!
//! Known are `nameserver`, `search`, `domain`, and of `options` `ndots`, `timeout`, `attempts` and
//! `use-vc`; everything else is passed over. A server's address may stand in brackets with a port
//! behind, as OpenBSD has it. A file that names no server means one on this machine.

const std = @import("std");
const Lines = @import("../../sys/lines.zig").Lines;
const Ip = @import("ip.zig").Ip;
const names = @import("names.zig");

pub const default_path = "/etc/resolv.conf";

pub const Server = struct { ip: Ip, port: u16 };

pub const Config = struct {
    pub const servers_max = 3;
    pub const domains_max = 6;
    const port_default = 53;

    servers: [servers_max]Server = undefined,
    server_count: u32 = 0,
    /// Domains to look a short name up in, one after the other.
    domains: [domains_max]names.Name = undefined,
    domain_count: u32 = 0,
    /// A name with fewer dots is looked up in the domains first: 0 to 15.
    dots: u32 = 1,
    /// In all, for one name in one domain: 1 to 30.
    timeout_s: u32 = 5,
    /// How often to ask in that time: 1 to 5.
    attempts: u32 = 2,
    /// Ask through streams only.
    stream_only: bool = false,

    pub fn read(path: [*:0]const u8) Config {
        var config: Config = .{};
        if (Lines.open(path)) |opened| {
            var lines = opened;
            defer lines.close();
            while (lines.next()) |line| config.take(line);
        }
        if (config.server_count == 0) config.add_server(.loopback4, port_default);
        return config;
    }

    pub fn server_list(self: *const Config) []const Server {
        return self.servers[0..self.server_count];
    }

    pub fn domain_list(self: *const Config) []const names.Name {
        return self.domains[0..self.domain_count];
    }

    fn take(self: *Config, line: []const u8) void {
        const end = std.mem.indexOfAny(u8, line, "#;") orelse line.len;
        var words = std.mem.tokenizeAny(u8, line[0..end], " \t");
        const keyword = words.next() orelse return;
        if (std.mem.eql(u8, keyword, "nameserver")) {
            self.take_server(words.next() orelse return);
        } else if (std.mem.eql(u8, keyword, "search") or std.mem.eql(u8, keyword, "domain")) {
            self.domain_count = 0;
            while (words.next()) |word| self.take_domain(word);
        } else if (std.mem.eql(u8, keyword, "options")) {
            while (words.next()) |word| self.take_option(word);
        }
    }

    fn take_server(self: *Config, text: []const u8) void {
        if (Ip.parse(text)) |ip| return self.add_server(ip, port_default);
        if (text[0] != '[') return;
        const end = std.mem.indexOf(u8, text, "]:") orelse return;
        const ip = Ip.parse(text[1..end]) orelse return;
        const port = std.fmt.parseInt(u16, text[end + 2 ..], 10) catch return;
        self.add_server(ip, port);
    }

    fn add_server(self: *Config, ip: Ip, port: u16) void {
        if (self.server_count == servers_max) return;
        self.servers[self.server_count] = .{ .ip = ip, .port = port };
        self.server_count += 1;
    }

    fn take_domain(self: *Config, text: []const u8) void {
        if (self.domain_count == domains_max) return;
        self.domains[self.domain_count] = names.Name.of(text) orelse return;
        self.domain_count += 1;
    }

    fn take_option(self: *Config, text: []const u8) void {
        if (std.mem.eql(u8, text, "use-vc")) self.stream_only = true;
        inline for (.{
            .{ "ndots:", "dots", 0, 15 },
            .{ "timeout:", "timeout_s", 1, 30 },
            .{ "attempts:", "attempts", 1, 5 },
        }) |option| {
            const prefix, const field, const minimum, const maximum = option;
            if (std.mem.startsWith(u8, text, prefix)) {
                const value = std.fmt.parseInt(u32, text[prefix.len..], 10) catch return;
                @field(self, field) = std.math.clamp(value, minimum, maximum);
            }
        }
    }
};

fn config_of(text: []const u8) Config {
    var config: Config = .{};
    var lines = std.mem.splitScalar(u8, text, '\n');
    while (lines.next()) |line| config.take(line);
    return config;
}

test "what a file says" {
    const config = config_of(
        \\# made by hand
        \\nameserver 10.0.0.1 ; the first
        \\nameserver [127.0.0.1]:5353
        \\nameserver [::1]:54
        \\nameserver 10.0.0.4
        \\domain gone.example
        \\search one.example bad..name two.example
        \\options ndots:3 timeout:99 attempts:0 rotate use-vc
        \\sortlist 1.2.3.4
    );
    try std.testing.expectEqual(@as(usize, 3), config.server_list().len);
    try std.testing.expectEqual(@as(u16, 53), config.servers[0].port);
    try std.testing.expect(config.servers[1].ip.eql(.loopback4));
    try std.testing.expectEqual(@as(u16, 5353), config.servers[1].port);
    try std.testing.expect(config.servers[2].ip.eql(.loopback6));
    try std.testing.expectEqual(@as(u32, 2), config.domain_count);
    try std.testing.expectEqualStrings("two.example", config.domain_list()[1].slice());
    try std.testing.expectEqual(@as(u32, 3), config.dots);
    try std.testing.expectEqual(@as(u32, 30), config.timeout_s);
    try std.testing.expectEqual(@as(u32, 1), config.attempts);
    try std.testing.expect(config.stream_only);
}

test "nonsense is passed over" {
    const config = config_of(
        \\nameserver
        \\nameserver [
        \\nameserver [::1]:70000
        \\nameserver somewhere
        \\options ndots:x timeout
        \\search
    );
    try std.testing.expectEqual(@as(u32, 0), config.server_count);
    try std.testing.expectEqual(@as(u32, 1), config.dots);
}

test "without a file the server is on this machine" {
    const config = Config.read("/nowhere/resolv.conf");
    try std.testing.expectEqual(@as(u32, 1), config.server_count);
    try std.testing.expect(config.servers[0].ip.eql(.loopback4));
}
