//! Where messages end in a stream of bytes: a rule of the script, and how far it has been followed.
//!
//! A scanner is fed with the bytes of a message in whatever pieces they come. Invariants: no byte
//! is looked at twice, apart from those that a delimiter of several bytes may begin with; any split
//! of a stream gives the same messages; nothing that a peer sends makes a message longer than the
//! rule's limit. Pure: no memory, no system.

const std = @import("std");
const layout = @import("../layout.zig");

pub const Rule = layout.Segmenter;
pub const Kind = layout.SegmenterKind;

const delimiter_max = 16;
/// Bytes before the length field.
const offset_max = 255;
pub const header_max = 512;
const adjustment_max = 1 << 30;
/// Seven bits each of 64.
const varint_max = 10;

/// No rule: bytes are shown as they come.
pub const none: Rule = std.mem.zeroes(Rule);

pub fn kind_of(rule: *const Rule) Kind {
    return @enumFromInt(rule.kind);
}

fn has(rule: *const Rule, flag: u32) bool {
    return rule.flags & flag != 0;
}

/// Whether what a script passes is a rule, for messages of at most `limit_bytes`.
pub fn is_valid(rule: *const Rule, limit_bytes: u32) bool {
    const kind = std.enums.fromInt(Kind, rule.kind) orelse return false;
    if (kind == .none) return true;
    if (rule.flags & ~layout.segment_flags != 0) return false;
    if (rule.max_length == 0 or rule.max_length > limit_bytes) return false;
    return switch (kind) {
        .none, .script => true,
        .length => is_valid_length(rule),
        .line => is_valid_line(rule),
        .fixed => rule.fixed_bytes > 0 and rule.fixed_bytes <= rule.max_length,
    };
}

fn is_valid_length(rule: *const Rule) bool {
    if (rule.field_offset > offset_max) return false;
    if (rule.adjustment > adjustment_max or rule.adjustment < -adjustment_max) return false;
    if (rule.field_width == 0) return false;
    if (has(rule, layout.segment_varint)) {
        return rule.field_width <= varint_max and rule.header_bytes == 0;
    }
    if (rule.field_width > @sizeOf(u64)) return false;
    if (rule.header_bytes < rule.field_offset + rule.field_width) return false;
    return rule.header_bytes <= @min(header_max, rule.max_length);
}

fn is_valid_line(rule: *const Rule) bool {
    const size = rule.delimiter_bytes;
    if (size == 0 or size > delimiter_max) return false;
    if (!has(rule, layout.segment_carriage_return)) return true;
    return size == 1 and rule.delimiter[0] == '\n';
}

pub const Step = union(enum) {
    /// All of the bytes belong to a message that goes on.
    more,
    /// The message ends after so many of the bytes.
    message: u32,
    /// Only the script can tell.
    ask,
    /// The message is longer than the rule's limit.
    too_large,
    /// The header names no length.
    invalid,
};

/// Bytes of a message that the script is not shown.
pub const Strip = struct { start: u32 = 0, end: u32 = 0 };

