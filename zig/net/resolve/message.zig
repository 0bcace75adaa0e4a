//! Questions to name servers and their answers, byte by byte (RFC 1035, RFC 3596). No state, any
//! thread.
//!
//! An answer comes from anywhere: every length is checked, pointers only lead back, and what does
//! not belong to the question is no answer to it. Names are compared in the form that they have in
//! messages (a length before each label, all lower case), where a dot within a label is no dot.

const std = @import("std");
const Family = @import("ip.zig").Family;
const Ip = @import("ip.zig").Ip;
const Ips = @import("ip.zig").Ips;
const names = @import("names.zig");

const header_bytes = 12;
const wire_name_max = 255;
/// Names that one name may stand for, one after the other.
const aliases_max = 16;

const class_internet = 1;
const type_alias = 5;
const flag_response: u16 = 1 << 15;
const flag_truncated: u16 = 1 << 9;
const flag_recursion_desired: u16 = 1 << 8;
const opcode_mask: u16 = 0xf << 11;

pub const question_bytes_max = header_bytes + wire_name_max + 4;

/// A name in the form of messages, lower case, with the empty label at its end.
const WireName = struct {
    bytes: [wire_name_max]u8 = undefined,
    length: u32 = 0,

    fn slice(self: *const WireName) []const u8 {
        return self.bytes[0..self.length];
    }

    fn eql(self: *const WireName, other: *const WireName) bool {
        return std.mem.eql(u8, self.slice(), other.slice());
    }

    /// Of a valid name.
    fn of(name: []const u8) WireName {
        var wire: WireName = .{};
        var labels = std.mem.splitScalar(u8, names.without_dot(name), '.');
        while (labels.next()) |label| wire.append(label) catch unreachable;
        wire.append("") catch unreachable;
        return wire;
    }

    fn append(self: *WireName, label: []const u8) error{Malformed}!void {
        if (self.length + 1 + label.len > wire_name_max) return error.Malformed;
        self.bytes[self.length] = @intCast(label.len);
        _ = std.ascii.lowerString(self.bytes[self.length + 1 ..], label);
        self.length += 1 + @as(u32, @intCast(label.len));
    }
};

pub const Question = struct {
    id: u16,
    family: Family,
    name: WireName,

    /// `name` is valid.
    pub fn init(id: u16, name: []const u8, family: Family) Question {
        return .{ .id = id, .family = family, .name = .of(name) };
    }

    fn type_number(self: *const Question) u16 {
        return switch (self.family) {
            .ipv4 => 1,
            .ipv6 => 28,
        };
    }

    pub fn write(self: *const Question, buffer: *[question_bytes_max]u8) []const u8 {
        const name = self.name.slice();
        @memset(buffer[0..header_bytes], 0);
        std.mem.writeInt(u16, buffer[0..2], self.id, .big);
        std.mem.writeInt(u16, buffer[2..4], flag_recursion_desired, .big);
        std.mem.writeInt(u16, buffer[4..6], 1, .big);
        @memcpy(buffer[header_bytes..][0..name.len], name);
        const tail = buffer[header_bytes + name.len ..][0..4];
        std.mem.writeInt(u16, tail[0..2], self.type_number(), .big);
        std.mem.writeInt(u16, tail[2..4], class_internet, .big);
        return buffer[0 .. header_bytes + name.len + 4];
    }
};

pub const Answer = union(enum) {
    /// It is not an answer to this question.
    other,
    /// The name exists; its addresses, of which there may be none, were added.
    found,
    no_such_name,
    /// It did not fit: to be asked for again through a stream.
    truncated,
    /// The server cannot or will not tell.
    refused,
};

/// What `bytes` say to `question`; addresses are added to `ips`.
pub fn read(bytes: []const u8, question: *const Question, ips: *Ips) Answer {
    var reader: Reader = .{ .bytes = bytes };
    return read_checked(&reader, question, ips) catch .other;
}

fn read_checked(reader: *Reader, question: *const Question, ips: *Ips) error{Malformed}!Answer {
    if (try reader.word() != question.id) return .other;
    const flags = try reader.word();
    const questions = try reader.word();
    const answers = try reader.word();
    _ = try reader.take(4);
    if (flags & flag_response == 0 or flags & opcode_mask != 0 or questions != 1) return .other;
    const name = try reader.name();
    if (!name.eql(&question.name)) return .other;
    if (try reader.word() != question.type_number()) return .other;
    if (try reader.word() != class_internet) return .other;
    switch (flags & 0xf) {
        0 => {},
        3 => return .no_such_name,
        else => return .refused,
    }
    if (flags & flag_truncated != 0) return .truncated;
    const wanted = try follow_aliases(reader.*, answers, name);
    var found = ips.*;
    for (0..answers) |_| {
        const record = try reader.record();
        if (record.class != class_internet or record.type != question.type_number()) continue;
        if (!record.name.eql(&wanted)) continue;
        switch (question.family) {
            .ipv4 => if (record.data.len == 4) found.add(.v4(record.data[0..4].*)),
            .ipv6 => if (record.data.len == 16) found.add(.v6(record.data[0..16].*)),
        }
    }
    ips.* = found;
    return .found;
}

