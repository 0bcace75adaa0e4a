//! A name server for tests, on a thread of its own and a port of the loopback address. What it
//! answers is in the name that it is asked for.

const std = @import("std");
const datagrams = @import("../../sys/datagrams.zig");
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
        for (0..16) |_| {
            if (self.bind()) break;
        } else return error.NoPort;
        try std.testing.expectEqual(@as(i32, 0), self.stop.open());
        self.thread = try std.Thread.spawn(.{}, serve, .{self});
    }

    /// One port for both; false where it was taken meanwhile.
    fn bind(self: *Server) bool {
        var address = Ip.loopback4.with_port(0);
        const family = Ip.loopback4.kernel_family();
        self.listener = sockets.open_stream(family, true);
        self.datagrams = sockets.open_datagram(family, true);
        const is_bound = sockets.bind(self.listener, &address) == 0 and
            sockets.listen(self.listener, 8) == 0 and
            sockets.local_address(self.listener, &address) == 0 and
            sockets.bind(self.datagrams, &address) == 0;
        self.port = std.mem.bigToNative(u16, address.storage.in4.port);
        if (is_bound) return true;
        kernel.close(self.listener);
        kernel.close(self.datagrams);
        return false;
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
        var control: [datagrams.control_bytes]u8 align(8) = undefined;
        var payload: [512]u8 = undefined;
        const storage = std.mem.asBytes(&address.storage);
        var incoming: datagrams.Incoming = undefined;
        incoming.place(0, storage[0..datagrams.address_bytes], &control, &payload);
        if (incoming.receive(self.datagrams, 0, 1) < 1) return;
        const length = incoming.told(0).payload_bytes;
        _ = self.asked.fetchAdd(1, .acq_rel);
        const to: Peer = .{ .descriptor = self.datagrams, .address = &address };
        answer(payload[0..length], to);
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
        answer(payload[2..received], .{ .descriptor = descriptor, .address = null });
    }
};

/// The first label of the name that is asked for.
fn label_of(question: []const u8) []const u8 {
    return question[13..][0..question[12]];
}

/// Who asked: through a stream where there is no address.
const Peer = struct { descriptor: i32, address: ?*const sockets.SocketAddress };

fn answer(bytes: []const u8, peer: Peer) void {
    const label = label_of(bytes);
    const is_six = bytes[bytes.len - 3] == 28;
    const has = struct {
        fn has(text: []const u8, word: []const u8) bool {
            return std.mem.indexOf(u8, text, word) != null;
        }
    }.has;
    if (has(label, "silent") or (has(label, "half") and is_six)) return;
    if (has(label, "forged")) reply(bytes, .{ .four = .{ 6, 6, 6, 6 }, .wrong_id = true }, peer);
    const is_large = has(label, "large") and peer.address != null;
    const knows = !is_six or has(label, "both");
    reply(bytes, if (has(label, "none"))
        .{ .flags = no_such_name }
    else if (has(label, "failing"))
        .{ .flags = server_failure }
    else if (is_large)
        .{ .flags = truncated }
    else if (knows)
        .{ .four = .{ 127, 0, 0, 2 } }
    else
        .{}, peer);
}

const Reply = struct { flags: u16 = 0, four: ?[4]u8 = null, wrong_id: bool = false };

fn reply(bytes: []const u8, content: Reply, peer: Peer) void {
    var writer: message.Writer = .{};
    writer.put(bytes);
    std.mem.writeInt(u16, writer.bytes[2..4], 1 << 15 | content.flags, .big);
    if (content.wrong_id) writer.bytes[0] ^= 1;
    const kind = bytes[bytes.len - 3];
    if (content.four) |address| {
        const six = [_]u8{0} ** 15 ++ [_]u8{1};
        writer.add("\xc0\x0c", kind, if (kind == 28) &six else &address);
    }
    if (peer.address) |address| {
        _ = sockets.send_to(peer.descriptor, writer.slice(), address);
        return;
    }
    var prefix: [2]u8 = undefined;
    std.mem.writeInt(u16, &prefix, @intCast(writer.length), .big);
    _ = sockets.send(peer.descriptor, &prefix);
    _ = sockets.send(peer.descriptor, writer.slice());
}
