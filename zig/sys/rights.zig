//! Descriptors in the control data of messages over Unix sockets (SCM_RIGHTS), as the system lays
//! them out. No state, any thread.

const std = @import("std");
const builtin = @import("builtin");
const kernel = @import("kernel.zig");
const sockets = @import("sockets.zig");
const datagrams = @import("datagrams.zig");

/// Most descriptors of one message.
pub const descriptors_max = 8;
/// Room for control data: more than so many descriptors are cut off.
pub const control_bytes = 64;

const is_linux = builtin.os.tag == .linux;
/// SCM_RIGHTS is the same everywhere.
const kind_rights: i32 = 1;

const Header = extern struct {
    length: if (is_linux) usize else u32,
    level: i32,
    kind: i32,
};

const alignment: usize = if (builtin.os.tag == .macos) 4 else 8;
const data_offset = std.mem.alignForward(usize, @sizeOf(Header), alignment);

comptime {
    std.debug.assert(data_offset + descriptors_max * @sizeOf(i32) <= control_bytes);
}

/// Control data with the descriptors, at the start of `out`.
pub fn encode(descriptors: []const i32, out: *align(8) [control_bytes]u8) []align(8) const u8 {
    std.debug.assert(descriptors.len > 0 and descriptors.len <= descriptors_max);
    const bytes = std.mem.sliceAsBytes(descriptors);
    const length = data_offset + bytes.len;
    @memset(out, 0);
    const header: *Header = @ptrCast(out);
    header.* = .{
        .length = @intCast(length),
        .level = sockets.option.socket_level,
        .kind = kind_rights,
    };
    @memcpy(out[data_offset..length], bytes);
    return out[0..std.mem.alignForward(usize, length, alignment)];
}

/// What came with a message.
pub const Found = struct {
    descriptors: [descriptors_max]i32 = undefined,
    count: u32 = 0,
    /// There were more, which are closed.
    is_cut: bool = false,

    pub fn all(self: *const Found) []const i32 {
        return self.descriptors[0..self.count];
    }

    pub fn close(self: *Found) void {
        for (self.all()) |descriptor| kernel.close(descriptor);
        self.count = 0;
    }
};

/// Takes the descriptors out of control data. None of them outlives an exec.
pub fn decode(control: []const u8) Found {
    var found: Found = .{};
    var rest = control;
    while (rest.len >= @sizeOf(Header)) {
        const header = std.mem.bytesToValue(Header, rest[0..@sizeOf(Header)]);
        const length: usize = @intCast(@min(header.length, rest.len));
        if (length < @sizeOf(Header)) return found;
        const is_rights = header.level == sockets.option.socket_level and
            header.kind == kind_rights;
        if (is_rights and length > data_offset) take(&found, rest[data_offset..length]);
        const step = std.mem.alignForward(usize, length, alignment);
        rest = rest[@min(step, rest.len)..];
    }
    return found;
}

fn take(found: *Found, bytes: []const u8) void {
    for (0..bytes.len / @sizeOf(i32)) |index| {
        const descriptor = std.mem.bytesToValue(i32, bytes[index * 4 ..][0..4]);
        if (found.count == descriptors_max) {
            found.is_cut = true;
            kernel.close(descriptor);
            continue;
        }
        if (!is_linux) _ = sockets.keep_private(descriptor);
        found.descriptors[found.count] = descriptor;
        found.count += 1;
    }
}

test "descriptors go over a socket with the bytes that they came with" {
    var pair: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    defer for (pair) |end| sockets.close(end);
    var sent: [2]i32 = undefined;
    try std.testing.expectEqual(@as(i32, 0), sockets.open_pair(&sent));
    var control: [control_bytes]u8 align(8) = undefined;
    const encoded = encode(&sent, &control);
    try std.testing.expectEqual(@as(i32, 1), sockets.send_control(pair[0], "x", encoded));
    for (sent) |descriptor| sockets.close(descriptor);
    var address: [datagrams.address_bytes]u8 align(4) = undefined;
    var room: [datagrams.control_bytes]u8 align(8) = undefined;
    var payload: [4]u8 = undefined;
    var incoming: datagrams.Incoming = undefined;
    incoming.place(0, &address, &room, &payload);
    try std.testing.expectEqual(@as(i32, 1), incoming.receive(pair[1], 0, 1));
    var found = decode(room[0..incoming.told(0).control_bytes]);
    try std.testing.expectEqual(@as(u32, 2), found.count);
    try std.testing.expectEqual(@as(i32, 1), sockets.send(found.descriptors[0], "y"));
    try std.testing.expectEqual(@as(i32, 1), sockets.receive(found.descriptors[1], &payload));
    found.close();
    try std.testing.expectEqual(@as(u32, 0), found.count);
}

test "control data that is cut or of another kind holds nothing" {
    var control: [control_bytes]u8 align(8) = undefined;
    const encoded = encode(&.{ -1, -1 }, &control);
    for (0..data_offset) |length| {
        try std.testing.expectEqual(@as(u32, 0), decode(encoded[0..length]).count);
    }
    control[@offsetOf(Header, "kind")] = 2;
    try std.testing.expectEqual(@as(u32, 0), decode(encoded).count);
}