/// What a name stands for in the end. Records may come in any order.
fn follow_aliases(start: Reader, answers: u16, name: WireName) error{Malformed}!WireName {
    var current = name;
    next: for (0..aliases_max) |_| {
        var reader = start;
        for (0..answers) |_| {
            const record = try reader.record();
            if (record.type != type_alias or record.class != class_internet) continue;
            if (!record.name.eql(&current)) continue;
            var target: Reader = .{ .bytes = reader.bytes, .at = record.data_at };
            current = try target.name();
            continue :next;
        }
        return current;
    }
    return error.Malformed;
}

const Record = struct {
    name: WireName,
    type: u16,
    class: u16,
    data: []const u8,
    data_at: usize,
};

const Reader = struct {
    bytes: []const u8,
    at: usize = 0,

    fn take(self: *Reader, count: usize) error{Malformed}![]const u8 {
        if (self.bytes.len - self.at < count) return error.Malformed;
        defer self.at += count;
        return self.bytes[self.at..][0..count];
    }

    fn word(self: *Reader) error{Malformed}!u16 {
        const taken = try self.take(2);
        return std.mem.readInt(u16, taken[0..2], .big);
    }

    /// Every pointer leads to before where the name, or the part that a pointer led to, began, so
    /// that this ends.
    fn name(self: *Reader) error{Malformed}!WireName {
        var read_name: WireName = .{};
        var reader: Reader = self.*;
        var end: ?usize = null;
        var limit = self.at;
        while (true) {
            const head = (try reader.take(1))[0];
            switch (head >> 6) {
                0 => {
                    try read_name.append(try reader.take(head));
                    if (head > 0) continue;
                    self.at = end orelse reader.at;
                    return read_name;
                },
                3 => {
                    const low = (try reader.take(1))[0];
                    end = end orelse reader.at;
                    const target = @as(usize, head & 0x3f) << 8 | low;
                    if (target >= limit) return error.Malformed;
                    limit = target;
                    reader.at = target;
                },
                else => return error.Malformed,
            }
        }
    }

    fn record(self: *Reader) error{Malformed}!Record {
        const owner = try self.name();
        const kind = try self.word();
        const class = try self.word();
        _ = try self.take(4);
        const length = try self.word();
        const data_at = self.at;
        return .{
            .name = owner,
            .type = kind,
            .class = class,
            .data = try self.take(length),
            .data_at = data_at,
        };
    }
};

/// For tests: answers, record by record.
pub const Writer = struct {
    bytes: [4096]u8 = undefined,
    length: usize = 0,

    /// Header and question, as a server that knows gives them back.
    pub fn init(question: *const Question, flags: u16) Writer {
        var writer: Writer = .{};
        var buffer: [question_bytes_max]u8 = undefined;
        const asked = question.write(&buffer);
        @memcpy(writer.bytes[0..asked.len], asked);
        writer.length = asked.len;
        std.mem.writeInt(u16, writer.bytes[2..4], flag_response | flags, .big);
        return writer;
    }

    pub fn add(self: *Writer, owner: []const u8, kind: u16, data: []const u8) void {
        const answers = std.mem.readInt(u16, self.bytes[6..8], .big);
        std.mem.writeInt(u16, self.bytes[6..8], answers + 1, .big);
        self.put(owner);
        const head = [_]u8{ @intCast(kind >> 8), @intCast(kind & 255), 0, 1, 0, 0, 0, 9 };
        self.put(&head);
        self.put(&.{ @intCast(data.len >> 8), @intCast(data.len & 255) });
        self.put(data);
    }

    pub fn put(self: *Writer, bytes: []const u8) void {
        @memcpy(self.bytes[self.length..][0..bytes.len], bytes);
        self.length += bytes.len;
    }

    pub fn slice(self: *const Writer) []const u8 {
        return self.bytes[0..self.length];
    }
};

const to_question = "\xc0\x0c";

test "a question is what a server expects" {
    const question: Question = .init(0x1234, "Example.COM.", .ipv6);
    var buffer: [question_bytes_max]u8 = undefined;
    try std.testing.expectEqualStrings(
        "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x1c\x00\x01",
        question.write(&buffer),
    );
    const longest: Question = .init(1, "a." ** 126 ++ "a", .ipv4);
    try std.testing.expectEqual(@as(usize, question_bytes_max), longest.write(&buffer).len);
}

