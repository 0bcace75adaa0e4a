//! Rules and their limits, and that every split of a stream gives the same messages: compared with
//! a reference that looks at the whole stream at once.

const std = @import("std");
const layout = @import("../layout.zig");
const segmenter = @import("segmenter.zig");
const Rule = segmenter.Rule;
const Scanner = segmenter.Scanner;

const testing = std.testing;
const limit_bytes = 1 << 20;

const big: Rule = with(.{ .kind = .length, .field_width = 2, .header_bytes = 2 });
const lines: Rule = with(.{ .kind = .line, .delimiter = "\n" });

const Wish = struct {
    kind: segmenter.Kind,
    flags: u32 = 0,
    max_length: u32 = 1000,
    field_offset: u32 = 0,
    field_width: u32 = 1,
    header_bytes: u32 = 0,
    adjustment: i32 = 0,
    fixed_bytes: u32 = 0,
    delimiter: []const u8 = "",
};

fn with(wish: Wish) Rule {
    var rule: Rule = .{
        .kind = @intFromEnum(wish.kind),
        .flags = wish.flags,
        .max_length = wish.max_length,
        .field_offset = wish.field_offset,
        .field_width = wish.field_width,
        .header_bytes = wish.header_bytes,
        .adjustment = wish.adjustment,
        .fixed_bytes = wish.fixed_bytes,
        .delimiter_bytes = @intCast(wish.delimiter.len),
        .delimiter = @splat(0),
    };
    for (wish.delimiter, 0..) |byte, index| {
        if (index < rule.delimiter.len) rule.delimiter[index] = byte;
    }
    return rule;
}

/// How a stream ends: inside of a message, between two, or with one that is none.
const End = enum { whole, inside, too_large, invalid };

const Outcome = struct {
    lengths: [512]u32 = undefined,
    headers: [512]u32 = undefined,
    count: u32 = 0,
    end: End = .whole,

    fn add(self: *Outcome, length: u32, header: u32) void {
        self.lengths[self.count] = length;
        self.headers[self.count] = header;
        self.count += 1;
    }
};

/// Feeds a stream in pieces that `random` chooses; in one where it is null.
fn scan(rule: *const Rule, stream: []const u8, random: ?std.Random) Outcome {
    var outcome: Outcome = .{};
    var scanner: Scanner = .start;
    var at: usize = 0;
    while (at < stream.len) {
        const left = stream.len - at;
        const length = if (random) |source|
            source.intRangeAtMost(usize, 1, @min(left, source.intRangeAtMost(usize, 1, 20)))
        else
            left;
        switch (scanner.feed(rule, stream[at..][0..length])) {
            .more => at += length,
            .message => |end| {
                outcome.add(scanner.total, scanner.header);
                scanner = .start;
                at += end;
            },
            .too_large => return finish(outcome, .too_large),
            .invalid => return finish(outcome, .invalid),
            .ask => unreachable,
        }
    }
    return finish(outcome, if (scanner.seen > 0) .inside else .whole);
}

fn finish(outcome: Outcome, end: End) Outcome {
    var ended = outcome;
    ended.end = end;
    return ended;
}

const Next = union(enum) { message: struct { u32, u32 }, end: End };

/// The reference: the first message of a stream that is there as a whole.
fn next(rule: *const Rule, stream: []const u8) Next {
    if (stream.len == 0) return .{ .end = .whole };
    return switch (segmenter.kind_of(rule)) {
        .fixed => fits(rule, stream, rule.fixed_bytes, 0),
        .line => next_line(rule, stream),
        .length => next_length(rule, stream),
        .none, .script => unreachable,
    };
}

fn fits(rule: *const Rule, stream: []const u8, length: i128, header: u32) Next {
    if (length > rule.max_length) return .{ .end = .too_large };
    if (length > stream.len) return .{ .end = .inside };
    return .{ .message = .{ @intCast(length), header } };
}

fn next_line(rule: *const Rule, stream: []const u8) Next {
    const delimiter = rule.delimiter[0..rule.delimiter_bytes];
    const searched = stream[0..@min(stream.len, rule.max_length)];
    const at = std.mem.find(u8, searched, delimiter) orelse {
        return .{ .end = if (stream.len >= rule.max_length) .too_large else .inside };
    };
    return .{ .message = .{ @intCast(at + delimiter.len), 0 } };
}