pub const Scanner = struct {
    /// Bytes of the message under way that were looked at.
    seen: u32,
    /// All of its bytes; 0 while that is not known.
    total: u32,
    /// Bytes of its header, once `total` is known.
    header: u32,
    /// Its length field as far as it was seen.
    value: u64,
    /// The last bytes that were seen, where a delimiter of several may have begun.
    tail: [delimiter_max - 1]u8,

    /// Before the first byte of a message.
    pub const start: Scanner = .{
        .seen = 0,
        .total = 0,
        .header = 0,
        .value = 0,
        .tail = undefined,
    };

    /// Looks at the bytes that follow those seen so far; there must be some. After `message`, the
    /// next one begins with `start`.
    pub fn feed(self: *Scanner, rule: *const Rule, bytes: []const u8) Step {
        std.debug.assert(bytes.len > 0);
        if (self.total == 0) switch (kind_of(rule)) {
            .length => if (self.read_length(rule, bytes)) |refused| return refused,
            .line => return self.find_delimiter(rule, bytes),
            .fixed => self.total = rule.fixed_bytes,
            .script, .none => return .ask,
        };
        const left = self.total -| self.seen;
        if (self.total > 0 and bytes.len >= left) {
            self.seen = self.total;
            return .{ .message = left };
        }
        self.seen += @intCast(bytes.len);
        return .more;
    }

    /// What of a complete message is not shown; `before` is the byte before a delimiter of one.
    pub fn strip(self: *const Scanner, rule: *const Rule, before: u8) Strip {
        if (!has(rule, layout.segment_stripped)) return .{};
        return switch (kind_of(rule)) {
            .length => .{ .start = self.header },
            .line => .{ .end = rule.delimiter_bytes + self.carriage_return(rule, before) },
            .none, .fixed, .script => .{},
        };
    }

    fn carriage_return(self: *const Scanner, rule: *const Rule, before: u8) u32 {
        if (!has(rule, layout.segment_carriage_return)) return 0;
        return @intFromBool(self.total > 1 and before == '\r');
    }

    /// Reads the length field as far as it is there; what is wrong with it, or null.
    fn read_length(self: *Scanner, rule: *const Rule, bytes: []const u8) ?Step {
        const is_varint = has(rule, layout.segment_varint);
        var at: usize = rule.field_offset -| self.seen;
        while (at < bytes.len) : (at += 1) {
            const place: u32 = self.seen + @as(u32, @intCast(at)) - rule.field_offset;
            const is_last = place + 1 == rule.field_width;
            if (is_varint) {
                if (place == varint_max - 1 and bytes[at] > 1) return .invalid;
                self.value |= @as(u64, bytes[at] & 0x7f) << @intCast(7 * place);
                if (bytes[at] < 0x80) {
                    return self.set_length(rule, rule.field_offset + place + 1);
                }
                if (is_last) return .invalid;
            } else {
                if (has(rule, layout.segment_little)) {
                    self.value |= @as(u64, bytes[at]) << @intCast(8 * place);
                } else {
                    self.value = self.value << 8 | bytes[at];
                }
                if (is_last) return self.set_length(rule, rule.header_bytes);
            }
        }
        return null;
    }

    fn set_length(self: *Scanner, rule: *const Rule, header: u32) ?Step {
        const body = @as(i128, self.value) + rule.adjustment;
        if (body < 0) return .invalid;
        if (body + header > rule.max_length) return .too_large;
        self.header = header;
        self.total = @intCast(body + header);
        return null;
    }

    fn find_delimiter(self: *Scanner, rule: *const Rule, bytes: []const u8) Step {
        const delimiter = rule.delimiter[0..rule.delimiter_bytes];
        const left = rule.max_length - self.seen;
        const searched = bytes[0..@min(bytes.len, left)];
        const last = delimiter[delimiter.len - 1];
        var from: usize = 0;
        while (std.mem.findScalarPos(u8, searched, from, last)) |at| : (from = at + 1) {
            if (!self.ends_delimiter(delimiter, searched, at)) continue;
            self.seen += @intCast(at + 1);
            self.total = self.seen;
            return .{ .message = @intCast(at + 1) };
        }
        if (bytes.len >= left) return .too_large;
        if (delimiter.len > 1) self.remember(bytes);
        self.seen += @intCast(bytes.len);
        return .more;
    }

    /// Whether the delimiter, whose last byte is at `at`, stands there whole, within the message.
    fn ends_delimiter(
        self: *const Scanner,
        delimiter: []const u8,
        bytes: []const u8,
        at: usize,
    ) bool {
        if (self.seen + at + 1 < delimiter.len) return false;
        for (1..delimiter.len) |back| {
            const byte = if (at >= back)
                bytes[at - back]
            else
                self.tail[self.tail.len - (back - at)];
            if (byte != delimiter[delimiter.len - 1 - back]) return false;
        }
        return true;
    }

    fn remember(self: *Scanner, bytes: []const u8) void {
        const size = self.tail.len;
        if (bytes.len >= size) {
            self.tail = bytes[bytes.len - size ..][0..size].*;
            return;
        }
        std.mem.copyForwards(u8, self.tail[0 .. size - bytes.len], self.tail[bytes.len..]);
        @memcpy(self.tail[size - bytes.len ..], bytes);
    }
};
