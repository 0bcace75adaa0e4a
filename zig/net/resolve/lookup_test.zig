//! Lookups against a name server of the test's own.

const std = @import("std");
const host = @import("../../sys/host.zig");
const exchange = @import("exchange.zig");
const Outcome = exchange.Outcome;
const Config = @import("config.zig").Config;
const Ip = @import("ip.zig").Ip;
const Ips = @import("ip.zig").Ips;
const lookup = @import("lookup.zig");
const names = @import("names.zig");
const Server = @import("test_server.zig").Server;
const Stop = @import("stop.zig").Stop;

var buffer: lookup.Buffer = undefined;

fn expect_ips(expected: []const []const u8, ips: *const Ips) !void {
    try std.testing.expectEqual(expected.len, ips.count);
    for (expected, ips.slice()) |text, ip| try std.testing.expect(ip.eql(Ip.parse(text).?));
}

test "what a server says" {
    var server: Server = undefined;
    try server.init();
    defer server.deinit();
    var stop: Stop = .{};
    var config = server.config();
    for ([_]bool{ false, true }) |stream_only| {
        config.stream_only = stream_only;
        for ([_]struct { []const u8, Outcome, []const []const u8 }{
            .{ "both.example", .found, &.{ "::1", "127.0.0.2" } },
            .{ "four.example.", .found, &.{"127.0.0.2"} },
            .{ "large.example", .found, &.{"127.0.0.2"} },
            .{ "forged.example", .found, &.{"127.0.0.2"} },
            .{ "none.example", .no_such_name, &.{} },
            .{ "failing.example", .refused, &.{} },
        }) |case| {
            if (stream_only and std.mem.startsWith(u8, case[0], "forged")) continue;
            errdefer std.debug.print("{s}\n", .{case[0]});
            var ips: Ips = .{};
            const outcome = exchange.ask(&config, case[0], null, &buffer, &stop, &ips);
            ips.interleave();
            try std.testing.expectEqual(case[1], outcome);
            try expect_ips(case[2], &ips);
        }
    }
}

test "only the family that is wanted is asked for" {
    var server: Server = undefined;
    try server.init();
    defer server.deinit();
    var stop: Stop = .{};
    const config = server.config();
    var ips: Ips = .{};
    const outcome = exchange.ask(&config, "both.example", .ipv6, &buffer, &stop, &ips);
    try std.testing.expectEqual(Outcome.found, outcome);
    try expect_ips(&.{"::1"}, &ips);
    try std.testing.expectEqual(@as(u32, 1), server.asked.load(.acquire));
}

test "one family that is never answered for holds up nothing" {
    var server: Server = undefined;
    try server.init();
    defer server.deinit();
    var stop: Stop = .{};
    var config = server.config();
    config.timeout_s = 30;
    config.attempts = 1;
    var ips: Ips = .{};
    const outcome = exchange.ask(&config, "half.example", null, &buffer, &stop, &ips);
    try std.testing.expectEqual(Outcome.found, outcome);
    try expect_ips(&.{"127.0.0.2"}, &ips);
}

test "a silent server is asked again, and given up" {
    var server: Server = undefined;
    try server.init();
    defer server.deinit();
    var stop: Stop = .{};
    var config = server.config();
    config.timeout_s = 1;
    config.attempts = 2;
    var ips: Ips = .{};
    const outcome = exchange.ask(&config, "silent.example", .ipv4, &buffer, &stop, &ips);
    try std.testing.expectEqual(Outcome.timeout, outcome);
    try std.testing.expectEqual(@as(u32, 2), server.asked.load(.acquire));
}

test "a server that is not there does not keep another one from answering" {
    var server: Server = undefined;
    try server.init();
    defer server.deinit();
    var stop: Stop = .{};
    var config = server.config();
    config.servers[1] = config.servers[0];
    config.server_count = 2;
    // Nobody listens on the discard port.
    config.servers[0].port = 9;
    var ips: Ips = .{};
    var outcome = exchange.ask(&config, "four.example", null, &buffer, &stop, &ips);
    try std.testing.expectEqual(Outcome.found, outcome);
    config.server_count = 1;
    config.timeout_s = 30;
    ips = .{};
    outcome = exchange.ask(&config, "four.example", null, &buffer, &stop, &ips);
    try std.testing.expectEqual(Outcome.refused, outcome);
}