fn next_length(rule: *const Rule, stream: []const u8) Next {
    var header = rule.header_bytes;
    var value: u128 = 0;
    if (rule.flags & layout.segment_varint != 0) {
        var place: u32 = 0;
        while (true) : (place += 1) {
            if (place == rule.field_width) return .{ .end = .invalid };
            if (rule.field_offset + place >= stream.len) return .{ .end = .inside };
            const byte = stream[rule.field_offset + place];
            value |= @as(u128, byte & 0x7f) << @intCast(7 * place);
            if (value > std.math.maxInt(u64)) return .{ .end = .invalid };
            if (place == 9 and byte > 1) return .{ .end = .invalid };
            if (byte < 0x80) break;
        }
        header = rule.field_offset + place + 1;
    } else {
        if (rule.field_offset + rule.field_width > stream.len) return .{ .end = .inside };
        const field = stream[rule.field_offset..][0..rule.field_width];
        const little = rule.flags & layout.segment_little != 0;
        value = std.mem.readVarInt(u64, field, if (little) .little else .big);
    }
    const body = @as(i128, @intCast(value)) + rule.adjustment;
    if (body < 0) return .{ .end = .invalid };
    return fits(rule, stream, body + header, header);
}

fn expected(rule: *const Rule, stream: []const u8) Outcome {
    var outcome: Outcome = .{};
    var at: usize = 0;
    while (true) switch (next(rule, stream[at..])) {
        .message => |found| {
            outcome.add(found[0], found[1]);
            at += found[0];
        },
        .end => |end| return finish(outcome, end),
    };
}

fn expect_same(rule: *const Rule, want: *const Outcome, found: *const Outcome) !void {
    errdefer std.debug.print("with {any}\n", .{rule.*});
    try testing.expectEqual(want.end, found.end);
    try testing.expectEqualSlices(
        u32,
        want.lengths[0..want.count],
        found.lengths[0..found.count],
    );
    if (segmenter.kind_of(rule) != .length) return;
    try testing.expectEqualSlices(
        u32,
        want.headers[0..want.count],
        found.headers[0..found.count],
    );
}

fn random_rule(random: std.Random) Rule {
    const delimiters = [_][]const u8{ "\n", "\r\n", "aab", "abab", "aaaa", "baaaaaaaaaaaaaaa" };
    const is_varint = random.boolean();
    const offset = random.uintAtMost(u32, 3);
    const width = random.intRangeAtMost(u32, 1, if (is_varint) 10 else 8);
    const little: u32 = if (random.boolean()) layout.segment_little else 0;
    return switch (random.uintLessThan(u8, 3)) {
        0 => with(.{ .kind = .fixed, .fixed_bytes = random.intRangeAtMost(u32, 1, 60) }),
        1 => with(.{
            .kind = .line,
            .delimiter = delimiters[random.uintLessThan(usize, delimiters.len)],
            .max_length = random.intRangeAtMost(u32, 16, 300),
        }),
        else => with(.{
            .kind = .length,
            .flags = if (is_varint) layout.segment_varint else little,
            .field_offset = offset,
            .field_width = width,
            .header_bytes = if (is_varint) 0 else offset + width + random.uintAtMost(u32, 3),
            .adjustment = random.intRangeAtMost(i32, -4, 4),
            .max_length = random.intRangeAtMost(u32, 20, 300),
        }),
    };
}

/// Bytes among which there are messages: small numbers, and few letters.
fn fill(random: std.Random, rule: *const Rule, stream: []u8) void {
    for (stream) |*byte| byte.* = switch (segmenter.kind_of(rule)) {
        .line => "ab\r\n"[random.uintLessThan(usize, if (random.boolean()) 2 else 4)],
        else => switch (random.uintLessThan(u8, 16)) {
            0...9 => 0,
            10...14 => random.uintAtMost(u8, 40),
            else => random.int(u8),
        },
    };
}

test "every split of a stream gives the messages of the reference" {
    var source = std.Random.DefaultPrng.init(testing.random_seed);
    const random = source.random();
    var stream: [400]u8 = undefined;
    for (0..4000) |_| {
        const rule = random_rule(random);
        try testing.expect(segmenter.is_valid(&rule, limit_bytes));
        const bytes = stream[0..random.uintAtMost(usize, stream.len)];
        fill(random, &rule, bytes);
        const want = expected(&rule, bytes);
        const whole = scan(&rule, bytes, null);
        try expect_same(&rule, &want, &whole);
        const split = scan(&rule, bytes, random);
        try expect_same(&rule, &want, &split);
    }
}

