//! Datagrams in batches: many in one call of the kernel where the system has such a call, and what
//! the kernel tells beside their bytes. None of it waits. The functions give a non-negative value
//! or a negated errno; memory is the caller's. Any thread.

const std = @import("std");
const kernel = @import("kernel.zig");
const record = @import("record_test.zig");
const sockets = @import("sockets.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("datagrams_linux.zig"),
    .bsd => @import("datagrams_bsd.zig"),
};
const calls = system.calls;

/// Most datagrams of one call.
pub const batch_max = 256;
/// Room for a sender's address: any of this library's families.
pub const address_bytes = 112;
/// Room for all that `read_control` looks for.
pub const control_bytes = 128;

/// Whether a run of datagrams can be sent as one message that the kernel cuts (UDP_SEGMENT).
pub const has_segments: bool = system.has_segments;
/// Most datagrams of one such message that every kernel that has them takes, and most bytes.
pub const segments_max = 64;
pub const segmented_bytes_max = 65_000;

/// Headers of messages as the kernel takes them, with the number of bytes that it tells.
const Header = system.Header;
const Message = @FieldType(Header, "message");

/// What comes in: each message has address, control data and payload in a buffer of the caller's.
pub const Incoming = struct {
    headers: [batch_max]Header,
    vectors: [batch_max]std.posix.iovec,

    /// Where message `index` of the next `receive` goes.
    pub fn place(
        self: *Incoming,
        index: u32,
        address: *align(4) [address_bytes]u8,
        control: *align(8) [control_bytes]u8,
        payload: []u8,
    ) void {
        self.vectors[index] = .{ .base = payload.ptr, .len = payload.len };
        self.headers[index] = .{
            .message = std.mem.zeroInit(Message, .{
                .name = @as(*calls.sockaddr, @ptrCast(address)),
                .namelen = address_bytes,
                .iov = @as([*]std.posix.iovec, @ptrCast(&self.vectors[index])),
                .iovlen = 1,
                .control = control,
                .controllen = control_bytes,
            }),
            .bytes = 0,
        };
    }

    /// So many places are filled from the first on; how many were, or EAGAIN. Those that were not
    /// need not be placed again.
    pub fn receive(self: *Incoming, descriptor: i32, first: u32, count: u32) i32 {
        return system.receive(descriptor, self.headers[first..][0..count]);
    }

    pub const Told = struct {
        address_bytes: u32,
        control_bytes: u32,
        /// Of the whole message; where it was cut short more than there was room for on Linux.
        payload_bytes: u32,
        /// MSG_TRUNC and MSG_CTRUNC, as Linux numbers them.
        flags: u32,
    };

    pub fn told(self: *const Incoming, index: u32) Told {
        const header = &self.headers[index];
        return .{
            .address_bytes = @min(header.message.namelen, address_bytes),
            .control_bytes = @intCast(@min(header.message.controllen, control_bytes)),
            .payload_bytes = @intCast(header.bytes),
            .flags = system.message_flags(@bitCast(header.message.flags)),
        };
    }
};

/// What goes out: messages of one part or several.
pub const Outgoing = struct {
    headers: [batch_max]Header,
    vectors: [batch_max]std.posix.iovec,
    controls: [batch_max]system.SegmentControl,
    count: u32,
    vectors_used: u32,

    pub fn clear(self: *Outgoing) void {
        self.count = 0;
        self.vectors_used = 0;
    }

    pub fn is_full(self: *const Outgoing) bool {
        return self.vectors_used == batch_max;
    }

    /// A message of one part, where the batch is not full. `address`, null for the peer of a
    /// connected socket, and the bytes must stay until it was sent.
    pub fn add(
        self: *Outgoing,
        address: ?*const sockets.SocketAddress,
        bytes: []const u8,
        segment_bytes: u16,
    ) void {
        std.debug.assert(!self.is_full());
        const header = &self.headers[self.count];
        header.* = .{
            .message = std.mem.zeroInit(Message, .{
                .iov = @as([*]std.posix.iovec, @ptrCast(&self.vectors[self.vectors_used])),
                .iovlen = 1,
            }),
            .bytes = 0,
        };
        if (address) |to| {
            header.message.name = @constCast(to.pointer());
            header.message.namelen = @intCast(to.length());
        }
        self.put_vector(bytes);
        if (segment_bytes > 0) self.cut_last(self.count, segment_bytes);
        self.count += 1;
    }

    /// One more part of the last message, which the kernel then cuts into parts of
    /// `segment_bytes`, where the batch is not full.
    pub fn extend(self: *Outgoing, bytes: []const u8, segment_bytes: u16) void {
        std.debug.assert(!self.is_full() and self.count > 0);
        self.put_vector(bytes);
        const header = &self.headers[self.count - 1];
        header.message.iovlen += 1;
        if (header.message.controllen == 0) self.cut_last(self.count - 1, segment_bytes);
    }

    fn put_vector(self: *Outgoing, bytes: []const u8) void {
        self.vectors[self.vectors_used] = .{ .base = @constCast(bytes.ptr), .len = bytes.len };
        self.vectors_used += 1;
    }

    fn cut_last(self: *Outgoing, index: u32, segment_bytes: u16) void {
        system.cut(&self.headers[index], &self.controls[index], segment_bytes);
    }

    /// The parts of message `index`.
    pub fn parts(self: *const Outgoing, index: u32) []const std.posix.iovec {
        const header = &self.headers[index];
        const first: [*]const std.posix.iovec = @ptrCast(header.message.iov);
        return first[0..@intCast(header.message.iovlen)];
    }

    /// Bytes of the datagrams that message `index` is cut into, 0 where it is not.
    pub fn segment_of(self: *const Outgoing, index: u32) u16 {
        if (self.headers[index].message.controllen == 0) return 0;
        return system.segment_of(&self.controls[index]);
    }

    /// Where message `index` goes; null for the peer of a connected socket.
    pub fn address_of(self: *const Outgoing, index: u32) ?*const sockets.SocketAddress {
        return @ptrCast(@alignCast(self.headers[index].message.name));
    }

    /// How many messages the kernel took, from the first on; or why it does not take the first,
    /// such as EAGAIN.
    pub fn send(self: *Outgoing, descriptor: i32) i32 {
        return system.send(descriptor, self.headers[0..self.count]);
    }
};