test "a lookup that nobody waits for any more ends at once" {
    var server: Server = undefined;
    try server.init();
    defer server.deinit();
    var config = server.config();
    config.timeout_s = 30;
    config.attempts = 1;
    var stop: Stop = .{};
    try std.testing.expectEqual(@as(i32, 0), stop.notifier.open());
    defer stop.notifier.close();
    // A signal for something else ends nothing, and costs nothing.
    stop.notifier.signal();
    const Stopper = struct {
        fn run(awaited: *Server, stopped: *Stop) void {
            while (awaited.asked.load(.acquire) == 0) std.atomic.spinLoopHint();
            stopped.request();
        }
    };
    const thread = try std.Thread.spawn(.{}, Stopper.run, .{ &server, &stop });
    defer thread.join();
    var ips: Ips = .{};
    const outcome = exchange.ask(&config, "silent.example", .ipv4, &buffer, &stop, &ips);
    try std.testing.expectEqual(Outcome.stopped, outcome);
}

const Folder = struct {
    folder: std.testing.TmpDir,
    hosts_buffer: [64]u8 = undefined,
    config_buffer: [64]u8 = undefined,

    fn write(self: *Folder, hosts: []const u8, config: []const u8) !lookup.Files {
        const io = std.testing.io;
        try self.folder.dir.writeFile(io, .{ .sub_path = "hosts", .data = hosts });
        try self.folder.dir.writeFile(io, .{ .sub_path = "config", .data = config });
        const path = ".zig-cache/tmp/{s}/{s}";
        const sub = self.folder.sub_path;
        return .{
            .hosts = try std.fmt.bufPrintZ(&self.hosts_buffer, path, .{ sub, "hosts" }),
            .config = try std.fmt.bufPrintZ(&self.config_buffer, path, .{ sub, "config" }),
            .replaced = true,
        };
    }
};

test "hosts file first, then name servers, short names in their domains" {
    var server: Server = undefined;
    try server.init();
    defer server.deinit();
    var folder: Folder = .{ .folder = std.testing.tmpDir(.{}) };
    defer folder.folder.cleanup();
    var config: [256]u8 = undefined;
    const files = try folder.write(
        "10.0.0.7 both both.example\n::7 both\n10.0.0.8 four.example",
        try std.fmt.bufPrint(
            &config,
            "nameserver [127.0.0.1]:{d}\nsearch none-x.example found.example\noptions ndots:2",
            .{server.port},
        ),
    );
    var stop: Stop = .{};
    for ([_]struct { []const u8, ?@import("ip.zig").Family, Outcome, []const []const u8, u32 }{
        .{ "BOTH", null, .found, &.{ "::7", "10.0.0.7" }, 0 },
        .{ "both", .ipv4, .found, &.{"10.0.0.7"}, 0 },
        // The file has no such address, so the servers may have one.
        .{ "both.example", .ipv6, .found, &.{"::1"}, 1 },
        .{ "alone", .ipv4, .found, &.{"127.0.0.2"}, 1 },
        .{ "none", .ipv4, .no_such_name, &.{}, 3 },
        .{ "none.", .ipv4, .no_such_name, &.{}, 1 },
        .{ "none.of.example", .ipv4, .no_such_name, &.{}, 3 },
        .{ "failing", .ipv4, .refused, &.{}, 3 },
    }) |case| {
        errdefer std.debug.print("{s}\n", .{case[0]});
        server.asked.store(0, .release);
        const query: lookup.Query = .{ .name = names.Name.of(case[0]).?, .family = case[1] };
        var ips: Ips = .{};
        try std.testing.expectEqual(case[2], lookup.find(files, &query, &buffer, &stop, &ips));
        try expect_ips(case[3], &ips);
        try std.testing.expectEqual(case[4], server.asked.load(.acquire));
    }
}