test "a number of 64 bits is read whole, and a longer one is no number" {
    const rule = with(.{ .kind = .length, .flags = layout.segment_varint, .field_width = 10 });
    const largest = [_]u8{0xff} ** 9 ++ [_]u8{1};
    try testing.expectEqual(End.too_large, scan(&rule, &largest, null).end);
    const longer = [_]u8{0xff} ** 9 ++ [_]u8{2};
    try testing.expectEqual(End.invalid, scan(&rule, &longer, null).end);
    const endless = [_]u8{0x80} ** 11;
    try testing.expectEqual(End.invalid, scan(&rule, &endless, null).end);
    const padded = [_]u8{ 0x82, 0x80, 0x00, 7, 7 };
    const found = scan(&rule, &padded, null);
    try testing.expectEqualSlices(u32, &.{5}, found.lengths[0..found.count]);
    const wide = with(.{ .kind = .length, .field_width = 8, .header_bytes = 8, .adjustment = -8 });
    const all = [_]u8{0xff} ** 8;
    try testing.expectEqual(End.too_large, scan(&wide, &all, null).end);
    const least = [_]u8{0} ** 7 ++ [_]u8{7};
    try testing.expectEqual(End.invalid, scan(&wide, &least, null).end);
}

test "what is not shown of a message" {
    var rule = with(.{ .kind = .length, .flags = layout.segment_varint, .field_width = 2 });
    var scanner: Scanner = .start;
    _ = scanner.feed(&rule, &.{ 0x80, 0x01 });
    try testing.expectEqual(segmenter.Strip{}, scanner.strip(&rule, 0));
    rule.flags |= layout.segment_stripped;
    try testing.expectEqual(segmenter.Strip{ .start = 2 }, scanner.strip(&rule, 0));
    rule = lines;
    rule.flags = layout.segment_stripped | layout.segment_carriage_return;
    scanner = .start;
    _ = scanner.feed(&rule, "ab\r\n");
    try testing.expectEqual(segmenter.Strip{ .end = 2 }, scanner.strip(&rule, '\r'));
    try testing.expectEqual(segmenter.Strip{ .end = 1 }, scanner.strip(&rule, 'b'));
    scanner = .start;
    _ = scanner.feed(&rule, "\n");
    try testing.expectEqual(segmenter.Strip{ .end = 1 }, scanner.strip(&rule, '\r'));
}

test "what is no rule is refused" {
    const flag_all = layout.segment_flags;
    const flag_varint = layout.segment_varint;
    const flag_return = layout.segment_carriage_return;
    for ([_]Rule{
        with(.{ .kind = .fixed, .fixed_bytes = 0 }),
        with(.{ .kind = .fixed, .fixed_bytes = 1001 }),
        with(.{ .kind = .fixed, .fixed_bytes = 1, .max_length = 0 }),
        with(.{ .kind = .fixed, .fixed_bytes = 1, .max_length = limit_bytes + 1 }),
        with(.{ .kind = .fixed, .fixed_bytes = 1, .flags = flag_all + 1 }),
        with(.{ .kind = .line }),
        with(.{ .kind = .line, .delimiter = "12345678901234567" }),
        with(.{ .kind = .line, .delimiter = "\r\n", .flags = flag_return }),
        with(.{ .kind = .line, .delimiter = ";", .flags = flag_return }),
        with(.{ .kind = .length, .header_bytes = 0 }),
        with(.{ .kind = .length, .field_width = 0, .header_bytes = 1 }),
        with(.{ .kind = .length, .field_width = 9, .header_bytes = 9 }),
        with(.{ .kind = .length, .field_offset = 256, .header_bytes = 300 }),
        with(.{ .kind = .length, .field_offset = std.math.maxInt(u32), .header_bytes = 1 }),
        with(.{ .kind = .length, .field_offset = 4, .header_bytes = 4 }),
        with(.{ .kind = .length, .header_bytes = 513 }),
        with(.{ .kind = .length, .header_bytes = 20, .max_length = 19 }),
        with(.{ .kind = .length, .header_bytes = 1, .adjustment = (1 << 30) + 1 }),
        with(.{ .kind = .length, .header_bytes = 1, .adjustment = std.math.minInt(i32) }),
        with(.{ .kind = .length, .flags = flag_varint, .header_bytes = 1 }),
        with(.{ .kind = .length, .flags = flag_varint, .field_width = 11 }),
    }) |rule| try testing.expect(!segmenter.is_valid(&rule, limit_bytes));
    var unknown = big;
    unknown.kind = 5;
    try testing.expect(!segmenter.is_valid(&unknown, limit_bytes));
    for ([_]Rule{
        segmenter.none,
        big,
        lines,
        with(.{ .kind = .script }),
        with(.{ .kind = .length, .field_offset = 255, .field_width = 8, .header_bytes = 512 }),
    }) |rule| try testing.expect(segmenter.is_valid(&rule, limit_bytes));
}
