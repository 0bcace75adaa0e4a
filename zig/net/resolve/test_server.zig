//! A name server for tests, on a thread of its own and a port of the loopback address. What it
//! answers is in the name that it is asked for.

const std = @import("std");
const kernel = @import("../../sys/kernel.zig");
const sockets = @import("../../sys/sockets.zig");
const wait_module = @import("../../sys/wait_any.zig");
const Notifier = @import("../../sys/notify.zig").Notifier;
const Config = @import("config.zig").Config;
const Ip = @import("ip.zig").Ip;
const message = @import("message.zig");

/// One bit of the header, and codes.
const truncated: u16 = 1 << 9;
const server_failure = 2;
const no_such_name = 3;

pub const Server = struct {
    datagrams: i32,
    listener: i32,
    port: u16,
    stop: Notifier = .{},
    thread: std.Thread = undefined,
    asked: std.atomic.Value(u32) = .init(0),

    /// `self` must stay where it is until `deinit`.
    pub fn init(self: *Server) !void {
        self.* = .{ .datagrams = -1, .listener = -1, .port = 0 };
        var address = Ip.loopback4.with_port(0);
        const family = Ip.loopback4.kernel_family();
        self.datagrams = sockets.open_datagram(family);
        try std.testing.expectEqual(@as(i32, 0), sockets.bind(self.datagrams, &address));
        try std.testing.expectEqual(@as(i32, 0), sockets.local_address(self.datagrams, &address));
        self.port = std.mem.bigToNative(u16, address.storage.in4.port);
        // A port that the kernel chose is lost when the socket is connected and let go again.
        kernel.close(self.datagrams);
        self.datagrams = sockets.open_datagram(family);
        try std.testing.expectEqual(@as(i32, 0), sockets.bind(self.datagrams, &address));
        self.listener = sockets.open_stream(family, true);
        try std.testing.expectEqual(@as(i32, 0), sockets.bind(self.listener, &address));
        try std.testing.expectEqual(@as(i32, 0), sockets.listen(self.listener, 8));
        try std.testing.expectEqual(@as(i32, 0), self.stop.open());
        self.thread = try std.Thread.spawn(.{}, serve, .{self});
    }

    pub fn deinit(self: *Server) void {
        self.stop.signal();
        self.thread.join();
        self.stop.close();
        kernel.close(self.datagrams);
        kernel.close(self.listener);
    }

    pub fn config(self: *const Server) Config {
        var made: Config = .{};
        made.servers[0] = .{ .ip = .loopback4, .port = self.port };
        made.server_count = 1;
        return made;
    }

    fn serve(self: *Server) void {
        while (true) {
            var waits = [_]wait_module.Wait{
                .{ .descriptor = self.stop.descriptor },
                .{ .descriptor = self.datagrams },
                .{ .descriptor = self.listener },
            };
            wait_module.wait_any(&waits, 1000);
            if (waits[0].ready) return;
            if (waits[1].ready) self.answer_datagram();
            if (waits[2].ready) self.answer_stream();
        }
    }

    fn answer_datagram(self: *Server) void {
        var address: sockets.SocketAddress = undefined;
        var control: [8]u8 align(8) = undefined;
        var payload: [512]u8 = undefined;
        var received: sockets.Message = .{
            .address = std.mem.asBytes(&address),
            .control = &control,
            .payload = &payload,
        };
        const length = sockets.receive_message(self.datagrams, &received);
        if (length < 0) return;
        _ = self.asked.fetchAdd(1, .acq_rel);
        // A datagram socket may be connected, and be nobody's again.
        _ = sockets.connect(self.datagrams, &address);
        answer(payload[0..@intCast(length)], false, self.datagrams);
        address.storage.any.family = 0;
        _ = sockets.connect(self.datagrams, &address);
    }

    fn answer_stream(self: *Server) void {
        const descriptor = sockets.accept(self.listener);
        if (descriptor < 0) return;
        defer kernel.close(descriptor);
        _ = self.asked.fetchAdd(1, .acq_rel);
        var payload: [514]u8 = undefined;
        var received: usize = 0;
        while (received < 3 or received < 2 + std.mem.readInt(u16, payload[0..2], .big)) {
            if (!sockets.ready_within(descriptor, 2000, .{ .readable = true }).readable) return;
            const rc = sockets.receive(descriptor, payload[received..]);
            if (rc <= 0) return;
            received += @intCast(rc);
        }
        answer(payload[2..received], true, descriptor);
    }
};

/// The first label of the name that is asked for.
fn label_of(question: []const u8) []const u8 {
    return question[13..][0..question[12]];
}

fn answer(bytes: []const u8, through_stream: bool, descriptor: i32) void {
    const label = label_of(bytes);
    const kind = bytes[bytes.len - 3];
    const has = struct {
        fn word(text: []const u8, wanted: []const u8) bool {
            return std.mem.indexOf(u8, text, wanted) != null;
        }
    }.word;
    if (has(label, "silent")) return;
    if (has(label, "half") and kind == 28) return;
    if (has(label, "forged")) reply(bytes, 0, .{ 6, 6, 6, 6 }, .{ .wrong_id = true }, descriptor);
    if (has(label, "none")) return reply(bytes, no_such_name, null, .{}, descriptor);
    if (has(label, "failing")) return reply(bytes, server_failure, null, .{}, descriptor);
    if (has(label, "large") and !through_stream) {
        return reply(bytes, truncated, null, .{}, descriptor);
    }
    if (kind == 28 and !has(label, "both")) return reply(bytes, 0, null, .{}, descriptor);
    reply(bytes, 0, .{ 127, 0, 0, 2 }, .{ .through_stream = through_stream }, descriptor);
}

const Manner = struct { through_stream: bool = false, wrong_id: bool = false };

fn reply(bytes: []const u8, flags: u16, four: ?[4]u8, manner: Manner, descriptor: i32) void {
    var writer: message.Writer = .{};
    writer.put(bytes);
    std.mem.writeInt(u16, writer.bytes[2..4], 1 << 15 | flags, .big);
    if (manner.wrong_id) writer.bytes[0] ^= 1;
    const kind = bytes[bytes.len - 3];
    if (four) |address| {
        const six = [_]u8{0} ** 15 ++ [_]u8{1};
        writer.add("\xc0\x0c", kind, if (kind == 28) &six else &address);
    }
    var prefix: [2]u8 = undefined;
    std.mem.writeInt(u16, &prefix, @intCast(writer.length), .big);
    if (manner.through_stream) _ = sockets.send(descriptor, &prefix);
    _ = sockets.send(descriptor, writer.slice());
}