test "addresses are read, and those of others are not" {
    const question: Question = .init(7, "example.com", .ipv4);
    var writer: Writer = .init(&question, 0);
    writer.add(to_question, 1, &.{ 10, 0, 0, 1 });
    writer.add("\x07EXAMPLE\xc0\x14", 1, &.{ 10, 0, 0, 2 });
    writer.add("\x05other\x00", 1, &.{ 10, 0, 0, 3 });
    writer.add(to_question, 28, &(.{0} ** 16));
    writer.add(to_question, 1, &.{ 10, 0, 0 });
    var ips: Ips = .{};
    try std.testing.expectEqual(Answer.found, read(writer.slice(), &question, &ips));
    try std.testing.expectEqual(@as(u32, 2), ips.count);
    try std.testing.expect(ips.list[1].eql(.v4(.{ 10, 0, 0, 2 })));
}

test "aliases are followed in any order, and not for ever" {
    const question: Question = .init(7, "www.example", .ipv4);
    var writer: Writer = .init(&question, 0);
    writer.add("\x04last\x00", 1, &.{ 10, 0, 0, 9 });
    writer.add("\x06middle\x00", type_alias, "\x04last\x00");
    writer.add(to_question, type_alias, "\x06middle\x00");
    var ips: Ips = .{};
    try std.testing.expectEqual(Answer.found, read(writer.slice(), &question, &ips));
    try std.testing.expect(ips.list[0].eql(.v4(.{ 10, 0, 0, 9 })));

    var circle: Writer = .init(&question, 0);
    circle.add(to_question, type_alias, "\x04back\x00");
    circle.add("\x04back\x00", type_alias, to_question);
    circle.add(to_question, 1, &.{ 10, 0, 0, 1 });
    try std.testing.expectEqual(Answer.other, read(circle.slice(), &question, &ips));
    try std.testing.expectEqual(@as(u32, 1), ips.count);
}

test "what does not belong to the question is no answer" {
    const question: Question = .init(7, "example.com", .ipv4);
    var ips: Ips = .{};
    for ([_]Question{
        .init(8, "example.com", .ipv4),
        .init(7, "example.org", .ipv4),
        .init(7, "example.com", .ipv6),
    }) |other| {
        var writer: Writer = .init(&other, 0);
        writer.add(to_question, 1, &.{ 10, 0, 0, 1 });
        try std.testing.expectEqual(Answer.other, read(writer.slice(), &question, &ips));
    }
    var buffer: [question_bytes_max]u8 = undefined;
    try std.testing.expectEqual(Answer.other, read(question.write(&buffer), &question, &ips));
    try std.testing.expectEqual(@as(u32, 0), ips.count);
}

test "what a server says without addresses" {
    const question: Question = .init(7, "example.com", .ipv4);
    var ips: Ips = .{};
    for ([_]struct { u16, Answer }{
        .{ 0, .found },   .{ 3, .no_such_name },           .{ 2, .refused },
        .{ 5, .refused }, .{ flag_truncated, .truncated },
    }) |case| {
        const writer: Writer = .init(&question, case[0]);
        try std.testing.expectEqual(case[1], read(writer.slice(), &question, &ips));
    }
}

test "pointers that lead forward or to themselves are malformed" {
    const question: Question = .init(7, "example.com", .ipv4);
    var ips: Ips = .{};
    for ([_][]const u8{ "\xc0\x1d", "\xff\xff", "\x01a\xc0\x1d", "\x80a", "\x40a" }) |owner| {
        var writer: Writer = .init(&question, 0);
        writer.add(owner, 1, &.{ 10, 0, 0, 1 });
        try std.testing.expectEqual(Answer.other, read(writer.slice(), &question, &ips));
    }
}

test "answers cut anywhere, changed anywhere, or random" {
    const question: Question = .init(7, "www.example.com", .ipv4);
    var writer: Writer = .init(&question, 0);
    writer.add(to_question, type_alias, "\x03web\xc0\x10");
    writer.add("\x03web\xc0\x10", 1, &.{ 10, 0, 0, 1 });
    const whole = writer.slice();
    var ips: Ips = .{};
    for (0..whole.len) |length| {
        try std.testing.expectEqual(Answer.other, read(whole[0..length], &question, &ips));
    }
    var random = std.Random.DefaultPrng.init(3);
    var bytes: [512]u8 = undefined;
    for (0..50_000) |round| {
        var changed = bytes[0..whole.len];
        @memcpy(changed, whole);
        if (round % 4 == 0) {
            changed = bytes[0..random.random().uintAtMost(usize, bytes.len)];
            random.random().bytes(changed);
            // So that it gets past the header.
            if (changed.len > 33) @memcpy(changed[0..33], whole[0..33]);
        } else for (0..1 + round % 5) |_| {
            changed[random.random().uintLessThan(usize, changed.len)] = random.random().int(u8);
        }
        var found: Ips = .{};
        _ = read(changed, &question, &found);
        try std.testing.expect(found.count <= Ips.count_max);
    }
}
