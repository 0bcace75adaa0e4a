//! Segmenters in a simulation: which ones scripts choose, what messages they must be shown, and how
//! a script's own segmenter answers. Streams are random bytes, so rules are such that these are
//! messages, most of the time.

const std = @import("std");
const layout = @import("../layout.zig");
const resegmenting = @import("../net/resegmenting.zig");
const Borrow = @import("host.zig").Borrow;
const Host = @import("host.zig").Host;
const Link = @import("link.zig").Link;

const all_dispatched = layout.no_slot;

pub const none = std.mem.zeroes(layout.Segmenter);

pub fn is_segmented(rule: *const layout.Segmenter) bool {
    return rule.kind != 0;
}

pub const Next = union(enum) {
    /// All of its bytes, and those of its header.
    message: struct { total: u32, header: u32 },
    /// Its length if that is known.
    incomplete: u32,
    too_large,
};

/// What a stream begins with, found in the plainest way.
pub fn next(rule: *const layout.Segmenter, bytes: []const u8) Next {
    const header = rule.header_bytes;
    const total: u64 = switch (@as(layout.SegmenterKind, @enumFromInt(rule.kind))) {
        .fixed => rule.fixed_bytes,
        .line => total: {
            for (bytes, 1..) |byte, length| {
                if (length > rule.max_length) return .too_large;
                if (byte == rule.delimiter[0]) break :total length;
            }
            return if (bytes.len >= rule.max_length) .too_large else .{ .incomplete = 0 };
        },
        // A script's segmenter does what another one would.
        .length, .script => total: {
            if (bytes.len < rule.field_offset + rule.field_width) return .{ .incomplete = 0 };
            var value: u64 = 0;
            for (bytes[rule.field_offset..][0..rule.field_width]) |byte| value = value << 8 | byte;
            break :total header + value + @as(u32, @intCast(rule.adjustment));
        },
        .none => unreachable,
    };
    if (total > rule.max_length) return .too_large;
    if (bytes.len < total) return .{ .incomplete = @intCast(total) };
    return .{ .message = .{ .total = @intCast(total), .header = header } };
}

/// A rule at random, with none among them.
pub fn choose(host: *Host) layout.Segmenter {
    const random = host.world.random();
    var rule = none;
    const kinds = [_]layout.SegmenterKind{ .none, .fixed, .line, .length, .script };
    const kind = kinds[random.uintLessThan(usize, kinds.len)];
    if (kind == .none) return rule;
    rule.kind = @intFromEnum(kind);
    if (random.boolean()) rule.flags |= layout.segment_scattered;
    rule.max_length = 8192;
    rule.fixed_bytes = random.intRangeAtMost(u32, 1, @as(u32, 64) << random.uintAtMost(u5, 6));
    rule.delimiter_bytes = 1;
    rule.delimiter[0] = random.int(u8);
    rule.field_offset = random.uintAtMost(u32, 5);
    // Most numbers of two bytes are too large.
    rule.field_width = if (host.world.one_in(8)) 2 else 1;
    rule.header_bytes = rule.field_offset + rule.field_width + random.uintAtMost(u32, 3);
    rule.adjustment = random.uintAtMost(u7, 100);
    if (kind == .length and random.boolean()) rule.flags |= layout.segment_stripped;
    std.debug.assert(resegmenting.is_valid(&host.instance.pool, &rule));
    return rule;
}

/// Sets another segmenter, or none. `consumed`: bytes that the script's own has found messages in.
pub fn set(host: *Host, link: *Link, consumed: u32) bool {
    if (link.state == .closed or link.closing or link.ended or host.world.is_ending) return false;
    if (link.relayed != null or link.leaving or !host.world.has_messages) return false;
    const rule = choose(host);
    host.flush();
    const rc = host.instance.set_segmenter(&.{
        .size = @sizeOf(layout.SegmenterOptions),
        .slot = link.slot,
        .generation = link.generation,
        .dispatched = host.dispatched orelse all_dispatched,
        .consumed = consumed,
        .segmenter = rule,
    });
    // It has ended, and the script has not read of that yet.
    if (rc == @intFromEnum(layout.Status.stale_handle)) return false;
    if (rc != 0 and rc != 1) {
        host.fail("a segmenter is refused with {d}", .{rc});
        return false;
    }
    const kind: layout.SegmenterKind = @enumFromInt(rule.kind);
    host.trace("connection {d} gets a segmenter, {t}, void {d}", .{ link.slot, kind, rc });
    link.segmenter = rule;
    link.was_segmented = true;
    link.asked_in_vain = 0;
    if (rc == 1) link.is_void = true;
    return true;
}