/// What came beside a datagram's bytes, as far as the socket was asked for it.
pub const Control = struct {
    /// 0 unless several datagrams came as one: bytes of each but the last.
    segment_bytes: u32 = 0,
    /// The lower two bits of the traffic class.
    ecn: u8 = 0,
    /// The address that it was sent to: its family, 4 or 6, or 0 where it is not known.
    local_family: u8 = 0,
    local: [16]u8 = @splat(0),
    /// The interface at which it came, 0 where it is not known.
    interface: u32 = 0,
    /// Datagrams that the kernel had dropped for this socket so far; null where it did not say.
    drops: ?u32 = null,
};

/// Reads what the kernel wrote; anything else is passed over, whatever it is.
pub fn read_control(bytes: []const u8) Control {
    var control: Control = .{};
    system.read_control(bytes, &control);
    return control;
}

test "batches go out and come in" {
    const pair = try open_pair();
    defer for (pair) |descriptor| sockets.close(descriptor);
    var outgoing: Outgoing = undefined;
    outgoing.clear();
    outgoing.add(null, "one", 0);
    outgoing.add(null, "", 0);
    outgoing.add(null, "three", 0);
    try std.testing.expectEqual(@as(i32, 3), outgoing.send(pair[0]));

    var storage: [4]struct {
        address: [address_bytes]u8 align(8),
        control: [control_bytes]u8 align(8),
        payload: [4]u8,
    } = undefined;
    var incoming: Incoming = undefined;
    for (&storage, 0..) |*place, index| {
        incoming.place(@intCast(index), &place.address, &place.control, &place.payload);
    }
    try std.testing.expectEqual(@as(i32, 3), incoming.receive(pair[1], 0, 4));
    for ([_][]const u8{ "one", "", "thre" }, 0..) |expected, index| {
        const told = incoming.told(@intCast(index));
        const kept = @min(told.payload_bytes, 4);
        try std.testing.expectEqualStrings(expected, storage[index].payload[0..kept]);
        const is_cut = told.flags & std.os.linux.MSG.TRUNC != 0;
        try std.testing.expectEqual(index == 2, is_cut);
    }
    for (0..4) |index| {
        const place = &storage[index];
        incoming.place(@intCast(index), &place.address, &place.control, &place.payload);
    }
    try std.testing.expectEqual(kernel.negative(.AGAIN), incoming.receive(pair[1], 0, 4));
}

/// Two datagram sockets on loopback, connected to each other.
fn open_pair() ![2]i32 {
    var pair: [2]i32 = undefined;
    var addresses: [2]sockets.SocketAddress = undefined;
    for (&pair, &addresses) |*descriptor, *address| {
        descriptor.* = sockets.open_datagram(sockets.AF.INET, true);
        try std.testing.expect(descriptor.* >= 0);
        const loopback = std.mem.nativeToBig(u32, 0x7f00_0001);
        address.storage.in4 = .{ .port = 0, .addr = loopback };
        try std.testing.expectEqual(@as(i32, 0), sockets.bind(descriptor.*, address));
        try std.testing.expectEqual(@as(i32, 0), sockets.local_address(descriptor.*, address));
    }
    try std.testing.expectEqual(@as(i32, 0), sockets.connect(pair[0], &addresses[1]));
    try std.testing.expectEqual(@as(i32, 0), sockets.connect(pair[1], &addresses[0]));
    return pair;
}

test "what the kernel tells beside a datagram" {
    if (!has_segments) return record.skip("kernel: it tells nothing beside a datagram", .{});
    var bytes: [control_bytes]u8 align(8) = @splat(0);
    var writer: system.Writer = .{ .bytes = &bytes };
    writer.put(system.ip_level, system.ip_tos, &[_]u8{0x2b});
    writer.put(system.udp_level, system.udp_gro, std.mem.asBytes(&@as(i32, 1200)));
    writer.put(77, 88, "something else");
    var info = std.mem.zeroes([20]u8);
    info[15] = 1;
    info[16] = 7;
    writer.put(system.ipv6_level, system.ipv6_pktinfo, &info);
    const control = read_control(bytes[0..writer.used]);
    try std.testing.expectEqual(@as(u8, 3), control.ecn);
    try std.testing.expectEqual(@as(u32, 1200), control.segment_bytes);
    try std.testing.expectEqual(@as(u32, 7), control.interface);
    try std.testing.expectEqual(@as(u8, 6), control.local_family);
    try std.testing.expectEqual(@as(u8, 1), control.local[15]);
    try std.testing.expectEqual(@as(?u32, null), control.drops);
}

test "whatever control data says, nothing outside of it is read" {
    var prng: std.Random.DefaultPrng = .init(7);
    var bytes: [control_bytes]u8 align(8) = undefined;
    for (0..2000) |round| {
        prng.random().bytes(&bytes);
        // Lengths that are almost right.
        if (round % 2 == 0) bytes[0..8].* = @bitCast(@as(u64, round % 40));
        const length = prng.random().uintAtMost(usize, bytes.len);
        _ = read_control(bytes[0..length]);
    }
}