/// The first part of a message, or the only one; what to answer, where it is complete.
pub fn begin(host: *Host, link: *Link, event: layout.Completion) void {
    const rest = left(host, link) orelse return;
    const found = switch (next(&link.segmenter, rest)) {
        .message => |found| found,
        else => {
            return host.fail("connection {d}: no message at {d}", .{ link.slot, link.received });
        },
    };
    const is_stripped = link.segmenter.flags & layout.segment_stripped != 0;
    link.message_at = link.received + if (is_stripped) found.header else 0;
    link.message_end = link.received + found.total;
    link.parts_left = @intCast(event.result);
    const is_scattered = link.segmenter.flags & layout.segment_scattered != 0;
    if (link.parts_left > 0 and !is_scattered) {
        host.fail("connection {d}: a message in {d} parts", .{ link.slot, link.parts_left + 1 });
    }
}

/// One part; whether it was the last.
pub fn take(host: *Host, link: *Link, bytes: []const u8) bool {
    const whole = sent(host, link) orelse return true;
    const expected = whole[link.message_at..link.message_end];
    if (bytes.len > expected.len or !std.mem.eql(u8, bytes, expected[0..bytes.len])) {
        host.fail("connection {d}: {d} bytes at {d} are not those of the message", .{
            link.slot,
            bytes.len,
            link.message_at,
        });
        return true;
    }
    link.message_at += bytes.len;
    if (link.parts_left > 0) {
        link.parts_left -= 1;
        return false;
    }
    if (link.message_at != link.message_end) {
        host.fail("connection {d}: {d} bytes of a message are missing", .{
            link.slot,
            link.message_end - link.message_at,
        });
    }
    link.received = link.message_end;
    link.asked_in_vain = 0;
    return true;
}

/// Answers what the script's own segmenter was asked. `react` gets each message, and tells whether
/// to go on.
pub fn answer(
    host: *Host,
    link: *Link,
    borrow: Borrow,
    react: *const fn (*Host, *Link, Borrow, u32) bool,
) void {
    var consumed: u32 = 0;
    var needed: u32 = 0;
    while (consumed < borrow.bytes.len) {
        const rest = borrow.bytes[consumed..];
        switch (next(&link.segmenter, rest)) {
            .message => |found| {
                const message: Borrow = .{
                    .buffer = borrow.buffer,
                    .generation = borrow.generation,
                    .offset = borrow.offset + consumed,
                    .bytes = rest[0..found.total],
                };
                consumed += found.total;
                link.received += found.total;
                link.asked_in_vain = 0;
                if (!react(host, link, message, consumed)) return;
                continue;
            },
            .incomplete => |total| needed = total,
            .too_large => needed = layout.no_slot,
        }
        break;
    }
    const unclear: u32 = @as(u32, @intCast(borrow.bytes.len)) - consumed;
    if (consumed == 0 and needed == 0 and unclear <= link.asked_in_vain) {
        host.fail("connection {d}: asked again about {d} bytes", .{ link.slot, unclear });
    }
    link.asked_in_vain = if (needed == 0) unclear else 0;
    host.submit(std.mem.zeroInit(layout.SegmentEntry, .{
        .operation = .segment,
        .slot = link.slot,
        .generation = link.generation,
        .consumed = consumed,
        .needed = needed,
    }));
}

/// Everything that the peer's script has sent; null where that cannot be told.
fn sent(host: *Host, link: *const Link) ?[]const u8 {
    const socket = link.socket orelse return null;
    return host.world.whole_of(socket.peer.?);
}

/// What of it was not shown yet.
pub fn left(host: *Host, link: *const Link) ?[]const u8 {
    const whole = sent(host, link) orelse return null;
    return whole[@min(link.received, whole.len)..];
}

/// Whether bytes that were not shown are ones that must be: a whole message, or without a segmenter
/// any.
pub fn is_shown(link: *const Link, bytes: []const u8) bool {
    if (bytes.len == 0) return false;
    return !is_segmented(&link.segmenter) or next(&link.segmenter, bytes) == .message;
}

/// Whether they lead to something: to be shown, or to the connection's end.
pub fn is_owed(link: *const Link, bytes: []const u8) bool {
    if (bytes.len == 0) return false;
    return !is_segmented(&link.segmenter) or next(&link.segmenter, bytes) != .incomplete;
}

/// Whether a connection may end like this because of its messages.
pub fn may_end_with(host: *Host, link: *const Link, result: i32) bool {
    if (!link.was_segmented) return false;
    if (result == @intFromEnum(layout.Status.exhausted)) return true;
    const rest = left(host, link) orelse return true;
    if (!is_segmented(&link.segmenter)) return false;
    // A reset has swallowed something: nobody knows where the stream ends.
    const truncated = @intFromEnum(layout.Status.truncated_message);
    if (link.socket.?.broken and result == truncated) return true;
    if (rest.len == 0) return false;
    const found = next(&link.segmenter, rest);
    return switch (result) {
        @intFromEnum(layout.Status.message_too_large) => found == .too_large,
        @intFromEnum(layout.Status.truncated_message) => found == .incomplete,
        else => false,
    };
}
